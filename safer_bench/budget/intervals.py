"""How sure a measured accuracy is, over examples and draws; pure.

Values are ``(n_draws, n_answers)``: what came of an answer in a draw, nan where the draw did not see it. ``examples``
``(n_answers,)`` numbers the example that each belongs to; by default each has one. Those of one depend on each other.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

Array = np.ndarray
UNSEEN = 3.69  # of n trials none failed: -ln(0.025) / n is the upper end
ROUNDING = 1e-9  # of an error that is 0, rounding leaves at most this share of the values


@dataclass(frozen=True, slots=True)
class IntervalEstimate:
    """A mean with its standard error and a 95 % interval."""

    mean: float
    standard_error: float
    low: float
    high: float


def accuracy(values: Array, examples: Array | None = None) -> IntervalEstimate:
    """Return the accuracy with Wilson's interval, for as many answers as would have its standard error.

    Source: Wilson 1927; Kish 1965 (effective sample size).
    """
    mean, error = float(np.nanmean(values)), standard_error(values, examples)
    n = mean * (1.0 - mean) / error**2 if error > 0 else float(_summed(np.isfinite(values), examples).any(0).sum())
    z = quantile(len(values))
    centre = (mean + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(mean * (1 - mean) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    low, high = min(mean, max(0.0, centre - half)), max(mean, min(1.0, centre + half))  # but for rounding they are so
    return IntervalEstimate(mean, error, low, high)


def gain(values: Array, baseline: Array, examples: Array | None = None) -> IntervalEstimate:
    """Return the mean difference of two accuracies with Student's interval, paired by answer and draw.

    Ends beyond -1 and 1 are cut off. A gain that is the same in every example, or balanced in each, tells no spread: its
    ends are nan, unless nothing differs at all.
    """
    difference = values - baseline
    mean, error = float(np.nanmean(difference)), standard_error(difference, examples)
    half = quantile(len(values)) * error if error > 0 or not np.nan_to_num(difference).any() else math.nan
    low, high = (float(np.clip(end, -1.0, 1.0)) for end in (mean - half, mean + half))
    return IntervalEstimate(mean, error, low, high)


def accuracy_lost(unchanged: Array, right: Array, examples: Array, unseen_in: int | None) -> IntervalEstimate:
    """Return the mean of unchanged minus right, paired by answer: no more can be gained than was wrong unchanged.

    Args:
        unchanged: which answers are right ``(1, n_answers)``.
        right: the same after the change.
        examples: which each answer belongs to.
        unseen_in: trials for ``allowing_for_unseen``; None where the interval is not to allow for that.
    """
    before = np.where(np.isfinite(right), unchanged, np.nan)
    found = gain(before, right, examples)
    if unseen_in is not None:
        found = allowing_for_unseen(found, unseen_in)
    return replace(found, low=float(np.maximum(found.low, np.nanmean(before) - 1.0)))


def allowing_for_unseen(estimate: IntervalEstimate, n: int, least: float = -1.0) -> IntervalEstimate:
    """Return an estimate whose interval allows for what n trials did not show.

    That nothing was lost on n examples does not prove that nothing will be: to each half-width ``UNSEEN / (n + 2)`` is added
    in quadrature, which is about the exact upper end (3.69 / n) where nothing was lost.

    Args:
        estimate: of accuracies or their differences; ends that are nan tell no spread.
        n: examples, or draws where one draw in n may lose everything.
        least: that the mean can be; the most is 1.

    Source: Clopper and Pearson 1934 (the exact end); Agresti and Min 2005 (two more examples).
    """
    below, above = (np.nan_to_num(abs(estimate.mean - end)) for end in (estimate.low, estimate.high))
    low, high = estimate.mean - np.hypot(below, UNSEEN / (n + 2)), estimate.mean + np.hypot(above, UNSEEN / (n + 2))
    return IntervalEstimate(estimate.mean, estimate.standard_error, max(least, float(low)), min(1.0, float(high)))


def standard_error(values: Array, examples: Array | None = None) -> float:
    """Return the standard error of the mean, clustered by draw and by example; by example alone where there is one draw.

    The larger of the two-way estimate and those by one of the two: with few draws the first may fall short.

    Source: Cameron, Gelbach, Miller 2011, "Robust Inference With Multiway Clustering".
    """
    residuals = _summed(np.nan_to_num(values - np.nanmean(values)), examples)
    seen = _summed(np.isfinite(values), examples) > 0
    by_example = _clustered(residuals.sum(0)[seen.any(0)])
    variance = by_example
    if len(values) > 1:
        by_draw, by_cell = _clustered(residuals.sum(1)), _clustered(residuals[seen])
        variance = max(by_draw, by_example, by_draw + by_example - by_cell)
    error = math.sqrt(variance) / int(np.isfinite(values).sum())
    return error if error > ROUNDING * float(np.nanmax(np.abs(values))) else 0.0


def _summed(of_answers: Array, examples: Array | None) -> Array:
    """Return sums over the answers of each example ``(n_draws, n_examples)``."""
    if examples is None:
        return of_answers
    sums = np.zeros((len(of_answers), int(examples.max()) + 1))
    np.add.at(sums.T, examples, of_answers.T)
    return sums


def _clustered(sums: Array) -> float:
    """Return the variance of the sum of clusters whose residuals have these sums."""
    return float((sums**2).sum() * len(sums) / (len(sums) - 1))


def quantile(n_draws: int) -> float:
    """Return how many standard errors a 95 % interval reaches: of the normal, or of Student's t where there are draws."""
    return float(stats.norm.ppf(0.975) if n_draws == 1 else stats.t.ppf(0.975, n_draws - 1))
