"""The columns of a board: each metric's name, its function of a cell's truth and scores, and its limits; no I/O."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from safer_bench.metrics import (
    chance_corrected_overlap,
    kendall_tau_b,
    ndcg_gain,
    partial_spearman,
    protected_gain,
    spearman,
)

Array = np.ndarray


@dataclass(frozen=True, slots=True)
class CellTruth:
    """The truth of a network under a perturbation, or under several stacked along axes before the layers.

    Attributes:
        values: ``(..., n_layers)``.
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
class Metric:
    """A column of the board.

    Attributes:
        name, description: one word, one line.
        function: of (truth, scores).
        limits: of a truth: the least and the greatest value that any scores have there, ``(...)`` each; both are 0, what
            undefined values count as, where no scores have one.
    """

    name: str
    description: str
    function: Callable[[CellTruth, Array], Any]
    limits: Callable[[CellTruth], tuple[Array, Array]]

    def __call__(self, truth: CellTruth, scores: Array) -> Any:
        """Return the metric of a truth and scores ``(..., n_layers)``."""
        return self.function(truth, scores)


def _correlation(name: str, description: str, function: Callable[[CellTruth, Array], Any]) -> Metric:
    def limits(truth: CellTruth) -> tuple[Array, Array]:
        ones = _ones_where_defined(function, truth)
        return 0.0 - ones, ones

    return Metric(name, description, function, limits)


def _ones_where_defined(function: Callable[[CellTruth, Array], Any], truth: CellTruth) -> Array:
    """Return 1 for each truth that can be compared with itself, 0 for one that is constant, say ``(...)``."""
    return np.isfinite(function(truth, truth.values)).astype(np.float64)


def _overlap(name: str, description: str, k_of: Callable[[int], int]) -> Metric:
    def overlap(truth: CellTruth, scores: Array) -> Any:
        return chance_corrected_overlap(truth=truth.values, scores=scores, k=k_of(scores.shape[-1]))

    def limits(truth: CellTruth) -> tuple[Array, Array]:
        share, ones = k_of(truth.values.shape[-1]) / truth.values.shape[-1], _ones_where_defined(overlap, truth)
        if share > 0.5:  # of so few layers there is no overlap, and the ones are zeros
            return ones, ones
        return 0.0 - share / (1.0 - share) * ones, ones

    return Metric(name, description, overlap, limits)


def _overlap_at(k: int) -> Metric:
    return _overlap(f"top_{k}_overlap", f"overlap of the {k} most sensitive layers, chance-corrected", lambda _: k)


def _best_and_worst(
    metric: Callable[[CellTruth, Array], Any], judge: Callable[[CellTruth], Array]
) -> Callable[[CellTruth], tuple[Array, Array]]:
    """Return the limits of a gain: what the order by the truth that it is judged by reaches, and the opposite order."""

    def limits(truth: CellTruth) -> tuple[Array, Array]:
        order = judge(truth)
        return np.nan_to_num(metric(truth, -order)), np.nan_to_num(metric(truth, order))

    return limits


def _protected_gain_at(k: int) -> Metric:
    def gain(truth: CellTruth, scores: Array) -> Any:
        return protected_gain(half_a=truth.half_a, half_b=truth.half_b, errors=truth.errors, scores=scores, k=k)

    limits = _best_and_worst(gain, lambda truth: (truth.half_a + truth.half_b) / 2.0)
    return Metric(f"protected_gain_at_{k}", f"what protecting {k} layers saves, of what the best choice would", gain, limits)


def _ndcg(truth: CellTruth, scores: Array) -> Any:
    return ndcg_gain(truth=truth.values, scores=scores)


def _partial(truth: CellTruth, scores: Array) -> Any:
    return partial_spearman(truth=truth.values, scores=scores, given=truth.size_and_depth)


def _spearman(truth: CellTruth, scores: Array) -> Any:
    return spearman(truth=truth.values, scores=scores)


def _kendall(truth: CellTruth, scores: Array) -> Any:
    return kendall_tau_b(truth=truth.values, scores=scores)


METRICS = (
    _correlation("spearman", "Spearman's rank correlation", _spearman),
    _correlation("kendall_tau_b", "Kendall's tau-b", _kendall),
    _overlap_at(1),
    _overlap_at(3),
    _overlap_at(5),
    _overlap("top_10_percent_overlap", "the same for the top tenth, rounded up", lambda n_layers: -(-n_layers // 10)),
    Metric("ndcg_gain", "NDCG above that of a random order", _ndcg, _best_and_worst(_ndcg, lambda truth: truth.values)),
    _protected_gain_at(1),
    _protected_gain_at(3),
    _correlation("partial_spearman", "Spearman's rank correlation given the layers' sizes and positions", _partial),
)
