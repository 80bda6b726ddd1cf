"""How well scores rank layers: plain arrays in, a float out; no I/O.

Every function takes ``truth`` and ``scores`` of shape ``(n_layers,)``, higher meaning more sensitive in both, and returns
nan where the metric is undefined: fewer than two layers, or a constant side.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

Array = np.ndarray


def _undefined(truth: Array, scores: Array) -> bool:
    if truth.shape != scores.shape or truth.ndim != 1:
        raise ValueError(f"truth {truth.shape} and scores {scores.shape}; expected two arrays of one shape (n_layers,)")
    return len(truth) < 2 or bool(np.all(truth == truth[0])) or bool(np.all(scores == scores[0]))


def spearman(*, truth: Array, scores: Array) -> float:
    """Return Spearman's rank correlation, ties at their mean rank; nan where one side is constant.

    Raises:
        ValueError: shapes differ.

    Source: Spearman 1904; ``scipy.stats.rankdata``.

    >>> float(spearman(truth=np.array([1.0, 2.0, 3.0]), scores=np.array([10.0, 20.0, 15.0])))
    0.5
    """
    if _undefined(truth, scores):
        return float("nan")
    return float(np.corrcoef(stats.rankdata(truth), stats.rankdata(scores))[0, 1])


def kendall_tau_b(*, truth: Array, scores: Array) -> float:
    """Return Kendall's tau-b, corrected for ties; nan where one side is constant.

    Raises:
        ValueError: shapes differ.

    Source: Kendall 1945; ``scipy.stats.kendalltau``.
    """
    if _undefined(truth, scores):
        return float("nan")
    return float(stats.kendalltau(truth, scores).statistic)


def top_k_overlap(*, truth: Array, scores: Array, k: int) -> float:
    """Return the expected share of the k most sensitive layers that are among the k highest scores.

    Ties are broken at random on both sides, independently; the expectation is in closed form. A constant side is no
    special case: each layer is in its top k with probability k / n_layers.

    Raises:
        ValueError: shapes differ, or k is not in 1 ... n_layers.

    >>> top_k_overlap(truth=np.array([3.0, 1.0, 2.0]), scores=np.array([1.0, 1.0, 1.0]), k=1)
    0.3333333333333333
    """
    _undefined(truth, scores)
    if not 1 <= k <= len(truth):
        raise ValueError(f"k = {k}; expected 1 to {len(truth)}")
    return float(_top_probability(truth, k) @ _top_probability(scores, k)) / k


def _top_probability(values: Array, k: int) -> Array:
    """Return each entry's probability to be among the k largest, ties broken at random."""
    threshold = np.sort(values)[-k]
    above, level = values > threshold, values == threshold
    return above + level * ((k - above.sum()) / level.sum())


def chance_corrected_overlap(*, truth: Array, scores: Array, k: int) -> float:
    """Return ``(overlap - k/n) / (1 - k/n)``: 1 for the best choice, 0 for a random one; nan where one side is constant.

    Defined only for k <= n/2: nan above.
    """
    share = k / len(truth)
    if share > 0.5 or _undefined(truth, scores):
        return float("nan")
    return (top_k_overlap(truth=truth, scores=scores, k=k) - share) / (1.0 - share)


def ndcg_gain(*, truth: Array, scores: Array) -> float:
    """Return the normalised discounted cumulative gain minus that of a random order: 0 is chance.

    The gain of a layer is max(truth, 0), its discount 1 / log2(1 + place). Tied scores share their places' mean discount,
    which is the expectation over random tie-breaks. nan where one side is constant or no layer gains.

    Raises:
        ValueError: shapes differ.

    Source: Jarvelin and Kekalainen 2002; ties of McSherry and Najork 2008.

    >>> round(ndcg_gain(truth=np.array([1.0, 0.0]), scores=np.array([2.0, 1.0])), 4)
    0.1845
    """
    gains = np.maximum(truth, 0.0)
    if _undefined(truth, scores) or not gains.any():
        return float("nan")
    discounts = 1.0 / np.log2(np.arange(2.0, len(truth) + 2.0))
    best = float(np.sort(gains)[::-1] @ discounts)
    _, group, sizes = np.unique(-scores, return_inverse=True, return_counts=True)
    shared = np.add.reduceat(discounts, np.cumsum(sizes) - sizes) / sizes
    return float(gains @ shared[group] - gains.sum() * discounts.mean()) / best


def protected_gain(*, half_a: Array, half_b: Array, errors: Array, scores: Array, k: int) -> float:
    """Return what protecting the k highest scored layers saves: 1 for the best choice, 0 for a random one.

    Picks are judged on truth that they were not made from: the best choice is the top k of one half of the truth, judged
    on the other, both ways averaged; scores saw neither half, so they are judged on the mean of both. Tied scores are
    picked with equal probability. nan where one side is constant, k is over half of the layers, or the best choice is
    above a random one by less than two standard errors (of layers taken as independent).

    Args:
        half_a, half_b: truth ``(n_layers,)`` on two random halves of draws and examples.
        errors: standard errors ``(n_layers,)`` of the whole truth; unknown ones (nan) give nan.
        scores: ``(n_layers,)``.
        k: number of layers to protect.

    Raises:
        ValueError: shapes differ.
    """
    mean, share = (half_a + half_b) / 2.0, k / len(scores)
    if share > 0.5 or not np.all(np.isfinite(mean)) or _undefined(mean, scores):
        return float("nan")
    top_a, top_b = _top_probability(half_a, k), _top_probability(half_b, k)
    best = float((top_a - share) @ half_b + (top_b - share) @ half_a) / 2.0
    error = float(np.sqrt(np.sum((((top_a + top_b) / 2.0 - share) * errors) ** 2)))
    if not (best > 0.0 and best >= 2.0 * error):
        return float("nan")
    return float((_top_probability(scores, k) - share) @ mean) / best


def partial_spearman(*, truth: Array, scores: Array, given: Array) -> float:
    """Return Spearman's correlation of what ``given`` does not explain: Pearson's of the ranks' linear residuals.

    nan where a side is constant, is explained in full, or where fewer than two degrees of freedom are left.

    Args:
        truth, scores: ``(n_layers,)``.
        given: ``(n_given, n_layers)``, such as size and depth; only their ranks are used.

    Raises:
        ValueError: shapes differ.

    Source: Kendall 1942, "Partial rank correlation"; the form of Conover 1999, chapter 5.4.
    """
    if _undefined(truth, scores) or len(truth) < len(given) + 3:
        return float("nan")
    explaining = np.vstack([np.ones(len(truth)), stats.rankdata(given, axis=1)]).T
    ranks = np.stack([stats.rankdata(truth), stats.rankdata(scores)], axis=1)
    left = ranks - explaining @ np.linalg.lstsq(explaining, ranks, rcond=None)[0]
    norms = np.linalg.norm(left, axis=0)
    if np.any(norms < 1e-9 * np.linalg.norm(ranks, axis=0)):
        return float("nan")
    return float(left[:, 0] @ left[:, 1] / norms.prod())


@dataclass(frozen=True, slots=True)
class Metric:
    """A column of the board: name, one-line description, and its function of (truth, scores)."""

    name: str
    description: str
    function: Callable[[Array, Array], float]

    def __call__(self, truth: Array, scores: Array) -> float:
        """Return the metric of truth and scores, both ``(n_layers,)``."""
        return self.function(truth, scores)


def _overlap_at(k: int) -> Metric:
    def overlap(truth: Array, scores: Array) -> float:
        return chance_corrected_overlap(truth=truth, scores=scores, k=k)

    return Metric(f"top_{k}_overlap", f"overlap of the {k} most sensitive layers, chance-corrected", overlap)


def _overlap_at_ten_percent(truth: Array, scores: Array) -> float:
    return chance_corrected_overlap(truth=truth, scores=scores, k=-(-len(truth) // 10))


METRICS = (
    Metric("spearman", "Spearman's rank correlation", lambda truth, scores: spearman(truth=truth, scores=scores)),
    Metric("kendall_tau_b", "Kendall's tau-b", lambda truth, scores: kendall_tau_b(truth=truth, scores=scores)),
    _overlap_at(1),
    _overlap_at(3),
    _overlap_at(5),
    Metric("top_10_percent_overlap", "the same for the top tenth, rounded up", _overlap_at_ten_percent),
)


@dataclass(frozen=True, slots=True)
class CellTruth:
    """The truth of one network under one perturbation, with what metrics without a ceiling need of it.

    Attributes:
        values: ``(n_layers,)``.
        half_a, half_b: the same on two random halves of draws and examples; nan where they cannot be halved.
        errors: standard errors of ``values``; nan where unknown.
        size_and_depth: parameters and position of each layer ``(2, n_layers)``.
    """

    values: Array
    half_a: Array
    half_b: Array
    errors: Array
    size_and_depth: Array


@dataclass(frozen=True, slots=True)
class CellMetric:
    """A metric of results that has no ceiling: name, one-line description, its function of (cell truth, scores)."""

    name: str
    description: str
    function: Callable[[CellTruth, Array], float]

    def __call__(self, truth: CellTruth, scores: Array) -> float:
        """Return the metric of the truth of a cell and scores ``(n_layers,)``."""
        return self.function(truth, scores)


def _protected_gain_at(k: int) -> CellMetric:
    def gain(truth: CellTruth, scores: Array) -> float:
        return protected_gain(half_a=truth.half_a, half_b=truth.half_b, errors=truth.errors, scores=scores, k=k)

    return CellMetric(f"protected_gain_at_{k}", f"what protecting {k} layers saves, of what the best choice would", gain)


CELL_METRICS = (
    CellMetric(
        "ndcg_gain", "NDCG above that of a random order", lambda cell, scores: ndcg_gain(truth=cell.values, scores=scores)
    ),
    _protected_gain_at(1),
    _protected_gain_at(3),
    CellMetric(
        "partial_spearman",
        "Spearman's rank correlation given the layers' sizes and positions",
        lambda cell, scores: partial_spearman(truth=cell.values, scores=scores, given=cell.size_and_depth),
    ),
)
