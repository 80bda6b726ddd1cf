"""Who beats uniform is said where all gains of a task hold at once."""

import numpy as np
import pytest
from scipy import stats

from safer_bench.tables import schema
from safer_bench.tables.verdicts import with_verdicts


def table(gains, **more):
    rows = [
        {
            "task": "prune",
            "perturbation": "magnitude_prune",
            "criterion": f"c{i:04d}",
            "draws": 1,
            "n_examples": 10**9,
            "gain": gain,
            "gain_error": error,
        }
        for i, (gain, error) in enumerate(gains)
    ]
    return schema.build("budget_results", [row | more for row in rows])


def verdicts(gains, **more):
    return with_verdicts(table(gains, **more))["verdict"].to_pylist()


def test_what_holds_alone_may_not_hold_among_many():
    assert verdicts([(0.05, 0.02)]) == ["beats uniform"]
    assert verdicts([(-0.05, 0.02)]) == ["harms"]
    assert verdicts([(0.05, 0.02), (-0.05, 0.02), *[(0.0, 0.02)] * 8]) == ["undecided"] * 10
    just = stats.norm.ppf(1 - 0.05 / 20) * 0.02
    assert verdicts([(1.001 * just, 0.02), (-1.001 * just, 0.02), *[(0.0, 0.02)] * 8])[:2] == ["beats uniform", "harms"]
    assert verdicts([(0.999 * just, 0.02), *[(0.0, 0.02)] * 9])[0] == "undecided"


def test_a_gain_within_what_the_examples_do_not_show_is_undecided():
    """The slope between two uniform allocations that answer alike has no spread, and was once a sure gain or harm."""
    unseen = 3.6889 / 402
    for gain, told in ((0.99 * unseen, "undecided"), (-1.01 * unseen, "harms"), (1.01 * unseen, "beats uniform")):
        assert verdicts([(gain, 0.0)], n_examples=400) == [told]
    assert verdicts([(0.0400, 0.02)], n_examples=10**9) == ["beats uniform"]
    assert verdicts([(0.0400, 0.02)], n_examples=400) == ["undecided"], "beside the spread"


def test_draws_have_the_quantile_of_student():
    limit = stats.t.ppf(0.975, 4)
    assert verdicts([(0.99 * limit, 1.0)], draws=5) == ["undecided"]
    assert verdicts([(1.01 * limit, 1.0)], draws=5) == ["beats uniform"]


def test_what_has_no_spread_is_undecided_and_uniform_is_not_compared_with_itself():
    assert verdicts([(0.5, None), (0.0, 0.0), (None, None)]) == ["undecided", "undecided", None]
    assert verdicts([(0.0, 0.0)], criterion="uniform") == [None]


def test_tasks_and_perturbations_are_corrected_each_by_itself():
    rows = table([(0.05, 0.02)]).to_pylist() + table([(0.0, 0.02)] * 50, perturbation="quantize").to_pylist()
    found = with_verdicts(schema.build("budget_results", rows)).to_pylist()
    assert [row["verdict"] for row in found if row["perturbation"] == "magnitude_prune"] == ["beats uniform"]


def test_of_gains_that_are_all_none_a_task_says_more_than_undecided_in_one_of_twenty():
    """The rate over 2,000 tasks of 40 gains; without the correction it is 87 %."""
    rng = np.random.default_rng(1)
    wrong = np.abs(rng.normal(size=(2000, 40))).max(axis=1)
    limit = stats.norm.ppf(1 - 0.05 / 80)
    edge = verdicts([(limit * 1.0001, 1.0), (limit * 0.9999, 1.0), *[(0.0, 1.0)] * 38])
    assert edge[:2] == ["beats uniform", "undecided"]
    assert np.mean(wrong > limit) == pytest.approx(0.05, abs=0.015)
