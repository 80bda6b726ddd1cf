"""Criteria that see the perturbed weight, against plain loops over layers and examples, and scipy's divergences."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr, softmax
from torch.nn import functional as F

from safer_bench.criteria.loading import criteria
from safer_bench.perturbations.loading import parse_perturbation
from safer_bench.scoring.sweep import Sweep
from safer_bench.stream import Stream

LAYERS = ("conv", "hidden", "head")
AWARE = [entry for entry in criteria().values() if entry.aware]


def batches_of(network):
    images, labels = network.calibration
    return [(images[:30], labels[:30]), (images[30:], labels[30:])]


@pytest.fixture
def perturb(tiny):
    def double_and_shake(name, level):
        weight = tiny.model.get_submodule(name).weight.detach().numpy()
        return (weight + level * Stream("test", name).normal(weight.shape)).astype(np.float32)

    return double_and_shake


def run(name, network, perturb, level=0.5):
    return criteria()[name](network.model, batches_of(network), perturb, level)


def with_weight(model, name, weight, images):
    module = model.get_submodule(name)
    kept = module.weight.detach().clone()
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(weight))
        logits = model(images).double().numpy()
        module.weight.copy_(kept)
    return logits


def test_weight_changes(tiny, perturb):
    for name in LAYERS:
        weight = tiny.model.get_submodule(name).weight.detach().double().numpy()
        change = perturb(name, 0.5) - weight
        assert run("quantization_mse", tiny, perturb)[name] == pytest.approx((change**2).mean(), rel=1e-6)
        assert run("sqnr", tiny, perturb)[name] == pytest.approx((change**2).sum() / (weight**2).sum(), rel=1e-6)
        fisher = criteria()["empirical_fisher"](tiny.model, batches_of(tiny))[name]
        assert run("fit", tiny, perturb)[name] == pytest.approx(fisher * (change**2).mean(), rel=1e-6)
        trace = criteria()["hessian_sum"](tiny.model, batches_of(tiny))[name]
        assert run("trace_squared_change", tiny, perturb)[name] == pytest.approx(trace * (change**2).mean(), rel=1e-6)


def test_changes_of_the_networks_output(tiny, perturb):
    images, labels = tiny.calibration
    clean = tiny.model(images).detach().double().numpy()
    for name in LAYERS:
        after = with_weight(tiny.model, name, perturb(name, 0.5), images)
        p, q = softmax(clean, axis=1), softmax(after, axis=1)
        expected = {
            "output_mse": ((after - clean) ** 2).mean(),
            "output_kl": rel_entr(p, q).sum(1).mean(),
            "output_jsd": (jensenshannon(p, q, axis=1) ** 2).mean(),
            "measured_drop_512": np.mean(clean.argmax(1) == labels.numpy()) - np.mean(after.argmax(1) == labels.numpy()),
        }
        for criterion, value in expected.items():
            assert run(criterion, tiny, perturb)[name] == pytest.approx(value, rel=1e-4), criterion


def test_changes_of_a_layers_own_output(tiny, perturb):
    """One example at a time, each layer called as a module on the input that a hook saw."""
    images, labels = tiny.calibration
    squares, weighed = {name: [] for name in LAYERS}, dict.fromkeys(LAYERS, 0.0)
    for i in range(len(labels)):
        seen = {}

        def note(module, inputs, y, seen=seen):
            seen[module] = (inputs[0].detach(), y)

        handles = [tiny.model.get_submodule(name).register_forward_hook(note) for name in LAYERS]
        loss = F.cross_entropy(tiny.model(images[i : i + 1]), labels[i : i + 1])
        gradients = torch.autograd.grad(loss, [seen[tiny.model.get_submodule(name)][1] for name in LAYERS])
        for handle in handles:
            handle.remove()
        for name, gradient in zip(LAYERS, gradients, strict=True):
            module = tiny.model.get_submodule(name)
            x, y = seen[module]
            weight = torch.from_numpy(perturb(name, 0.5))
            bias, y = module.bias.detach(), y.detach()
            after = F.linear(x, weight, bias) if name != "conv" else F.conv2d(x, weight, bias, padding=1)
            squares[name].append(float((after - y).square().mean()))
            weighed[name] += float((gradient * (after - y)).double().square().sum()) / len(labels)
    expected = {name: np.mean(each) for name, each in squares.items()}
    assert run("layer_output_mse", tiny, perturb) == pytest.approx(expected, rel=1e-4)
    assert run("output_fisher", tiny, perturb) == pytest.approx(weighed, rel=1e-4)


@pytest.mark.parametrize("entry", AWARE, ids=lambda entry: entry.name)
def test_nothing_changed_scores_zero_and_more_change_scores_more(tiny, perturb, entry):
    unchanged = run(entry.name, tiny, perturb, 0.0)
    assert unchanged == pytest.approx(dict.fromkeys(LAYERS, 0.0), abs=1e-12)
    if entry.needs not in ("measurement", "labels, gradients, hessian"):  # a drop, and a trace, may be negative
        low, high = run(entry.name, tiny, perturb, 0.1), run(entry.name, tiny, perturb, 1.0)
        assert all(0 < low[name] < high[name] for name in LAYERS)


@pytest.mark.parametrize("entry", AWARE, ids=lambda entry: entry.name)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_weights_that_are_no_number_give_a_finite_score(tiny, entry, value):
    """A flipped exponent bit makes such weights; they must count as large, not as nothing."""

    def spoil(name, level):
        weight = tiny.model.get_submodule(name).weight.detach().numpy().copy()
        weight.flat[0] = value
        return weight

    found = run(entry.name, tiny, spoil)
    assert all(np.isfinite(score) for score in found.values())
    assert any(score != 0 for score in found.values())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_no_number_are_wrong_answers(tiny, value):
    """argmax would take them for the first class."""
    spoilt = {name: np.full(tiny.model.get_submodule(name).weight.shape, value, np.float32) for name in LAYERS}
    images, labels = tiny.calibration
    clean = float((tiny.model(images).argmax(1) == labels).double().mean())
    assert float((labels == 0).double().mean()) > 0
    found = run("measured_drop_512", tiny, lambda name, _: spoilt[name])
    assert found["head"] == pytest.approx(clean)


@pytest.mark.parametrize("name", ["layer_output_mse", "output_fisher"])
def test_what_does_not_fit_into_memory_is_made_again(tiny, monkeypatch, name):
    levels = [parse_perturbation("gaussian_noise:0.5,1")]
    once = Sweep(tiny, batch_size=16).scored(criteria()[name], levels)
    monkeypatch.setattr("safer_bench.criteria.output_change.KEPT_BYTES", 1000)
    again = Sweep(tiny, batch_size=16).scored(criteria()[name], levels)
    assert again.rows == once.rows
    assert again.cost["forward_equivalents"] > once.cost["forward_equivalents"]
