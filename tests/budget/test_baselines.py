"""Baselines against definitions written anew, entry by entry."""

import numpy as np
import pytest

from safer_bench.budget import baselines


@pytest.fixture
def weights():
    rng = np.random.default_rng(5)
    return [
        (scale * rng.normal(size=shape)).astype(np.float32)
        for scale, shape in ((1.0, (4, 3)), (0.2, (5, 2, 3)), (3.0, (2, 8)), (0.5, (7,)))
    ]


def counts_of(scored, n):
    """Return how many of the n lowest (score, layer) there are in each layer."""
    lowest = sorted(scored)[:n]
    return [sum(layer == i for _, layer in lowest) for i in range(4)]


@pytest.mark.parametrize("n", [0, 1, 10, 33, 65])
def test_global_magnitude_takes_the_smallest_weights_of_all(weights, n):
    scored = [(abs(float(x)), i) for i, weight in enumerate(weights) for x in weight.ravel()]
    assert baselines.global_magnitude_counts(weights, n).tolist() == counts_of(scored, n)


@pytest.mark.parametrize("n", [0, 1, 10, 33, 60])
def test_lamp_takes_the_lowest_scores(weights, n):
    scored = []
    for i, weight in enumerate(weights):
        flat = [float(x) ** 2 for x in weight.ravel()]
        scored += [(square / sum(other for other in flat if other >= square), i) for square in flat]
    assert baselines.lamp_counts(weights, n).tolist() == counts_of(scored, n)


def test_lamp_never_takes_the_largest_weight_of_a_layer_before_all_others_are_gone(weights):
    assert baselines.lamp_counts(weights, 61).tolist() == [11, 29, 15, 6]


def test_lamp_takes_a_layer_of_zeros_first(weights):
    weights[1][:] = 0.0
    assert baselines.lamp_counts(weights, 30).tolist() == [0, 30, 0, 0]


def test_global_ties_fall_to_earlier_layers():
    assert baselines.global_magnitude_counts([np.ones(3, np.float32), np.ones(3, np.float32)], 4).tolist() == [3, 1]


def test_erk_densities_are_proportional_to_the_sum_of_sizes_over_their_product():
    """Sizes 9,000 and 20,000; sums 30 + 30 + 5 + 2 and 100 + 200: densities 67/9,000 to 300/20,000 in proportion."""
    counts = baselines.erk_counts([(30, 30, 5, 2), (100, 200)], 28_000)
    kept = np.array([9_000, 20_000]) - counts
    assert kept.sum() in (999, 1000)
    assert kept[0] / 9_000 / (kept[1] / 20_000) == pytest.approx(67 / 9_000 / (300 / 20_000), rel=0.01)


def test_erk_leaves_layers_whole_whose_density_would_exceed_1():
    counts = baselines.erk_counts([(2, 2), (50, 40)], 1000)
    assert counts.tolist() == [0, 1000]


@pytest.mark.parametrize("n", [1, 500, 1003, 1990])
def test_erk_keeps_to_the_budget(n):
    counts = baselines.erk_counts([(10, 3, 3, 3), (20, 10, 3, 3), (5, 20)], n)
    assert n <= counts.sum() <= n + 2


def test_the_first_and_the_last_layer_stay_whole():
    sizes = np.array([10, 100, 300, 20])
    assert baselines.prune_between_ends(sizes, 200).tolist() == [0, 50, 150, 0]
    assert baselines.bits_between_ends(sizes, 8 * 30 + 3 * 400 + 399).tolist() == [8, 3, 3, 8]


def test_where_the_others_are_too_small_there_is_no_such_allocation():
    sizes = np.array([100, 10, 100])
    assert baselines.prune_between_ends(sizes, 10).tolist() == [0, 10, 0]
    assert baselines.prune_between_ends(sizes, 11) is None
    assert baselines.bits_between_ends(sizes, 8 * 200 + 20).tolist() == [8, 2, 8]
    assert baselines.bits_between_ends(sizes, 8 * 200 + 19) is None


@pytest.mark.parametrize("n_layers", [1, 2])
def test_where_all_layers_are_ends_all_keep_8_bits_or_the_budget_is_too_small(n_layers):
    sizes = np.full(n_layers, 10)
    assert baselines.bits_between_ends(sizes, 8 * 10 * n_layers).tolist() == [8] * n_layers
    assert baselines.bits_between_ends(sizes, 8 * 10 * n_layers - 1) is None
