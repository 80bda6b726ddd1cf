"""What is asked of a truth is read once, and what a table lacks is not made up."""

import pyarrow as pa
import pytest

from safer_bench.tables import schema
from safer_bench.tables.facts import read_facts

LAYERS = [
    {"network": "b", "layer": layer, "layer_index": index, "dataset": "d", "split": "test"}
    for index, layer in enumerate(("stem", "a_block", "head"))
]
CELL = {"network": "b", "perturbation": "noise", "level": None}
CELLS = [
    CELL | {"summary": "area", "reliability": 0.7},
    CELL | {"summary": "tolerated_level", "reliability": 0.2},
    CELL | {"summary": "level", "level": 1.0, "reliability": 0.5},
    CELL | {"summary": "level", "level": 2.0, "reliability": None},
]
NOISE = {"perturbation": "noise", "use_case": "device_noise", "levels": [1.0, 2.0], "scale": "linear"}
TRUTH = {
    "networks": schema.build("networks", [{"network": "b", "dataset": "d", "split": "test", "family": "mlp"}]),
    "layers": schema.build("layers", LAYERS),
    "perturbations": schema.build("perturbations", [NOISE]),
    "cells": schema.build("cells", CELLS),
}


class Revised(dict):
    """Tables with a name, as a tree is."""

    revision = "0123456789abcdef"


@pytest.mark.parametrize("rows", [LAYERS, LAYERS[::-1]])
def test_layers_are_in_order_of_first_use_in_whatever_order_they_are_stored(rows):
    found = read_facts(TRUTH | {"layers": pa.Table.from_pylist(rows, schema=schema.TABLES["layers"])})
    assert found.layers == {"b": ("stem", "a_block", "head")}


def test_each_fact_is_that_of_its_table():
    found = read_facts(TRUTH)
    assert (found.families, found.datasets, found.splits) == ({"b": "mlp"}, {"b": "d"}, {"b": "test"})
    assert (found.use_cases, found.scales) == ({"noise": "device_noise"}, {"noise": "linear"})
    assert found.levels == {"noise": [1.0, 2.0]}


def test_reliability_is_of_areas_and_levels_where_it_is_known():
    assert read_facts(TRUTH).reliability == {("b", "noise", None): 0.7, ("b", "noise", 1.0): 0.5}


@pytest.mark.parametrize(("levels", "deepest"), [([1.0, 2.0], 2), ([1.0], 0)])
def test_a_single_level_has_no_rank(levels, deepest):
    perturbations = schema.build("perturbations", [NOISE | {"levels": levels}])
    assert read_facts(TRUTH | {"perturbations": perturbations}).deepest == deepest


def test_the_revision_is_that_of_the_truth_or_none():
    assert read_facts(TRUTH).revision is None
    assert read_facts(Revised(TRUTH)).revision == "0123456789abcdef"


def test_of_tables_that_are_missing_there_is_nothing():
    found = read_facts({"layers": TRUTH["layers"]})
    assert found.datasets == {"b": "d"}
    assert (found.families, found.levels, found.reliability) == ({}, {}, {})
