"""Criteria on networks of several inputs, and of several answers an example: all that apply, the others by name."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from safer_bench.criteria.loading import criteria
from safer_bench.criteria.passes.gradients import empirical_fisher_diagonal, mean_gradients, true_fisher_diagonal
from safer_bench.errors import BadInput
from safer_bench.networks.examples import NOT_COUNTED
from safer_bench.perturbations.loading import parse_perturbation
from safer_bench.scoring.sweep import Sweep
from tests.made_up import sequences

NOISE = parse_perturbation("gaussian_noise:1")
OF_INTEGERS = {"synflow": "sends ones through the network", "layer_conductance": "fades the input in from zeros"}
ROUGH = 2e-2  # Lanczos stops at a residual; float32 elsewhere


@pytest.fixture(scope="module")
def made():
    return sequences.networks()


def scores_of(network, batch_size):
    """Return the scores of every criterion that applies, and what the others say."""
    sweep, found, refused = Sweep(network, batch_size=batch_size, examples=16), {}, {}
    for name, entry in criteria().items():
        try:
            found[name] = sweep.scores(entry, NOISE[0] if entry.aware else None, 1.0)
        except BadInput as error:
            refused[name] = str(error)
    return found, refused


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("causal", marks=pytest.mark.long),
        pytest.param("masked", marks=pytest.mark.long),
        "segmenter",
        pytest.param("tagger", marks=pytest.mark.long),
        pytest.param("two_inputs", marks=pytest.mark.long),
    ],
)
def test_every_criterion_scores_every_layer_whatever_the_batches_or_says_why_not(made, name):
    network = made[name]
    (found, refused), (again, _) = scores_of(network, 16), scores_of(network, 5)
    has_integers = name != "segmenter"
    assert set(refused) == (set(OF_INTEGERS) if has_integers else set())
    for criterion, said in refused.items():
        assert f"criterion {criterion!r} on network {name!r}" in said
        assert OF_INTEGERS[criterion] in said
        assert "torch.int64" in said
    for criterion, scores in found.items():
        assert list(scores) == [layer.name for layer in network.layers]
        values, others = (np.array(list(each.values())) for each in (scores, again[criterion]))
        assert np.isfinite(values).all()
        np.testing.assert_allclose(values, others, rtol=ROUGH, atol=ROUGH * np.abs(values).max(), err_msg=criterion)


@pytest.mark.parametrize("name", ["tagger", "masked", "segmenter"])
def test_losses_are_means_over_the_answers_that_count(made, name):
    network = made[name]
    inputs, labels = network.calibration
    batches = [(inputs[:9], labels[:9]), (inputs[9:], labels[9:])]
    weights = [network.model.get_parameter(layer.parameter) for layer in network.layers]
    expected = torch.autograd.grad(F.cross_entropy(network.model(inputs), labels, ignore_index=NOT_COUNTED), weights)
    found = mean_gradients(network.model, batches)
    for gradient, other in zip(found.values(), expected, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-7)
    fisher = empirical_fisher_diagonal(network.model, batches)
    for layer, weight in zip(network.layers, weights, strict=True):
        own = [
            torch.autograd.grad(F.cross_entropy(network.model(inputs[i : i + 1]), labels[i : i + 1]), weight)[0].square()
            for i in range(len(labels))
        ]
        torch.testing.assert_close(fisher[layer.name].float(), torch.stack(own).mean(0), rtol=1e-3, atol=1e-9)


def test_the_fisher_matrix_of_own_answers_is_that_of_single_answers(made):
    """Given the inputs, answers at different positions are independent: squared gradients of each add up."""
    network = made["segmenter"]
    inputs, labels = network.calibration
    found = true_fisher_diagonal(network.model, [(inputs[:2], labels[:2])])["last"]
    weight, total, n_answers = network.model.last.weight, 0.0, 0
    for i in range(2):
        log_p = network.model(inputs[i : i + 1]).log_softmax(1)[0]
        for place in torch.nonzero(labels[i] != NOT_COUNTED).tolist():
            n_answers += 1
            for c in range(len(log_p)):
                term = log_p[c, place[0], place[1]]
                total = total + term.detach().exp() * torch.autograd.grad(term, weight, retain_graph=True)[0].square()
    torch.testing.assert_close(found.float(), total / n_answers, rtol=1e-4, atol=1e-9)


def test_too_many_classes_of_answers_are_refused_by_name(made, monkeypatch):
    monkeypatch.setattr("safer_bench.criteria.passes.gradients.MOST_TERMS", 50)
    with pytest.raises(
        BadInput, match=r"criterion 'true_fisher' on network 'causal': .*200 an example \(at most 50 are made\)"
    ):
        Sweep(made["causal"], examples=4).scores(criteria()["true_fisher"])
