from itertools import permutations
from math import isnan

import numpy as np
import pytest
from scipy import stats

from safer_bench import schema
from safer_bench.metrics import METRICS, chance_corrected_overlap, kendall_tau_b, spearman, top_k_overlap

TIED = [np.array([3.0, 1.0, 2.0, 2.0, 0.0]), np.array([1.0, 1.0, 5.0, 2.0, -1.0])]


@pytest.mark.parametrize(("ours", "reference"), [(spearman, stats.spearmanr), (kendall_tau_b, stats.kendalltau)])
def test_rank_correlations_agree_with_scipy_also_with_ties(ours, reference):
    for seed in range(20):
        values = np.random.default_rng(seed).integers(0, 6, (2, 12)).astype(float)
        assert ours(truth=values[0], scores=values[1]) == pytest.approx(reference(*values).statistic, abs=1e-12)


def brute_force_overlap(truth, scores, k):
    """Average the overlap over every way to break ties, by ranking all permutations of the layers."""

    def tops(values):
        n = len(values)
        orders = [order for order in permutations(range(n)) if all(values[a] >= values[b] for a, b in zip(order, order[1:]))]  # noqa: B905, RUF007
        return [set(order[:k]) for order in orders]

    overlaps = [len(a & b) / k for a in tops(truth) for b in tops(scores)]
    return sum(overlaps) / len(overlaps)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_top_k_overlap_is_the_expectation_over_random_tie_breaks(k):
    truth, scores = TIED
    assert top_k_overlap(truth=truth, scores=scores, k=k) == pytest.approx(brute_force_overlap(truth, scores, k))


def test_a_constant_criterion_never_wins():
    """Ties once let constant scorers top a board (mteb#5092); here they have no value."""
    truth = np.arange(12.0)
    for metric in METRICS:
        assert isnan(metric(truth, np.ones(12))), metric.name
        assert isnan(metric(np.ones(12), truth)), metric.name


def test_the_order_of_layers_never_changes_a_value():
    rng = np.random.default_rng(0)
    truth, scores, order = rng.normal(size=15), rng.integers(0, 4, 15).astype(float), rng.permutation(15)
    for metric in METRICS:
        assert metric(truth[order], scores[order]) == pytest.approx(metric(truth, scores)), metric.name


def test_a_perfect_ranking_has_one_and_a_random_one_zero_after_chance_correction():
    truth = np.arange(10.0)
    assert chance_corrected_overlap(truth=truth, scores=truth, k=3) == pytest.approx(1.0)
    random = [
        chance_corrected_overlap(truth=truth, scores=np.random.default_rng(i).normal(size=10), k=3) for i in range(4000)
    ]
    assert np.mean(random) == pytest.approx(0.0, abs=0.02)


def test_overlap_is_undefined_above_half_of_the_layers():
    assert isnan(chance_corrected_overlap(truth=np.arange(5.0), scores=np.arange(5.0), k=3))


def test_shapes_that_differ_are_named():
    with pytest.raises(ValueError, match=r"truth \(3,\) and scores \(4,\); expected two arrays of one shape \(n_layers,\)"):
        spearman(truth=np.arange(3.0), scores=np.arange(4.0))


def test_the_schema_names_the_same_metrics():
    assert tuple(metric.name for metric in METRICS) == schema.METRICS
