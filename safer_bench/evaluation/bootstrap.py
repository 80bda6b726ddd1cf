"""What a mean over network families can tell: intervals, paired comparisons and rank intervals; no I/O.

The unit is the network *family*: whatever was averaged below it (levels, variants, perturbations, networks) is one number.
Every function takes one row for each criterion, or for each difference of two, ``(n_rows, n_families)``, and resamples the
same families for all rows, so that comparisons are paired. Fewer than ``MIN_FAMILIES`` support no interval. Equal seeds
give equal results. Coverage, error rates and cost are measured in docs/statistics.md.

**No spread.** Values that differ by rounding alone, relative to their size, are equal. A row of equal values, and one that
more than 5 % of the resamples find without spread, has no interval by this method: its ends are nan. Only a row of zeros
(a criterion that ranks nothing, a difference of equals) is known without one: its ends are 0.

**The same bits everywhere.** Values are brought to a grid of 2^-40 of their size, squares to one of 2^-46: sums of them are
exact in float64, whatever the order in which a processor's matrix library takes them.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np

from safer_bench.evaluation.kinds import LEAST_OF_DIFFERENCES
from safer_bench.evaluation.kinds import widening as widening_of
from safer_bench.metrics import ROUNDING
from safer_bench.stream import Stream

Array = np.ndarray
MIN_FAMILIES = 6  # fewer: per-network values, no interval, no ranking
CONFIDENCE = 0.95
RESAMPLES = 10_000
DIGITS = 12  # smaller differences are rounding errors of the averages
INTERVAL_DIGITS, LIMIT_DIGITS = 6, 9  # of ends and of ranges, as they are published
_BLOCK = 4  # rows of 10,000 resamples that stay in a core's cache, too few for a matrix library to wake its threads
_GRID, _GRID_OF_SQUARES = 2.0**40, 2.0**46  # sums over families stay under 2^53 steps; of over 100 the latter is coarser
_NO_SPREAD = 2.0**-40  # variance of a resample, in units of the largest square of its row, that the grid alone can make
_BINS = 1024  # of a bootstrap statistic, at most: some 20 of 10,000 are in one
_AT_ONCE = 256  # rows, those that reach farthest first, after which the others may be too near to matter


def intervals(
    values: Array,
    ranges: tuple[Array, Array] | None = None,
    *,
    widening: Array | float = 1.0,
    seed: int = 0,
    n_resamples: int = RESAMPLES,
) -> tuple[Array, Array]:
    """Return the ends ``(n_rows,)`` of each row's 95 % interval for its mean, rows taken one by one.

    Studentised cluster bootstrap: families are drawn with replacement, and the interval is the mean plus or minus the
    95 % quantile of |t*| times the standard error. The symmetric form covers better with few families than equal tails.
    Where values have ranges, ends are rounded to ``INTERVAL_DIGITS`` and cut off at the least and the greatest value that
    any of the families allows. (Not at the mean of their ranges: the true mean is of other families too, with other ranges.)
    A row whose families are all at the same end of their ranges shows no spread: nan.

    Args:
        values: ``(n_rows, n_families)``, of order 1: what differs by less than 10^-12 is equal.
        ranges: least and greatest possible values, each as ``values``; by default there are none.
        widening: how many times wider intervals are than of independent families ``(n_rows,)``.
        seed: of the resamples.
        n_resamples: how many.

    Raises:
        ValueError: values are not of two dimensions, or there are fewer than ``MIN_FAMILIES`` families.

    Source: Efron 1982; Hall 1988, "On symmetric bootstrap confidence intervals"; Cameron, Gelbach, Miller 2008.
    """
    mean, error, centred = _moments(values)
    counts = _counts(values.shape[1], seed, n_resamples)
    units, again = np.unique(_on_grid(centred), axis=0, return_inverse=True)  # a fifth of the rows come twice
    n_threads = os.cpu_count() or 1
    with ThreadPoolExecutor(n_threads) as threads:
        quantiles = list(threads.map(lambda part: _squared_t(part, counts), np.array_split(units, n_threads)))
    low, high = _ends(mean, np.sqrt(np.concatenate(quantiles))[again.ravel()], error * widening)
    return (low, high) if ranges is None else _within(values, ranges, low, high)


@lru_cache(maxsize=8)
def _counts(n: int, seed: int, n_resamples: int) -> Array:
    """Return how often each resample draws each of n families ``(n, n_resamples)``."""
    draws = (Stream("families", seed).uniform((n_resamples, n)) * n).astype(np.int64)
    return np.stack([(draws == family).sum(1) for family in range(n)]).astype(np.float64)


def _squared_t(units: Array, counts: Array) -> Array:
    """Return the 95 % quantile ``(n_rows,)`` of t*^2 over resamples ``(n_families, n_resamples)``, counts of each family.

    t* is the resampled mean over its standard error: with mean m and mean square s, (n - 1) m^2 / (s - m^2) is its square;
    infinite where a resample has another mean and no spread, 0 where it has the same. It grows with m^2 / s, by which the
    resample at the quantile is found.
    """
    n = len(counts)
    grid = min(_GRID_OF_SQUARES, 2.0 ** (53 - n.bit_length()))
    squares = np.rint(units**2 * grid) / grid
    found = np.zeros(len(units), dtype=np.int64)
    bins = 2.0 ** (_BINS // n).bit_length() / 2.0  # m^2 / s is at most n; a power of two changes no order
    sizes = np.maximum(squares, _NO_SPREAD) / bins  # at least that, so that a resample of zeros is 0 / s
    memory = np.empty((2, min(_BLOCK, len(units)), counts.shape[1]))  # taken once: new pages cost as much as the sums
    for start in range(0, len(units), _BLOCK):
        block = slice(start, start + _BLOCK)
        ratios, size = memory[:, : len(units[block])]
        np.matmul(units[block], counts, out=ratios)
        np.matmul(sizes[block], counts, out=size)
        found[block] = _at_quantile(np.divide(np.square(ratios, out=ratios), size, out=ratios))
    drawn = counts[:, found].T
    squared = (np.sum(units * drawn, axis=1) / n) ** 2
    spread = np.sum(squares * drawn, axis=1) / n - squared
    without = np.where(squared > _NO_SPREAD, np.inf, 0.0)
    return (n - 1) * np.divide(squared, spread, out=without, where=spread > _NO_SPREAD)


def _at_quantile(statistics: Array) -> list[int]:
    """Return where each row of ``(n_rows, n_resamples)`` has its quantile, as ``_quantile`` has it.

    Values, at least 0, are counted by their whole parts, and those of the part that the quantile has are sorted: a third of
    the time of ``partition``.
    """
    place, found = _place(statistics.shape[1]), []
    for values, whole in zip(statistics, statistics.astype(np.int64), strict=True):
        filled = np.bincount(whole).cumsum()
        at = filled.searchsorted(place, side="right")
        (inside,) = np.nonzero(whole == at)
        found.append(inside[values[inside].argsort()[place - filled[at]]])
    return found


def _within(values: Array, ranges: tuple[Array, Array], low: Array, high: Array) -> tuple[Array, Array]:
    """Return rounded ends, cut off beyond all families' ranges; nan where all families are at the same end of theirs."""
    lowest, highest = (np.broadcast_to(each, values.shape) for each in ranges)
    near = ROUNDING * (highest - lowest)
    at_an_end = np.all(values <= lowest + near, axis=1) | np.all(values >= highest - near, axis=1)
    fixed = np.all(highest <= lowest, axis=1)
    least, greatest = np.round(lowest.min(1), LIMIT_DIGITS), np.round(highest.max(1), LIMIT_DIGITS)
    cut = (np.clip(np.round(end, INTERVAL_DIGITS), least, greatest) + 0.0 for end in (low, high))
    first, last = (np.where(fixed, values.mean(1), np.where(at_an_end, np.nan, end)) for end in cut)
    return first, last


def simultaneous_intervals(
    differences: Array,
    ranges: tuple[Array, Array] | None = None,
    *,
    widening: Array | float = 1.0,
    seed: int = 0,
    n_resamples: int = RESAMPLES,
) -> tuple[Array, Array]:
    """Return the ends ``(n_rows,)`` of intervals that hold for all rows at once with 95 % confidence (max-|T|).

    A row whose interval leaves out 0 differs from 0 after correction for all rows: under equality of all, one or more do
    in at most about 5 % of benchmarks. Where 5 % of the sign patterns leave some row without spread, no row has ends.

    Args:
        differences: paired differences ``(n_rows, n_families)``.
        ranges, widening: as for ``intervals``.
        seed: of the resamples.
        n_resamples: how many.

    Raises:
        ValueError: as ``intervals``.

    Source: Westfall and Young 1993; wild cluster bootstrap with random signs of Cameron, Gelbach, Miller 2008.
    """
    mean, error, centred = _moments(differences)
    low, high = _ends(mean, _max_t(_on_grid(centred), seed, n_resamples), error * widening)
    return (low, high) if ranges is None else _within(differences, ranges, low, high)


def rank_intervals(
    values: Array, *, kinds: Array | None = None, seed: int = 0, n_resamples: int = RESAMPLES
) -> tuple[Array, Array]:
    """Return the best and the worst rank ``(n_rows,)``, 1 for the highest mean, that the data allow to each row.

    With 95 % confidence all true ranks are within at once: a row is above another where their difference, corrected for
    all pairs (max-|T|), leaves out 0.

    Args:
        values: ``(n_rows, n_families)``.
        kinds: number of each family's kind ``(n_families,)``, by which differences are widened.
        seed: of the resamples.
        n_resamples: how many.

    Raises:
        ValueError: as ``intervals``.

    Source: Mogstad, Romano, Shaikh, Wilhelm 2024, "Inference for ranks".
    """
    first, second = np.triu_indices(len(values), 1)
    best, worst = np.ones(len(values), dtype=np.int64), np.full(len(values), len(values), dtype=np.int64)
    differences = values[first] - values[second]
    wider = 1.0 if kinds is None else widening_of(differences, kinds, LEAST_OF_DIFFERENCES)
    low, high = simultaneous_intervals(differences, widening=wider, seed=seed, n_resamples=n_resamples)
    for better, worse, certain in ((first, second, low > 0), (second, first, high < 0)):
        np.add.at(best, worse[certain], 1)
        np.subtract.at(worst, better[certain], 1)
    return best, worst


def _moments(values: Array) -> tuple[Array, Array, Array]:
    """Return means, their standard errors, both ``(n_rows,)``, and centred values; those of equal values are exactly 0."""
    if values.ndim != 2 or values.shape[1] < MIN_FAMILIES:
        raise ValueError(f"values {values.shape}; expected (n_rows, n_families) with at least {MIN_FAMILIES} families")
    rounded = np.ascontiguousarray(np.round(values, DIGITS))
    equal = np.ptp(rounded, axis=1) <= ROUNDING * np.max(np.abs(rounded), axis=1)
    mean = np.where(equal, rounded[:, 0], rounded.mean(1))
    centred = np.where(equal[:, None], 0.0, rounded - mean[:, None])
    return mean, np.sqrt((centred**2).sum(1) / (values.shape[1] * (values.shape[1] - 1))), centred


def _on_grid(centred: Array) -> Array:
    """Return rows in units of their largest value, on a grid; t* does not depend on the unit."""
    largest = np.max(np.abs(centred), axis=1, initial=0.0)
    return np.rint(centred / np.where(largest > 0, largest, 1.0)[:, None] * _GRID) / _GRID


def _max_t(units: Array, seed: int, n_resamples: int) -> float:
    """Return the 95 % quantile of max over rows |t*|, each family's values (the same for all rows) getting a random sign.

    Signs leave the sum of squares q of a row as it is, so t* depends on its sum s* alone: with r = s* / sqrt(n q),
    |t*| = sqrt(n - 1) |r| / sqrt(1 - r^2), which grows with |r|; infinite where a pattern makes all values of a row equal.
    No pattern brings |s*| over the sum of |values|: rows whose sum stays under the quantile of the others cannot move it.
    """
    n = units.shape[1]
    norm = np.sqrt((units**2).sum(1))
    units, norm = units[norm > 0], norm[norm > 0]
    patterns, every = _patterns(n, seed, n_resamples)
    reach, error = np.abs(units).sum(1) / norm, n * n * 2.0**-22  # |s*| at most; twice what float32 can be wrong by
    order = np.argsort(-reach)
    units, norm, reach = units[order], norm[order], reach[order]
    largest, n_rows = np.zeros(patterns.shape[1]), 0
    while n_rows < len(units) and reach[n_rows] >= _quantile(largest[every]) - error:
        some = slice(n_rows, n_rows + _AT_ONCE)
        largest = np.maximum(largest, _largest(*(array.astype(np.float32) for array in (units[some], norm[some], patterns))))
        n_rows += _AT_ONCE
    near = np.abs(largest - _quantile(largest[every])) <= error
    largest[near] = _largest(units[:n_rows], norm[:n_rows], patterns[:, near])
    r = float(_quantile(largest[every])) / np.sqrt(n)
    return float(np.sqrt(n - 1) * r / np.sqrt(1.0 - r * r)) if 1.0 - r * r > ROUNDING else np.inf


def _largest(units: Array, norm: Array, patterns: Array) -> Array:
    """Return the largest |s*| of all rows under each pattern ``(n_patterns,)``, each in units of its row's norm."""
    largest = np.zeros(patterns.shape[1], dtype=units.dtype)
    memory = np.empty((_BLOCK, patterns.shape[1]), dtype=units.dtype)
    for start in range(0, len(units), _BLOCK):
        block = slice(start, start + _BLOCK)
        sums = np.matmul(units[block], patterns, out=memory[: len(units[block])])
        np.divide(np.abs(sums, out=sums), norm[block, None], out=sums)
        np.maximum(largest, sums.max(0), out=largest)
    return largest


@lru_cache(maxsize=8)
def _patterns(n: int, seed: int, n_resamples: int) -> tuple[Array, Array]:
    """Return the patterns of signs of n families ``(n, n_patterns)``, and the number of each resample's: many share one."""
    signs = Stream("signs", seed).signs((n_resamples, n))
    signs = signs * signs[:, :1]  # turned all over, they give the same |s*|
    codes = signs @ 2.0 ** np.arange(n) if n <= 50 else np.arange(float(n_resamples))  # exact up to 53 binary digits
    _, first, every = np.unique(codes, return_index=True, return_inverse=True)
    return np.ascontiguousarray(signs[first].T), every


def _quantile(statistics: Array) -> Array:
    """Return the smallest value of ``(n_resamples,)`` that at least 95 % do not exceed."""
    return np.asarray(np.partition(statistics, _place(len(statistics)))[_place(len(statistics))])


def _place(n: int) -> int:
    """Return the place of the quantile among n values in rising order, from 0."""
    return min(int(np.ceil(CONFIDENCE * (n + 1))), n) - 1


def _ends(mean: Array, quantile: Array | float, error: Array) -> tuple[Array, Array]:
    known = np.where(error > 0, quantile, np.where(mean == 0.0, 0.0, np.inf))
    half = np.where(np.isfinite(known), known, np.nan) * error
    return mean - half, mean + half
