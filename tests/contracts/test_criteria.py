"""Every criterion obeys the same laws."""

import math

import pytest
import torch

from safer_bench.criteria import criteria
from safer_bench.networks import Network
from safer_bench.scoring import score
from safer_bench.zoo import load_network

ENTRIES = list(criteria().values())
each = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
NETWORKS = ("digits_mlp", "digits_vit")


def run(entry, network, **options):
    return score(entry.name, network, perturbation="sign_flip", **({"examples": 64} | options))


@each
@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_gets_one_finite_score_and_the_model_stays(entry, name):
    network = load_network(name)
    before = network.weights_sha256
    found = run(entry, network)
    assert list(found) == [layer.name for layer in network.layers]
    assert all(math.isfinite(value) for value in found.values())
    assert Network(network.model, network.images, network.labels).weights_sha256 == before
    assert all(parameter.grad is None for parameter in network.model.parameters())


@each
def test_scores_repeat_and_depend_on_neither_batch_size_nor_row_order(entry):
    network = load_network("digits_resnet")
    first = run(entry, network)
    assert run(entry, network) == first
    assert run(entry, network, batch_size=7) == pytest.approx(first, rel=1e-4)
    if entry.examples is None:
        images, labels = (part[:64].flip(0) for part in network.probe)
        assert score(entry.name, network, images, labels, examples=64) == pytest.approx(first, rel=1e-4)


@each
def test_no_criterion_touches_the_evaluation_examples(entry):
    """The first evaluation image finds the layers; scores must not change with what the others hold."""
    network = load_network("digits_mlp")
    other = Network(
        network.model,
        torch.zeros_like(network.images),
        torch.zeros_like(network.labels),
        name=network.name,
        probe=network.probe,
    )
    assert run(entry, other) == run(entry, network)


@each
def test_facts_are_complete(entry):
    for fact in (entry.formula, entry.source, entry.description):
        assert fact
