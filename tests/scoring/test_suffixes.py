"""Logits without whole passes: those of the model with the weight set, or None."""

import pytest
import torch
from torch import nn

from safer_bench.criteria.loading import criteria
from safer_bench.measurement.answers.clean_pass import CleanPass
from safer_bench.measurement.answers.tuning import Room
from safer_bench.networks.loading import load_network
from safer_bench.perturbations.loading import parse_perturbation
from safer_bench.scoring.suffixes import Suffixes
from safer_bench.scoring.sweep import Sweep
from tests.made_up.cases import first_by_default
from tests.made_up.networks import WholePasses, tiny_network

LEVELS = [parse_perturbation(spec) for spec in ("gaussian_noise:0.3,3", "float32_bit_flip", "int8_bit_flip:0.01")]
CHANGES = [entry for entry in criteria().values() if entry.aware and "L" in entry.cost and "hessian" not in entry.needs]


def batches_of(network, size):
    images, labels = network.calibration
    return list(zip(images[:50].split(size), labels[:50].split(size), strict=True))


@pytest.mark.parametrize("name", first_by_default(["digits_vit", "digits_resnet"]))
def test_logits_are_those_of_the_model_with_the_weight_set(name):
    network = load_network(name)
    suffixes, model = Suffixes(network.model, *network.calibration), network.model
    for size in (50, 7):
        batches = batches_of(network, size)
        images = torch.cat([images for images, _ in batches])
        with torch.no_grad():
            assert torch.allclose(suffixes.clean(batches), model(images), rtol=1e-4, atol=1e-4)
            for layer in network.layers:
                weight = model.get_parameter(layer.parameter)
                original, changed = weight.detach().clone(), weight.detach().flip(0) * 1.5
                found = suffixes.perturbed(batches, layer.name, changed)
                weight.copy_(changed)
                expected = model(images)
                weight.copy_(original)
                assert (found - expected).abs().max() < 1e-4 * expected.abs().max(), layer.name
                assert (found - suffixes.clean(batches)).abs().max() > 1e-2


class Sometimes(nn.Module):
    """Looks at values: nothing to trace."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x) if x.sum() > -1e9 else x


def test_a_network_that_cannot_be_traced_is_measured_by_whole_passes():
    network = tiny_network()
    network.model = Sometimes(network.model).eval()
    batches = batches_of(network, 20)
    suffixes = Suffixes(network.model, *network.calibration)
    assert suffixes.clean(batches) is None
    assert suffixes.perturbed(batches, "inner.conv", network.model.inner.conv.weight.detach()) is None


@pytest.mark.parametrize("name", ["run", "move_to", "logits"])
def test_what_fails_in_the_midst_is_left_to_whole_passes_from_then_on(name, monkeypatch, caplog):
    network = tiny_network()
    suffixes, batches = Suffixes(network.model, *network.calibration), batches_of(network, 20)
    weight = network.model.conv.weight.detach()
    if name != "run":
        assert suffixes.perturbed(batches, "conv", weight) is not None

    def fails(*_):
        raise RuntimeError("on purpose")

    suffixes.prepare()
    monkeypatch.setattr(CleanPass, name, fails)
    other = batches_of(network, 10)
    found = suffixes.clean(other) if name == "logits" else suffixes.perturbed(other, "conv", weight)
    assert found is None
    monkeypatch.undo()
    assert suffixes.clean(batches) is suffixes.perturbed(batches, "conv", weight) is None
    said = [record.message for record in caplog.records if record.name.startswith("safer_bench")]
    assert said == [
        "what criteria change in a network is run by whole forward passes: replay raised RuntimeError: on purpose"
    ]


@pytest.mark.parametrize(
    "entry",
    first_by_default(sorted(CHANGES, key=lambda entry: "measured" in entry.name)),
    ids=lambda entry: entry.name,
)
def test_scores_and_stated_costs_are_those_of_whole_passes_in_a_few_of_them(entry):
    network, n_passes = load_network("digits_resnet"), []
    network.model.register_forward_hook(lambda *_: n_passes.append(1))  # copies carry it
    found, passes = [], []
    for suffixes in (None, WholePasses()):
        n_passes.clear()
        found.append(Sweep(network, examples=60, suffixes=suffixes).scored(entry, LEVELS))
        passes.append(len(n_passes))
    short, whole = found
    assert short.cost["forward_equivalents"] == whole.cost["forward_equivalents"]
    assert [row["layer"] for row in short.rows] == [row["layer"] for row in whole.rows]
    assert [row["score"] for row in short.rows] == pytest.approx([row["score"] for row in whole.rows], rel=1e-3, abs=1e-6)
    assert passes[0] < 0.6 * passes[1]  # finding and admitting layers, and weights of flipped exponents


def test_what_would_not_fit_into_memory_and_huge_weights_are_left_to_whole_passes(monkeypatch):
    network = load_network("digits_resnet")
    suffixes, batches, layer = Suffixes(network.model, *network.calibration), batches_of(network, 50), network.layers[3]
    weight = network.model.get_parameter(layer.parameter).detach()
    assert suffixes.perturbed(batches, layer.name, weight) is not None
    for factor in (1e4, float("nan")):
        assert suffixes.perturbed(batches, layer.name, factor * weight) is None
    monkeypatch.setattr("safer_bench.scoring.suffixes.room_on", lambda device: Room(64e6, 100_000, 256))
    assert suffixes.perturbed(batches, layer.name, weight) is None


def test_a_replay_that_fails_midway_gives_way_to_whole_passes(monkeypatch):
    network = tiny_network()
    by_passes = Sweep(network, suffixes=WholePasses()).scored(CHANGES[0], LEVELS).rows
    calls = []

    def run(*args):
        calls.append(args)
        if len(calls) > 2 * len(network.layers):  # after every layer was admitted and one was run
            raise RuntimeError("view size is not compatible")
        return before(*args)

    before = CleanPass.run
    monkeypatch.setattr(CleanPass, "run", run)
    rows = Sweep(network).scored(CHANGES[0], LEVELS).rows
    assert len(calls) == 2 * len(network.layers) + 1
    assert [row["score"] for row in rows] == pytest.approx([row["score"] for row in by_passes], rel=1e-4, abs=1e-6)
