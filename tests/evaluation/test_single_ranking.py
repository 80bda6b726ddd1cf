"""The ceiling of one ranking for several perturbations, beside what the best of all rankings really reaches."""

from itertools import permutations

import numpy as np
import pytest

from safer_bench.evaluation.aggregation import number_cells
from safer_bench.evaluation.cell_values import BoardCell
from safer_bench.evaluation.single_ranking import ceilings, read_halves
from safer_bench.metrics import spearman
from safer_bench.tables import schema
from safer_bench.tables.facts import read_facts

USE_CASES = {"one": "a", "two": "a", "three": "b"}


def tables_of(halves, reliability):
    """Return the tables of one network: ``halves`` is ``{perturbation: (half_a, half_b)}``."""
    identity = {"network": "net", "dataset": "d", "split": "test"}
    rows = [
        {**identity, "layer": f"layer{i:02}", "perturbation": name, "summary": "area", "half_a": a, "half_b": b}
        for name, both in halves.items()
        for i, (a, b) in enumerate(np.transpose(both).tolist())
    ]
    cells = [{**identity, "perturbation": name, "summary": "area", "reliability": reliability[name]} for name in halves]
    perturbations = [
        {"perturbation": name, "use_case": USE_CASES[name], "levels": [1.0], "scale": "linear"} for name in halves
    ]
    made = {
        "layer_sensitivity": rows,
        "cells": cells,
        "perturbations": perturbations,
        "networks": [identity | {"family": "f"}],
    }
    return {name: schema.build(name, of_table) for name, of_table in made.items()}


def found(halves, reliability=None, limits=None):
    truth = tables_of(halves, reliability or dict.fromkeys(halves, 1.0))
    facts, names = read_facts(truth), sorted(halves)
    cells = [BoardCell("d", "test", "net", name, None, 6) for name in names]
    limits = np.array([1.0 if limits is None else limits[name] for name in names])
    numbers = number_cells([("net", name) for name in names], facts.families, facts.use_cases)
    return dict(zip(names, ceilings(cells, numbers, read_halves(truth), limits, facts).tolist(), strict=True))


def test_without_noise_it_is_what_the_best_of_all_rankings_reaches():
    """Use cases weigh alike: 'three' counts as much as 'one' and 'two' together. (No two layers' mean ranks are equal here.)"""
    rng = np.random.default_rng(1)
    truth = {name: rng.normal(size=6) for name in USE_CASES}
    reached = found({name: (values, values) for name, values in truth.items()})
    weights = {"one": 0.25, "two": 0.25, "three": 0.5}
    means = [
        sum(weight * spearman(truth=truth[name], scores=np.array(scores, dtype=float)) for name, weight in weights.items())
        for scores in permutations(range(6))
    ]
    assert sum(weights[name] * reached[name] for name in weights) == pytest.approx(max(means))


def test_of_one_perturbation_it_is_what_the_true_ranking_reaches():
    values = np.random.default_rng(1).normal(size=6)
    assert found({"one": (values, values)}, {"one": 0.9}, {"one": 0.95}) == {"one": 0.95}


def test_the_mean_over_a_networks_cells_is_no_more_than_the_true_rankings_would_reach():
    """Single cells may be, by their noise: cut off one by one, only those that are too high, the mean came out too low."""
    rng = np.random.default_rng(2)
    truth = {name: rng.normal(size=6) for name in USE_CASES}
    free = found({name: (values, values) for name, values in truth.items()})
    weights = {"one": 0.25, "two": 0.25, "three": 0.5}
    low = dict.fromkeys(truth, 0.1)
    cut = found({name: (values, values) for name, values in truth.items()}, limits=low)
    assert sum(weights[name] * free[name] for name in weights) > 0.1
    assert sum(weights[name] * cut[name] for name in weights) == pytest.approx(0.1)
    assert np.isnan(list(found({name: (v, v) for name, v in truth.items()}, limits=low | {"two": np.nan}).values())).any()


@pytest.mark.parametrize("noise", [0.2, 0.5, 1.0])
def test_with_noise_it_is_what_the_best_ranking_of_the_noise_free_truth_reaches_on_the_measured_one(noise):
    """Means over 200 made-up networks of 20 layers; the best ranking is that of the noise-free truth."""
    rng, names = np.random.default_rng(2), list(USE_CASES)
    weights, told, real = np.array([0.25, 0.25, 0.5]), [], []
    for _ in range(200):
        true = rng.normal(size=20) + 0.7 * rng.normal(size=(3, 20))
        halves = true[:, None] + np.sqrt(2) * noise * rng.normal(size=(3, 2, 20))
        again = true[:, None, None] + np.sqrt(2) * noise * rng.normal(size=(3, 2, 40, 20))
        half = np.nanmean(spearman(truth=again[:, 0], scores=again[:, 1]), axis=-1)
        reached = found(
            dict(zip(names, halves, strict=True)), dict(zip(names, (2 * half / (1 + half)).tolist(), strict=True))
        )
        told.append(sum(weights * [reached[name] for name in names]))
        ranks = np.argsort(np.argsort(true, axis=-1), axis=-1)
        best = (weights[:, None] * ranks).sum(0)
        measured = again.mean(1)
        real.append(sum(weights * np.mean(spearman(truth=measured, scores=np.broadcast_to(best, measured.shape)), axis=-1)))
    assert np.mean(told) == pytest.approx(np.mean(real), abs=0.02)


def test_a_truth_that_cannot_be_halved_has_none():
    none = tables_of({"one": (np.full(6, np.nan), np.full(6, np.nan))}, {"one": None})
    none["layer_sensitivity"] = none["layer_sensitivity"].slice(0, 0)
    assert read_halves(none) == {}
    assert read_halves({}) == {}


def test_halves_that_contradict_each_other_and_cells_of_unknown_reliability_have_none():
    values = np.arange(6.0)
    assert np.isnan(found({"one": (values, -values)})["one"])
    both = {"one": (values, values), "two": (values, values)}
    assert np.isnan(list(found(both, {"one": 1.0, "two": None}).values())).all()
