"""Families of one kind resemble each other: how much is estimated, and how much wider intervals are for it."""

import numpy as np
import pytest

from safer_bench.evaluation.bootstrap import intervals
from safer_bench.evaluation.kinds import LEAST, numbered_kinds, resemblance, widening

ALIKE = numbered_kinds(["a"] * 4 + ["b"] * 4 + ["c"] * 4)


def made_up(rng, n_rows, correlation, kinds=ALIKE):
    """Return values of variance 1 whose correlation within a kind is given ``(n_rows, n_families)``."""
    shared = rng.normal(size=(n_rows, kinds.max() + 1))[:, kinds]
    return np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * rng.normal(size=(n_rows, len(kinds)))


def test_a_family_of_no_declared_kind_is_alone():
    assert numbered_kinds(["a", "own", "a", "", "own"]).tolist() == [0, 1, 0, 2, 3]


def test_families_that_are_alike_within_kinds_alone_correlate_by_one_and_those_alike_between_them_by_none():
    same = np.repeat([[1.0, 2.0, 4.0]], 4, axis=0).T.reshape(1, -1)
    mixed = np.tile([1.0, 2.0, 3.0, 4.0], (1, 3))
    assert resemblance(same, ALIKE).tolist() == [1.0]
    assert resemblance(mixed, ALIKE).tolist() == [0.0]
    assert resemblance(np.ones((1, 12)), ALIKE).tolist() == [0.0]


@pytest.mark.parametrize("kinds", [["a"] * 6, list("abcdef")])
def test_where_nothing_tells_it_none_is_estimated(kinds):
    values = np.arange(6.0)[None]
    assert resemblance(values, numbered_kinds(kinds)).tolist() == [0.0]
    size = 6 if kinds[0] == kinds[1] else 1
    assert widening(values, numbered_kinds(kinds)) == pytest.approx([np.sqrt(1 + (size - 1) * LEAST)])


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.7])
def test_the_estimate_is_that_of_the_analysis_of_variance(correlation):
    """By hand for groups of one size m: (between - within) / (between + (m - 1) within), and near what was put in."""
    values = made_up(np.random.default_rng(0), 4000, correlation, numbered_kinds(list("abcdefgh") * 5))
    kinds = numbered_kinds(list("abcdefgh") * 5)
    groups = np.stack([values[:, kinds == kind] for kind in range(8)], axis=1)
    between, within = 5 * groups.mean(-1).var(-1, ddof=1), groups.var(-1, ddof=1).mean(-1)
    by_hand = np.clip((between - within) / (between + 4 * within), 0, 1)
    found = resemblance(values, kinds)
    assert found == pytest.approx(by_hand)
    assert found.mean() == pytest.approx(correlation, abs=0.06)


def test_kinds_of_unequal_sizes_resemble_as_by_hand():
    """One-way analysis of variance of {1, 2, 3} and {7}: 27/1 between, 2/2 within, and a typical size of 4 - 10/4 = 1.5."""
    values, kinds = np.array([[1.0, 2.0, 3.0, 7.0]]), np.array([0, 0, 0, 1])
    between, within, typical = 3 * (2 - 3.25) ** 2 + (7 - 3.25) ** 2, 2 / 2, 4 - (9 + 1) / 4
    assert resemblance(values, kinds) == pytest.approx((between - within) / (between + (typical - 1) * within))


def test_unequal_kinds_weigh_by_their_families():
    kinds = numbered_kinds(["a"] * 6 + ["b"] * 2)
    values = np.random.default_rng(0).normal(size=(1, 8))
    expected = np.sqrt(1 + ((36 + 4) / 8 - 1) * max(float(resemblance(values, kinds)[0]), LEAST))
    assert widening(values, kinds) == pytest.approx([expected])


def test_widened_intervals_cover_where_those_of_independent_families_do_not():
    values = made_up(np.random.default_rng(1), 1500, 0.45)
    covered = {}
    for name, wider in (("independent", 1.0), ("of kinds", widening(values, ALIKE))):
        low, high = intervals(values, widening=wider, n_resamples=1000)
        covered[name] = float(np.mean((low <= 0) & (high >= 0)))
    assert covered["independent"] < 0.85
    assert covered["of kinds"] > 0.93
