"""Facts of a cell, beside what the whole tree's tests pin."""

import numpy as np
import pytest

from safer_bench.judging import CellTruth
from safer_bench.truth.summarise import _cell_facts


@pytest.mark.parametrize(("reliability", "resolved"), [(0.8, True), (0.79, False), (0.0, False), (float("nan"), None)])
def test_a_cell_is_resolved_from_a_reliability_of_four_fifths_on(reliability, resolved):
    values = np.arange(12.0)
    truth = CellTruth(values, values, values, np.ones(12), np.random.default_rng(0).random((2, 12)))
    common = {"network": "n", "perturbation": "p", "summary": "area", "level": None}
    found = _cell_facts(common, truth, reliability)
    assert (found["n_layers"], found["resolved"]) == (12, resolved)
    assert found["reliability"] == (None if resolved is None else reliability)


def test_levels_are_means_of_their_probes_and_halves_make_up_the_whole(small_tree):
    """Recomputed from the rows of single probes; of one draw the halves are two halves of the examples."""
    probes, found = small_tree["layer_drops"].to_pylist(), small_tree["layer_sensitivity"].to_pylist()
    levels = [row for row in found if row["summary"] == "level"]
    assert {row["perturbation"] for row in levels} == {"gaussian_noise", "magnitude_prune"}
    for row in levels:
        key = [row[name] for name in ("network", "layer", "perturbation", "level")]
        drops = [
            each["accuracy_drop"]
            for each in probes
            if [each[name] for name in ("network", "layer", "perturbation", "level")] == key
        ]
        assert row["draws"] == len(drops)
        assert row["value"] == pytest.approx(np.mean(drops), abs=1e-9)
        assert row["p_drop_over_5"] == pytest.approx(np.mean(np.array(drops) > 0.05))
    alone = [row for row in found if row["perturbation"] == "magnitude_prune" and row["summary"] != "tolerated_level"]
    assert len({row["half_a"] for row in alone}) > 2
    for row in alone:
        assert row["half_a"] + row["half_b"] == pytest.approx(2 * row["value"], abs=1e-9)
