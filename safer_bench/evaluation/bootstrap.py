"""What a mean over network families can tell: intervals, paired comparisons and rank intervals; no I/O.

The unit is the network *family*: whatever was averaged below it (levels, variants, perturbations, networks) is one number.
Every function takes one row for each criterion, or for each difference of two, ``(n_rows, n_families)``, and resamples the
same families for all rows, so that comparisons are paired. Fewer than ``MIN_FAMILIES`` support no interval. Equal seeds
give equal results. Coverage, error rates and cost are measured in docs/statistics.md.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from safer_bench.stream import Stream

Array = np.ndarray
MIN_FAMILIES = 6  # fewer: per-network values, no interval, no ranking
CONFIDENCE = 0.95
RESAMPLES = 10_000
DIGITS = 12  # smaller differences are rounding errors of the averages
_BLOCK = 25  # rows of 10,000 resamples that stay in a processor's cache


def intervals(values: Array, *, seed: int = 0, n_resamples: int = RESAMPLES) -> tuple[Array, Array]:
    """Return the ends ``(n_rows,)`` of each row's 95 % interval for its mean, rows taken one by one.

    Studentised cluster bootstrap: families are drawn with replacement, and the interval is the mean plus or minus the
    95 % quantile of |t*| times the standard error. The symmetric form covers better with few families than equal tails.

    Args:
        values: ``(n_rows, n_families)``, any unit.
        seed: of the resamples.
        n_resamples: how many.

    Raises:
        ValueError: values are not of two dimensions, or there are fewer than ``MIN_FAMILIES`` families.

    Source: Efron 1982; Hall 1988, "On symmetric bootstrap confidence intervals"; Cameron, Gelbach, Miller 2008.
    """
    mean, error, centred = _moments(values)
    n = values.shape[1]
    draws = (Stream("families", seed).uniform((n_resamples, n)) * n).astype(np.int64)
    shares = np.stack([(draws == family).sum(1) for family in range(n)]) / n
    units = centred / np.where(error > 0, error, 1.0)[:, None]  # t* does not depend on the unit
    blocks = [units[start : start + _BLOCK] for start in range(0, len(units), _BLOCK)]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        quantiles = list(threads.map(lambda block: _squared_t(block, shares), blocks))
    return _ends(mean, np.sqrt(np.concatenate([np.zeros(0), *quantiles])), error)


def _squared_t(centred: Array, shares: Array) -> Array:
    """Return the 95 % quantile ``(n_rows,)`` of t*^2 over resamples ``(n_families, n_resamples)``, shares of each family.

    t* is the resampled mean over its standard error: with mean m and mean square s, (n - 1) m^2 / (s - m^2) is its square.
    """
    squared, spread = np.matmul(centred, shares), np.matmul(centred**2, shares)
    np.square(squared, out=squared)
    np.subtract(spread, squared, out=spread)
    np.maximum(spread, 0.0, out=spread)
    with np.errstate(divide="ignore", invalid="ignore"):
        np.divide(squared, spread, out=squared)
    np.fmax(squared, 0.0, out=squared)  # 0 / 0 is 0
    return _quantile(squared) * (len(shares) - 1)


def simultaneous_intervals(differences: Array, *, seed: int = 0, n_resamples: int = RESAMPLES) -> tuple[Array, Array]:
    """Return the ends ``(n_rows,)`` of intervals that hold for all rows at once with 95 % confidence (max-|T|).

    A row whose interval leaves out 0 differs from 0 after correction for all rows: under equality of all, one or more do
    in at most about 5 % of benchmarks.

    Args:
        differences: paired differences ``(n_rows, n_families)``.
        seed: of the resamples.
        n_resamples: how many.

    Raises:
        ValueError: as ``intervals``.

    Source: Westfall and Young 1993; wild cluster bootstrap with random signs of Cameron, Gelbach, Miller 2008.
    """
    mean, error, centred = _moments(differences)
    return _ends(mean, _max_t(centred, seed, n_resamples), error)


def rank_intervals(values: Array, *, seed: int = 0, n_resamples: int = RESAMPLES) -> tuple[Array, Array]:
    """Return the best and the worst rank ``(n_rows,)``, 1 for the highest mean, that the data allow to each row.

    With 95 % confidence all true ranks are within at once: a row is above another where their difference, corrected for
    all pairs (max-|T|), leaves out 0.

    Args:
        values: ``(n_rows, n_families)``.
        seed: of the resamples.
        n_resamples: how many.

    Raises:
        ValueError: as ``intervals``.

    Source: Mogstad, Romano, Shaikh, Wilhelm 2024, "Inference for ranks".
    """
    first, second = np.triu_indices(len(values), 1)
    best, worst = np.ones(len(values), dtype=np.int64), np.full(len(values), len(values), dtype=np.int64)
    low, high = simultaneous_intervals(values[first] - values[second], seed=seed, n_resamples=n_resamples)
    for better, worse, certain in ((first, second, low > 0), (second, first, high < 0)):
        np.add.at(best, worse[certain], 1)
        np.subtract.at(worst, better[certain], 1)
    return best, worst


def _moments(values: Array) -> tuple[Array, Array, Array]:
    """Return means, their standard errors, both ``(n_rows,)``, and centred values; those of constant rows are exactly 0."""
    if values.ndim != 2 or values.shape[1] < MIN_FAMILIES:
        raise ValueError(f"values {values.shape}; expected (n_rows, n_families) with at least {MIN_FAMILIES} families")
    rounded = np.round(values, DIGITS)
    constant = np.ptp(rounded, axis=1) == 0.0
    mean = np.where(constant, rounded[:, 0], rounded.mean(1))
    centred = rounded - mean[:, None]
    return mean, np.sqrt((centred**2).sum(1) / (values.shape[1] * (values.shape[1] - 1))), centred


def _max_t(centred: Array, seed: int, n_resamples: int) -> float:
    """Return the 95 % quantile of max over rows |t*|, each family's values (the same for all rows) getting a random sign.

    Signs leave the sum of squares q of a row as it is, so t* depends on its sum s* alone: with r = s* / sqrt(n q),
    |t*| = sqrt(n - 1) |r| / sqrt(1 - r^2), which grows with |r|.
    """
    n = centred.shape[1]
    norm = np.sqrt((centred**2).sum(1))
    unit = centred[norm > 0] / norm[norm > 0, None]
    signs = Stream("signs", seed).signs((n_resamples, n))
    signs = signs * signs[:, :1]  # turned all over, they give the same |s*|
    codes = signs @ 2.0 ** np.arange(n) if n <= 50 else np.arange(float(n_resamples))  # exact up to 53 binary digits
    _, first, every = np.unique(codes, return_index=True, return_inverse=True)
    patterns = signs[first].T / np.sqrt(n)  # with few families far fewer than resamples
    largest = np.zeros(len(first))
    for start in range(0, len(unit), _BLOCK):
        np.maximum(largest, np.abs(unit[start : start + _BLOCK] @ patterns).max(0), out=largest)
    largest = largest[every]
    r = min(float(_quantile(largest)), 1.0)
    return float(np.sqrt(n - 1) * r / np.sqrt(1.0 - r * r)) if r < 1.0 else np.inf


def _quantile(statistics: Array) -> Array:
    """Return the smallest value of each row of ``(..., n_resamples)`` that at least 95 % do not exceed; reorders them."""
    n = statistics.shape[-1]
    place = min(int(np.ceil(CONFIDENCE * (n + 1))), n) - 1
    statistics.partition(place, axis=-1)
    return np.asarray(statistics[..., place])


def _ends(mean: Array, quantile: Array | float, error: Array) -> tuple[Array, Array]:
    half = np.where(error > 0, quantile, 0.0) * error
    return mean - half, mean + half
