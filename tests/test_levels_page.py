"""The table of what levels cost, in docs/levels.md, against a count by hand, and the committed one."""

from statistics import median

import pyarrow.compute as pc
import pytest

from docs import levels
from safer_bench.dataset.tree import load_tree
from tests.conftest import COMMITTED


def test_the_committed_table_is_that_of_the_committed_truth():
    page = levels.PAGE.read_text(encoding="utf-8")
    assert levels.render(load_tree(COMMITTED), page) == page


@pytest.mark.long
def test_a_cost_is_the_median_over_families_of_networks_of_layers():
    truth = load_tree(COMMITTED)
    found = levels.costs(truth, "test")
    (level,) = (row["levels"][2] for row in truth["perturbations"].to_pylist() if row["perturbation"] == "sign_flip")
    shares, here = {}, (pc.field("perturbation") == "sign_flip") & (pc.field("level") == level)
    drops = truth["layer_drops"].filter(here).select(["network", "layer", "broken", "fixed", "n_answers"]).to_pylist()
    for network in truth["networks"].to_pylist():
        of_layers = {}
        for probe in (each for each in drops if each["network"] == network["network"]):
            of_layers.setdefault(probe["layer"], []).append((probe["broken"] - probe["fixed"]) / probe["n_answers"])
        lost = median(sum(of_draws) / len(of_draws) for of_draws in of_layers.values())
        if network["split"] == "test":
            possible = network["clean_correct"] / network["n_answers"] - network["chance_accuracy"]
            shares.setdefault(network["family"], []).append(lost / possible)
    assert len(shares) > 5
    assert abs(found["sign_flip", level] - median(map(median, shares.values()))) < 1e-9


def test_a_level_that_a_split_lacks_is_a_dash(small_tree):
    lines = list(levels.rows(dict(small_tree) | {"layer_sensitivity": small_tree["layer_sensitivity"].slice(0, 0)}))
    assert {cell for line in lines for cells in line[2:] for cell in cells.split(", ")} == {"-"}
