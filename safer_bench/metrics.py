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
