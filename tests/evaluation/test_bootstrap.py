"""Intervals cover, equal criteria are not told apart, equal seeds agree; simulated at the counts of real benchmarks."""

import time
import tracemalloc

import numpy as np
import pytest
from scipy import stats

from safer_bench.evaluation.bootstrap import (
    _at_quantile,
    _on_grid,
    _squared_t,
    intervals,
    rank_intervals,
    simultaneous_intervals,
)
from safer_bench.judging import METRICS
from safer_bench.stream import Stream
from tests.made_up.cases import first_by_default
from tests.made_up.truth import family_values, family_values_of

COUNTS = (6, 8, 11, 16)


def benchmarks(n, n_families, n_criteria, quality=0.6, seed=0):
    """Simulate in parts, each with layers of its own."""
    parts = [family_values(np.random.default_rng((seed, i)), 20, n_families, n_criteria, quality) for i in range(n // 20)]
    return np.concatenate(parts)


def coverage(n_benchmarks, n_families, quality):
    expected = benchmarks(24_000, 4, 1, quality, seed=1).mean()  # families come as four, one of each number of networks
    low, high = intervals(benchmarks(n_benchmarks, n_families, 1, quality)[:, 0], n_resamples=2000)
    return np.mean((low <= expected) & (expected <= high))


def false_winners(n_benchmarks, n_families, n_criteria):
    """Return shares of benchmarks in which an equal criterion differs from the first, and in which ranks differ."""
    different = ranked = 0
    for values in benchmarks(n_benchmarks, n_families, n_criteria):
        low, high = simultaneous_intervals(values[1:] - values[:1], n_resamples=1000)
        different += np.any((low > 0) | (high < 0))
        best, worst = rank_intervals(values, n_resamples=1000)
        ranked += np.any(best > 1) or np.any(worst < n_criteria)
    return different / n_benchmarks, ranked / n_benchmarks


@pytest.mark.parametrize("n_families", first_by_default(COUNTS, 2))
def test_intervals_cover_at_real_counts_of_families(n_families):
    assert 0.91 < coverage(600, n_families, 0.6) < 0.985  # 600 benchmarks: the share has a standard error of 0.009


@pytest.mark.long
@pytest.mark.parametrize("quality", [0.3, 0.6, 0.8])
@pytest.mark.parametrize("n_families", COUNTS)
def test_intervals_cover_93_to_97_percent(n_families, quality):
    assert 0.93 - 0.004 < coverage(6000, n_families, quality) < 0.97 + 0.004


@pytest.mark.parametrize("n_families", [6, 16])
def test_equal_criteria_are_seldom_told_apart(n_families):
    assert max(false_winners(200, n_families, 8)) < 0.1  # 0.05, three standard errors above


@pytest.mark.long
@pytest.mark.parametrize("n_criteria", [5, 20])
@pytest.mark.parametrize("n_families", COUNTS)
def test_a_false_winner_is_found_in_at_most_5_percent(n_families, n_criteria):
    assert max(false_winners(2000, n_families, n_criteria)) < 0.05 + 0.01


def test_a_better_criterion_is_found_and_certain_of_its_rank():
    values = benchmarks(20, 16, 4)[0]
    values[2] += 0.5
    best, worst = rank_intervals(values)
    assert (best[2], worst[2]) == (1, 1)
    assert set(best[[0, 1, 3]]) == {2}
    low, _ = simultaneous_intervals(values[2:3] - values[[0, 1, 3]])
    assert np.all(low > 0)


def test_the_studentised_interval_is_wider_than_the_normal_one_and_centred():
    values = np.random.default_rng(0).normal(size=(50, 6))
    low, high = intervals(values)
    assert (low + high) / 2 == pytest.approx(values.mean(1))
    half = 1.96 * values.std(1, ddof=1) / np.sqrt(6)
    assert np.median((high - low) / 2 / half) > 1.3


def test_intervals_are_those_of_a_bootstrap_written_as_a_loop():
    values = np.random.default_rng(0).exponential(size=8)
    rng, statistics = np.random.default_rng(1), []
    for _ in range(20_000):
        drawn = rng.choice(values, 8)
        with np.errstate(divide="ignore", invalid="ignore"):
            statistics.append(abs(drawn.mean() - values.mean()) / (drawn.std(ddof=1) / np.sqrt(8)))
    low, high = intervals(values[None])
    assert (high - low)[0] / 2 == pytest.approx(np.quantile(statistics, 0.95) * stats.sem(values), rel=0.06)


def test_the_quantile_is_that_of_sorted_statistics_also_among_ties_and_zeros():
    rng = np.random.default_rng(0)
    statistics = np.stack(
        [rng.beta(0.5, 3, 999), rng.integers(0, 3, 999) / 3, np.zeros(999), np.ones(999), rng.random(999) ** 40]
    )
    found = _at_quantile(512.0 * statistics)
    place = int(np.ceil(0.95 * 1000)) - 1
    assert [row[at] for row, at in zip(statistics, found, strict=True)] == np.sort(statistics)[:, place].tolist()


def test_rows_that_come_again_or_turned_over_have_the_same_interval():
    row = np.random.default_rng(0).normal(size=8)
    low, high = intervals(np.stack([row, np.zeros(8), row, -row]))
    assert (low[0], high[0]) == (low[2], high[2]) == (-high[3], -low[3])
    assert (low[1], high[1]) == (0.0, 0.0)


def test_one_comparison_has_students_interval_nearly_and_more_are_wider():
    differences = np.random.default_rng(0).normal(size=(200, 16))
    student = stats.t.ppf(0.975, 15) * stats.sem(differences, axis=1)
    alone = np.array([simultaneous_intervals(row[None])[1][0] for row in differences[:20]]) - differences[:20].mean(1)
    assert np.median(alone / student[:20]) == pytest.approx(1.0, abs=0.05)
    low, high = simultaneous_intervals(differences)
    assert np.all((high - low) / 2 > 1.3 * student)


def test_equal_seeds_agree_and_others_do_not():
    values = np.random.default_rng(0).normal(size=(3, 16))  # of 8 families' 256 patterns of signs, any seed finds all
    for function in (intervals, simultaneous_intervals):
        first, again, other = function(values), function(values), function(values, seed=1)
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)


def test_the_order_of_rows_never_changes_an_interval():
    values = np.random.default_rng(0).normal(size=(7, 9))
    for function in (intervals, simultaneous_intervals, rank_intervals):
        assert np.stack(function(values[::-1])) == pytest.approx(np.stack(function(values))[:, ::-1])


def test_families_that_are_all_alike_have_no_interval_and_zeros_are_known():
    """A criterion that ranks nothing is 0 everywhere, exactly; families that happen to agree tell no spread."""
    values = np.array([[0.05] * 7, [0.0] * 7, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5]])
    for function in (intervals, simultaneous_intervals):
        low, high = function(values)
        assert np.isnan([low[0], high[0]]).all()
        assert (low[1], high[1]) == (0.0, 0.0)
    assert np.isnan(intervals(values)[0][2]), "a third of the resamples leave the only other family out"


@pytest.mark.parametrize("function", [intervals, simultaneous_intervals])
def test_equal_values_below_zero_tell_no_more_than_those_above(function):
    """The mean of seven times -0.1 is another number by its last bit."""
    assert np.mean([-0.1] * 7) != -0.1
    values = np.array([[-0.1] * 7, [-0.3] * 7, [-0.7] * 7])
    for row in values:
        assert np.isnan(function(row[None])).all()
        assert np.isnan(function(-row[None])).all()


def test_equal_criteria_share_their_ranks():
    same = np.random.default_rng(0).normal(size=7)
    best, worst = rank_intervals(np.stack([same, same + 1e-15, same]))
    assert (best.tolist(), worst.tolist()) == ([1, 1, 1], [3, 3, 3])
    best, worst = rank_intervals(same[None])
    assert (best.tolist(), worst.tolist()) == ([1], [1])


@pytest.mark.parametrize("shape", [(3, 5), (6,)])
def test_fewer_than_six_families_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected \(n_rows, n_families\) with at least 6 families"):
        intervals(np.zeros(shape))


def test_memory_is_bounded_and_small():
    values = np.random.default_rng(0).normal(size=(5000, 12))
    tracemalloc.start()
    intervals(values)
    rank_intervals(values[:100])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400e6


@pytest.mark.long
def test_a_large_benchmark_takes_under_20_seconds():
    """200 submissions, 15 perturbations of five levels and an area, 10,000 resamples, on one thread or more."""
    values = np.random.default_rng(0).random((200 * (15 * 6 + 1), 16))
    started = time.process_time()
    intervals(values)
    rank_intervals(values[:200])
    simultaneous_intervals(values[:400])
    assert time.process_time() - started < 20


@pytest.mark.parametrize(("n_rows", "n_families"), [(7, 6), (7, 16), (7, 60), (700, 6), (700, 16)])
def test_the_quantile_of_max_t_is_that_of_all_resamples_and_rows_one_by_one(n_rows, n_families):
    """Patterns of signs that come again count as often as they come; rows that are left out cannot matter."""
    values = np.random.default_rng(n_families).normal(size=(n_rows, n_families))
    low, high = simultaneous_intervals(values, seed=3, n_resamples=1000)
    signs = Stream("signs", 3).signs((1000, n_families))
    centred = values - values.mean(1, keepdims=True)
    resampled = signs[:, None] * centred
    t = np.abs(resampled.mean(-1)) / (resampled.std(-1, ddof=1) / np.sqrt(n_families))
    quantile = np.sort(t.max(1))[int(np.ceil(0.95 * 1001)) - 1]
    error = values.std(1, ddof=1) / np.sqrt(n_families)
    assert (high - low) / 2 == pytest.approx(quantile * error)


TIED = (
    [0.3] * 6,
    [0.3, 0.3, 0.3, 0.3, 0.3, 0.9],
    [0.3, 0.3, 0.3, 0.9, 0.9, 0.9],
    [0.3, 0.3, 0.9, 0.9, -0.4, -0.4],
    [-0.2, -0.2, -0.2, -0.2, -0.2, 0.0],
)


@pytest.mark.parametrize("row", TIED)
@pytest.mark.parametrize("function", [intervals, simultaneous_intervals])
def test_values_that_differ_by_rounding_alone_are_tied(row, function):
    """A quotient of two rounding errors once gave an interval from -6 to 6 million, and an infinite one elsewhere."""
    exact, others = np.array([row]), np.random.default_rng(0).normal(size=(3, 6))
    expected = np.array(function(np.concatenate([exact, others])))
    for seed in range(20):
        noise = 1.0 + 1e-15 * np.random.default_rng(seed).integers(-8, 9, exact.shape)
        found = np.array(function(np.concatenate([exact * noise, others])))
        assert np.array_equal(np.isnan(found), np.isnan(expected))
        assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)
    assert not np.isinf(expected).any()


def test_a_pattern_of_signs_that_leaves_no_spread_leaves_no_simultaneous_interval():
    """Of 32 patterns two turn all values of one of these rows alike: more than 5 % of the resamples are infinite."""
    rows = np.array([[1.0, 1.0, 1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 1.0, 0.0, 0.0]])
    others = np.random.default_rng(0).normal(size=(2, 6))
    assert np.isnan(simultaneous_intervals(np.concatenate([rows, others]))).all()
    assert np.isfinite(simultaneous_intervals(np.concatenate([rows[:1], others]))).all()
    best, worst = rank_intervals(np.concatenate([rows, rows + 5.0]))
    assert (best.min(), worst.max()) == (1, 4)


def test_ends_beyond_the_range_are_cut_off_and_nothing_else_changes():
    values = np.clip(np.random.default_rng(0).normal(0.7, 0.4, (200, 6)), -1, 1)
    low, high = intervals(values)
    first, last = intervals(values, (np.full_like(values, -1.0), np.ones_like(values)))
    assert first == pytest.approx(np.clip(low, -1, 1), abs=5e-7, nan_ok=True)  # nan: six families clipped to 1
    assert last == pytest.approx(np.clip(high, -1, 1), abs=5e-7, nan_ok=True)
    assert np.sum(high > 1) > 50
    known = ~np.isnan(low)
    assert np.all(first[known] <= values.mean(1)[known] + 5e-7)
    assert np.all(last[known] >= values.mean(1)[known] - 5e-7)


def test_families_all_at_one_end_of_their_own_ranges_have_no_interval():
    """No family hits, but a miss among 10 layers costs more than one among 50: that is no spread of the criterion."""
    lowest = np.array([[-0.1, -0.02, -0.05, -0.03, -0.04, -0.07]] * 3)
    values = np.array([lowest[0], np.ones(6), lowest[0] + [0, 0, 0, 0, 0, 0.5]])
    low, high = intervals(values, (lowest, np.ones_like(lowest)))
    assert np.isnan(low).tolist() == np.isnan(high).tolist() == [True, True, False]
    no_range = np.zeros((1, 6))  # no scores have a value there: all count as 0
    assert [end.tolist() for end in intervals(no_range, (no_range, no_range))] == [[0.0], [0.0]]


def test_sums_of_resamples_do_not_depend_on_their_order():
    """The order in which a matrix library adds up is its processor's: here every order gives the same bits."""
    rng = np.random.default_rng(0)
    units = _on_grid(rng.normal(size=(20, 11)) * 10.0 ** rng.integers(-6, 6, (20, 1)))
    counts = rng.multinomial(11, np.full(11, 1 / 11), 500).T.astype(float)
    for order in (np.arange(11)[::-1], rng.permutation(11)):
        assert np.array_equal(_squared_t(units, counts), _squared_t(units[:, order], counts[order]))


@pytest.mark.long
@pytest.mark.parametrize("n_perturbations", [1, 5])
@pytest.mark.parametrize("name", ["top_3_overlap", "protected_gain_at_1", "protected_gain_at_3", "top_1_overlap"])
def test_intervals_of_metrics_of_few_values_cover(name, n_perturbations):
    """93 to 97 % but for the top layer alone, which in most families is a hit or a miss (docs/statistics.md)."""
    metric = next(each for each in METRICS if each.name == name)
    simulated = lambda seed, n: family_values_of(metric, np.random.default_rng(seed), 20, n, 0.6, n_perturbations)  # noqa: E731
    expected = np.mean([simulated((9, i), 4)[0].mean() for i in range(600)])
    for n_families in (6, 11):
        parts = [simulated((0, i), n_families) for i in range(150)]
        values = np.concatenate([part[0] for part in parts])
        limits = np.concatenate([part[1] for part in parts], axis=1)
        low, high = intervals(values, (limits[0], limits[1]), n_resamples=2000)
        known = ~np.isnan(low)
        covered = np.mean((low[known] <= expected) & (expected <= high[known]))
        assert 0.93 - 0.012 < covered <= (1.0 if name == "top_1_overlap" else 0.97 + 0.012)
        assert known.mean() > (0.9 if name == "top_1_overlap" else 0.95)
        assert np.all(low[known] >= limits[0].min(1)[known] - 1e-9)
        assert np.all(high[known] <= limits[1].max(1)[known] + 1e-9)


@pytest.mark.parametrize("n_families", [6, 11])
@pytest.mark.parametrize("reached", [0.8, 0.99])
def test_criteria_near_the_end_of_ranges_that_differ_are_covered(reached, n_families):
    """Cut off at the mean of the families' own ranges, intervals held the mean over all families in 53 % of boards."""
    rng = np.random.default_rng(n_families)
    highest = rng.uniform(0.2, 0.6, (3000, n_families))
    values = highest * np.minimum(rng.normal(reached, (1 - reached) / 2, highest.shape), 1.0)
    expected = 0.4 * np.minimum(rng.normal(reached, (1 - reached) / 2, 10**6), 1.0).mean()
    low, high = intervals(values, (np.zeros_like(values), highest), n_resamples=1000)
    assert 0.93 < np.mean((low <= expected) & (expected <= high)) < 0.98
    assert np.all(high <= np.round(highest.max(1), 9))


def test_where_a_range_has_no_width_its_value_is_known():
    fixed = np.array([[0.5] * 6, [0.5] * 6])
    low, high = intervals(fixed, (np.array([[0.5] * 6, [0.0] * 6]), fixed))
    assert (low[0], high[0]) == (0.5, 0.5)
    assert np.isnan([low[1], high[1]]).all()


def test_sums_over_hundreds_of_families_are_exact_too():
    rng = np.random.default_rng(0)
    units, counts = _on_grid(rng.normal(size=(3, 500))), rng.multinomial(500, np.full(500, 1 / 500), 400).T.astype(float)
    order = rng.permutation(500)
    assert np.array_equal(_squared_t(units, counts), _squared_t(units[:, order], counts[order]))
