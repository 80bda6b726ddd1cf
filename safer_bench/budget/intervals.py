"""How sure a measured accuracy is, over examples and draws; pure.

Values are ``(n_draws, n_examples)``: what came of an example in a draw, nan where the draw did not see it.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

Array = np.ndarray
ROUNDING = 1e-9  # of an error that is 0, rounding leaves at most this share of the values


@dataclass(frozen=True, slots=True)
class IntervalEstimate:
    """A mean with its standard error and a 95 % interval."""

    mean: float
    standard_error: float
    low: float
    high: float


def accuracy(values: Array) -> IntervalEstimate:
    """Return the accuracy with Wilson's interval, for as many examples as would have its standard error.

    Source: Wilson 1927; Kish 1965 (effective sample size).
    """
    mean, error = float(np.nanmean(values)), standard_error(values)
    n = mean * (1.0 - mean) / error**2 if error > 0 else float(np.isfinite(values).any(0).sum())
    z = _quantile(len(values))
    centre = (mean + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(mean * (1 - mean) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return IntervalEstimate(mean, error, max(0.0, centre - half), min(1.0, centre + half))


def gain(values: Array, baseline: Array) -> IntervalEstimate:
    """Return the mean difference of two accuracies with Student's interval, paired by example and draw.

    Ends beyond -1 and 1 are cut off. A gain that is the same in every example, or balanced in each, tells no spread: its
    ends are nan, unless nothing differs at all.
    """
    difference = values - baseline
    mean, error = float(np.nanmean(difference)), standard_error(difference)
    half = _quantile(len(values)) * error if error > 0 or not np.nan_to_num(difference).any() else math.nan
    low, high = (float(np.clip(end, -1.0, 1.0)) for end in (mean - half, mean + half))
    return IntervalEstimate(mean, error, low, high)


def standard_error(values: Array) -> float:
    """Return the standard error of the mean, clustered by draw and by example; by example alone where there is one draw.

    The larger of the two-way estimate and those by one of the two: with few draws the first may fall short.

    Source: Cameron, Gelbach, Miller 2011, "Robust Inference With Multiway Clustering".
    """
    residuals = np.nan_to_num(values - np.nanmean(values))
    seen = np.isfinite(values)
    by_example = _clustered(residuals.sum(0)[seen.any(0)])
    variance = by_example
    if len(values) > 1:
        by_draw, by_cell = _clustered(residuals.sum(1)), _clustered(residuals[seen])
        variance = max(by_draw, by_example, by_draw + by_example - by_cell)
    error = math.sqrt(variance) / int(seen.sum())
    return error if error > ROUNDING * float(np.nanmax(np.abs(values))) else 0.0


def _clustered(sums: Array) -> float:
    """Return the variance of the sum of clusters whose residuals have these sums."""
    return float((sums**2).sum() * len(sums) / (len(sums) - 1))


def _quantile(n_draws: int) -> float:
    return float(stats.norm.ppf(0.975) if n_draws == 1 else stats.t.ppf(0.975, n_draws - 1))
