"""Every criterion obeys the same laws. A sweep over a network serves the tests of all criteria."""

import math
from functools import cache

import pytest
import torch

from safer_bench.criteria.grid import ATTRIBUTIONS, NAMED, REDUCTIONS
from safer_bench.criteria.loading import criteria
from safer_bench.networks.loading import load_network
from safer_bench.networks.network import Network
from safer_bench.perturbations.loading import parse_perturbation
from safer_bench.registry import TRACKS
from safer_bench.scoring.score import score
from safer_bench.scoring.sweep import Sweep
from tests.made_up.networks import N_OWN as N
from tests.made_up.networks import Attention, Encoder, Positions, Unordered, Volumes, own_network
from tests.made_up.weights import Bags, Bilinears, Cells, Gpt, Lstm

ENTRIES = list(criteria().values())
each = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
LEVELS = [parse_perturbation("sign_flip:0.3,0.5")]


OWN = {
    "attention": (Attention, (6, 1), 4),
    "encoder": (Encoder, (5, 8), 3),
    "positions": (Positions, (5, 3), 3),
    "unordered": (Unordered, (4,), 3),
    "volumes": (Volumes, (1, 3, 4, 4), 3),
    "bags": (Bags, (5, 3), 4),
    "bilinears": (Bilinears, (5, 3), 4),
    "cells": (Cells, (5, 3), 4),
    "gpt": (Gpt, (5, 3), 4),
    "lstm": (Lstm, (5, 3), 4),
}

LONG = {"unordered", "bilinears", "cells"}  # inputs and weights that others have too


@cache
def network_called(name):
    return own_network(*OWN[name]) if name in OWN else load_network(name)


@cache
def swept(name, variant=""):
    """Return {criterion: {(layer, perturbation, level): score}} on N calibration examples, all given; no criterion touches the model."""
    network = network_called(name)
    images, labels = (part[:N].flip(0) if variant == "flipped" else part[:N] for part in network.calibration)
    threads = torch.get_num_threads()
    torch.set_num_threads(2 if variant == "two threads" else threads)
    try:
        sweep = Sweep(network, batch_size=7 if variant == "small batches" else 64, own_examples=(images, labels))
        found = {entry.name: scores_of(sweep, entry) for entry in ENTRIES}
        assert bits(sweep._model) == bits(network.model)
        assert all(parameter.grad is None for parameter in sweep._model.parameters())
        return found
    finally:
        torch.set_num_threads(threads)


def bits(model):
    """Return every parameter and buffer to the bit: -0 is not 0."""
    return {name: t.detach().numpy().tobytes() for name, t in (*model.named_parameters(), *model.named_buffers())}


def scores_of(sweep, entry):
    return {(r["layer"], r["perturbation"], r["level"]): r["score"] for r in sweep.scored(entry, LEVELS).rows}


@each
@pytest.mark.parametrize(
    "name", ["digits_vit", *(pytest.param(name, marks=pytest.mark.long) if name in LONG else name for name in OWN)]
)
def test_every_layer_gets_one_finite_score(entry, name):
    network = network_called(name)
    found = swept(name)[entry.name]
    n_times = {"blind": 1, "perturbation_aware": 1, "level_aware": 2}[entry.track]
    assert [key[0] for key in found] == [layer.name for layer in network.layers] * n_times
    assert all(math.isfinite(value) for value in found.values())


@each
@pytest.mark.parametrize(
    ("name", "variant"),
    [
        pytest.param("digits_resnet", "small batches", marks=pytest.mark.long),
        pytest.param("positions", "small batches", marks=pytest.mark.long),
        pytest.param("bags", "small batches", marks=pytest.mark.long),
        pytest.param("lstm", "small batches", marks=pytest.mark.long),
        ("digits_resnet", "flipped"),
        pytest.param("digits_cnn", "two threads", marks=pytest.mark.long),
    ],
)
def test_scores_depend_on_neither_batch_size_nor_row_order_nor_threads(entry, name, variant):
    first, second = swept(name)[entry.name], swept(name, variant)[entry.name]
    largest = max(map(abs, first.values()))
    assert second == pytest.approx(first, rel=1e-4, abs=1e-5 * largest)  # signed sums may cancel in one layer


@each
def test_a_sweep_finds_what_the_criterion_finds_alone(entry):
    network = network_called("volumes")
    images, labels = (part[:N] for part in network.calibration)
    alone = scores_of(Sweep(network, own_examples=(images, labels)), entry)
    assert alone == swept("volumes")[entry.name]
    if entry.track == "blind":
        assert score(entry.name, network, images, labels) == {key[0]: value for key, value in alone.items()}


@each
def test_no_criterion_touches_the_evaluation_examples(entry):
    """The first evaluation image finds the layers; scores must not change with what the others hold."""
    network = network_called("volumes")
    blank = torch.zeros_like(network.inputs), torch.zeros_like(network.labels)
    other = Network(network.model, *blank, name=network.name, calibration=network.calibration)
    assert scores_of(Sweep(other), entry) == swept("volumes")[entry.name]


@each
def test_facts_are_complete(entry):
    for fact in (entry.formula, entry.source, entry.description, entry.cost):
        assert fact
    assert entry.track in TRACKS
    assert entry.description.endswith(".")


def test_the_grid_is_whole_and_lists_nothing_twice():
    names = [NAMED.get((a, r), f"{a}_{r}") for a in ATTRIBUTIONS for r in REDUCTIONS]
    assert len(set(names)) == 36
    assert set(names) <= set(criteria())


def test_no_two_blind_criteria_are_the_same_number():
    """On a network with layers of several kinds; a pair that agrees everywhere is one criterion under two names."""
    found = {entry.name: tuple(swept("digits_resnet")[entry.name].values()) for entry in ENTRIES if not entry.aware}
    names = list(found)
    same = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if found[a] == pytest.approx(found[b], rel=1e-6)]
    assert not same
