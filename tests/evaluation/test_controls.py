"""The control that predicts rankings from sizes and positions."""

from dataclasses import replace

import numpy as np
import pyarrow.compute as pc
import pytest

from safer_bench.criteria.loading import criteria
from safer_bench.dataset.tree import load_tree
from safer_bench.evaluation.controls import Lesson, from_layers, size_depth
from safer_bench.measurement.describe import layer_rows
from safer_bench.networks.loading import load_network
from safer_bench.scoring.score import score
from safer_bench.tables.controls import ADDED, CONTROLS, FROM_TABLES, TRIVIAL
from tests.conftest import COMMITTED


def network(rng, family, split="validation", dataset="d", slope=1.0):
    facts = rng.normal(size=(3, 30))
    return Lesson(dataset, split, family, facts, slope * facts[1] + 0.1 * rng.normal(size=(4, 30)))


def test_controls_are_what_the_registry_says_is_one_and_what_evaluation_adds():
    named = {name for name, entry in criteria().items() if entry.source.startswith("control")}
    assert {*CONTROLS} == {*named, *ADDED}


def from_rows(layers):
    names = [row["layer"] for row in layers]
    sizes = np.array([[row[column] for row in layers] for column in ("parameters", "macs")], dtype=np.float64)
    return {name: dict(zip(names, values.tolist(), strict=True)) for name, values in from_layers(names, *sizes).items()}


def test_what_the_layers_tell_is_what_the_criteria_of_these_names_score():
    assert set(FROM_TABLES) == set(TRIVIAL) - {"depth_backward"}
    network = load_network("digits_vit")
    found = from_rows(layer_rows(network))
    assert found == {name: score(name, network) for name in FROM_TABLES}


def test_what_the_layers_of_the_committed_truth_tell_is_what_was_scored():
    tree = load_tree(COMMITTED)
    layers, scored = {}, {}
    for row in sorted(tree["layers"].to_pylist(), key=lambda row: row["layer_index"]):
        layers.setdefault(row["network"], []).append(row)
    for row in tree["scores"].filter(pc.field("criterion").isin(FROM_TABLES)).to_pylist():
        scored.setdefault(row["network"], {}).setdefault(row["criterion"], {})[row["layer"]] = row["score"]
    assert len(scored) == 26
    for network, of_network in scored.items():
        assert from_rows(layers[network]) == of_network, network


def test_it_learns_from_validation_networks_of_other_families_and_the_same_dataset():
    rng = np.random.default_rng(0)
    networks = {"taught": network(rng, "a", "test"), "v1": network(rng, "b"), "v2": network(rng, "c")}
    networks |= {"lonely": network(rng, "d", dataset="e"), "own": network(rng, "f", "test", slope=-1.0)}
    found = size_depth(networks)
    assert set(found) == {"taught", "v1", "v2", "own"}
    for name, sign in (("taught", 1), ("v1", 1), ("own", -1)):
        assert sign * np.corrcoef(found[name], networks[name].areas.mean(0))[0, 1] > 0.9, name


def test_it_is_the_ridge_regression_in_closed_form():
    rng = np.random.default_rng(0)
    teacher, taught = network(rng, "b"), network(rng, "a", "test")

    def ranks(values):
        return (values.argsort(-1).argsort(-1) + 0.5) / 30 - 0.5

    features, target = ranks(teacher.facts), ranks(teacher.areas).mean(0)
    padded = np.vstack([features.T, np.eye(3)]), np.concatenate([target, np.zeros(3)])  # a penalty of 1 as three more rows
    weights = np.linalg.lstsq(*padded, rcond=None)[0]
    assert size_depth({"t": teacher, "n": taught})["n"] == pytest.approx(weights @ ranks(taught.facts))


def test_layers_that_are_alike_get_equal_scores_wherever_they_stand():
    """A matrix product, which rounds by a row's place in memory, would rank them."""
    rng = np.random.default_rng(2)
    teacher, taught = network(rng, "b"), network(rng, "a", "test")
    facts = taught.facts.copy()
    facts[:, 1::2] = facts[:, ::2]
    found = size_depth({"t": teacher, "n": replace(taught, facts=facts)})["n"]
    assert np.array_equal(found[::2], found[1::2])
    assert len(set(found)) == 15
