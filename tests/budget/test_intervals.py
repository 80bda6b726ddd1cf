"""Intervals hold what they should, over examples and draws; against scipy, brute force and simulation."""

from dataclasses import astuple

import numpy as np
import pytest
from scipy import stats

from safer_bench.budget.intervals import IntervalEstimate, accuracy, gain, standard_error
from safer_bench.budget.rows import DECIDED, gain_columns


@pytest.mark.parametrize("n_right", [1, 37, 80, 99])
def test_of_one_draw_the_interval_is_wilsons(n_right):
    """Up to n / (n - 1), by which a variance is estimated."""
    values = np.repeat([1.0, 0.0], [n_right, 100 - n_right])[None]
    found = accuracy(values)
    expected = stats.binomtest(n_right, 100).proportion_ci(method="wilson")
    assert found.mean == n_right / 100
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.001)


@pytest.mark.parametrize("right", [0.0, 1.0])
@pytest.mark.parametrize("draws", [1, 4])
def test_where_all_are_alike_the_interval_is_that_of_as_many_examples(right, draws):
    found = accuracy(np.full((draws, 50), right))
    z = stats.norm.ppf(0.975) if draws == 1 else stats.t.ppf(0.975, 3)
    width = z**2 / 50 / (1 + z**2 / 50)
    assert (found.low, found.high) == pytest.approx((right * (1 - width), right + (1 - right) * width))


def test_the_standard_error_of_two_ways_by_brute_force():
    rng = np.random.default_rng(1)
    values = rng.random((4, 6)) + rng.random((4, 1)) + rng.random((1, 6))
    values[0, :3] = values[1, 3:] = np.nan
    r, n = values - np.nanmean(values), np.isfinite(values).sum()
    draws = sum(np.nansum(r[d]) ** 2 for d in range(4)) * 4 / 3
    examples = sum(np.nansum(r[:, e]) ** 2 for e in range(6)) * 6 / 5
    cells = np.nansum(r**2) * n / (n - 1)
    expected = np.sqrt(max(draws, examples, draws + examples - cells)) / n
    assert standard_error(values) == pytest.approx(expected)
    assert standard_error(values[:1, 3:]) == pytest.approx(np.std(values[0, 3:], ddof=1) / np.sqrt(3))


@pytest.mark.parametrize("n_slices", [1, 5])
def test_intervals_cover_the_truth_in_simulations(n_slices):
    """Draws and examples both matter: of 300 intervals about 285 hold the truth."""
    rng, hits, n = np.random.default_rng(n_slices), 0, 60
    for _ in range(300):
        p = np.clip(0.7 + 0.1 * rng.normal(size=(10, 1)) + 0.15 * rng.normal(size=(1, n)), 0, 1)
        values = (rng.random((10, n)) < p).astype(float)
        slices = np.arange(n) * n_slices // n
        values[slices[None] != (np.arange(10) % n_slices)[:, None]] = np.nan
        found = accuracy(values)
        hits += found.low <= 0.6965 <= found.high  # 0.7, less what is cut off at 1
    assert 276 <= hits <= 300


def test_gains_are_paired():
    rng = np.random.default_rng(2)
    easy = (rng.random((1, 500)) < 0.5).astype(float)
    better = easy.copy()
    better[0, np.flatnonzero(easy[0] == 0)[:10]] = 1.0
    found = gain(better, easy)
    assert found.mean == 0.02
    assert found.standard_error == pytest.approx(np.sqrt(0.02 * 0.98 / 499))
    assert found.low > 0 > accuracy(better).low - accuracy(easy).high
    assert (found.high + found.low) / 2 == pytest.approx(0.02)
    assert gain(easy, easy) == IntervalEstimate(0.0, 0.0, 0.0, 0.0)


def test_shares_of_the_truths_gain_are_told_where_it_exceeds_five_standard_errors():
    own = IntervalEstimate(0.03, 0.02, -0.01, 0.07)
    share = lambda mean, error: gain_columns(own, IntervalEstimate(mean, error, 0.0, 1.0))["truth_guided_share"]  # noqa: E731
    assert DECIDED == 5.0
    assert share(0.06, 0.0119) == 0.5
    assert share(0.06, 0.012) is None
    assert share(-0.06, 0.001) is None
    assert share(0.0, 0.0) is None
    columns = {"gain": 0.03, "gain_low": -0.01, "gain_high": 0.07, "gain_error": 0.02, "truth_guided_share": None}
    assert gain_columns(own, None) == columns
    assert gain_columns(IntervalEstimate(0.03, 0.0, np.nan, np.nan), None)["gain_error"] is None
    assert gain_columns(None, None) == {}


def test_an_error_that_is_none_is_not_what_rounding_leaves_of_it():
    """A third of each example, in draws that cancel: the quotient by the rounding error gave an interval of no width."""
    values = np.tile([[1 / 3], [2 / 3], [1 / 3 + 1 / 3], [1 / 3]], (1, 50))
    values = np.concatenate([values, 1.0 - values])
    flat = np.full((8, 50), 0.1) + np.finfo(float).eps * np.random.default_rng(0).integers(-1, 2, (8, 50)) / 16
    for same in (flat, np.full((8, 50), 0.1)):
        assert standard_error(same) == 0.0
        assert accuracy(same).high - accuracy(same).low > 0.1
    assert standard_error(values) > 0.01


def test_gains_stay_between_minus_one_and_one_and_without_spread_there_is_no_interval():
    wide = gain(np.array([[1.0, 1, 1, 1], [0, 0, 0, 1]]), np.zeros((2, 4)))
    assert (wide.low, wide.high) == (-1.0, 1.0)
    for values in (np.ones((1, 5)), np.array([[1.0, 0], [0, 1]])):
        alike = gain(values, np.zeros_like(values))
        assert np.isnan([alike.low, alike.high]).all()
        assert gain_columns(alike, None)["gain_low"] is None
    same = gain(np.ones((2, 5)), np.ones((2, 5)))
    assert (same.low, same.high) == (0.0, 0.0)


def test_answers_of_one_example_count_once():
    """An example that is asked three times tells no more than one that is asked once."""
    once = (np.random.default_rng(0).random((4, 50)) < 0.7).astype(float)
    once[2, 10:20] = np.nan
    thrice, examples = np.repeat(once, 3, axis=1), np.repeat(np.arange(50), 3)
    assert standard_error(thrice, examples) == pytest.approx(standard_error(once))
    for found, expected in (
        (accuracy(thrice, examples), accuracy(once)),
        (gain(thrice, 0 * thrice, examples), gain(once, 0 * once)),
    ):
        assert astuple(found) == pytest.approx(astuple(expected))
    assert standard_error(thrice[:1]) < 0.7 * standard_error(once[:1])  # taken for independent
