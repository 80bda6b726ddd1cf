from itertools import permutations
from math import isnan

import numpy as np
import pytest
from scipy import stats

from safer_bench.metrics import (
    chance_corrected_overlap,
    kendall_tau_b,
    ndcg_gain,
    partial_spearman,
    protected_gain,
    spearman,
    top_k_overlap,
)

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


def test_many_layers_have_the_kendall_of_scipy_too():
    values = np.random.default_rng(0).integers(0, 50, (2, 300)).astype(float)
    found = kendall_tau_b(truth=values[0], scores=np.stack([values[1], np.ones(300)]))
    assert found[0] == pytest.approx(stats.kendalltau(*values).statistic)
    assert isnan(found[1])
    assert kendall_tau_b(truth=values[0], scores=values[1]) == found[0]


def test_a_perfect_ranking_has_one_and_a_random_one_zero_after_chance_correction():
    truth = np.arange(10.0)
    assert chance_corrected_overlap(truth=truth, scores=truth, k=3) == pytest.approx(1.0)
    random = [
        chance_corrected_overlap(truth=truth, scores=np.random.default_rng(i).normal(size=10), k=3) for i in range(4000)
    ]
    assert np.mean(random) == pytest.approx(0.0, abs=0.02)


def test_overlap_is_undefined_above_half_of_the_layers():
    assert isnan(chance_corrected_overlap(truth=np.arange(5.0), scores=np.arange(5.0), k=3))


def test_half_of_the_layers_still_have_an_overlap():
    """Five of ten: four hits are (0.8 - 0.5) / (1 - 0.5)."""
    scores = np.array([0, 1, 2, 3, 9, 4, 5, 6, 7, 8.0])
    assert chance_corrected_overlap(truth=np.arange(10.0), scores=scores, k=5) == pytest.approx(0.6)
    half = np.arange(10.0)
    assert protected_gain(half_a=half, half_b=half, errors=np.full(10, 1e-3), scores=half, k=5) == pytest.approx(1.0)


def test_lists_are_as_good_as_arrays():
    truth, scores = [0.1, 0.4, 0.3], [1, 3, 2]
    assert spearman(truth=truth, scores=scores) == 1.0
    assert top_k_overlap(truth=truth, scores=scores, k=1) == 1.0


def test_shapes_that_differ_are_named():
    with pytest.raises(
        ValueError, match=r"truth \(3,\) and scores \(4,\); expected shapes \(\.\.\., n_layers\) that broadcast"
    ):
        spearman(truth=np.arange(3.0), scores=np.arange(4.0))


def orders(values):
    """Return every order of the layers that sorts values downwards, ties in all ways."""
    return [
        order
        for order in permutations(range(len(values)))
        if all(values[a] >= values[b] for a, b in zip(order, order[1:]))  # noqa: B905, RUF007
    ]


@pytest.mark.parametrize("scores", [[1.0, 1.0, 5.0, 2.0, -1.0], [4.0, 3.0, 2.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0, 0.0]])
def test_ndcg_gain_is_ndcg_minus_that_of_all_orders_averaged(scores):
    truth, scores = np.array([0.3, -0.2, 0.1, 0.1, 0.0]), np.array(scores)

    def ndcg(order):
        gained = sum(max(truth[layer], 0.0) / np.log2(place + 2) for place, layer in enumerate(order))
        return gained / sum(gain / np.log2(place + 2) for place, gain in enumerate([0.3, 0.1, 0.1, 0.0, 0.0]))

    expected = np.mean([ndcg(order) for order in orders(scores)]) - np.mean([ndcg(o) for o in permutations(range(5))])
    assert ndcg_gain(truth=truth, scores=scores) == pytest.approx(expected)


def test_ndcg_gain_is_undefined_where_nothing_is_lost_or_told():
    assert isnan(ndcg_gain(truth=-np.arange(5.0), scores=np.arange(5.0)))
    assert isnan(ndcg_gain(truth=np.arange(5.0), scores=np.ones(5)))


@pytest.mark.parametrize("k", [1, 2, 3])
def test_protected_gain_is_that_of_every_pick_averaged(k):
    half_a, half_b = np.array([0.9, 0.5, 0.5, 0.1, 0.0, -0.1]), np.array([0.7, 0.6, 0.2, 0.2, 0.1, 0.0])
    scores = np.array([1.0, 2.0, 1.0, 1.0, 0.0, 2.0])

    def saved(judge, picker):
        return np.mean([judge[list(order[:k])].sum() for order in orders(picker)])

    mean = (half_a + half_b) / 2
    best, random = (saved(half_b, half_a) + saved(half_a, half_b)) / 2, k * mean.mean()
    found = protected_gain(half_a=half_a, half_b=half_b, errors=np.full(6, 0.01), scores=scores, k=k)
    assert found == pytest.approx((saved(mean, scores) - random) / (best - random))


def test_protected_gain_is_null_where_noise_hides_the_best_choice():
    half, scores = np.arange(10.0), np.arange(10.0)[::-1]

    def gain(half_b, error, k=3):
        return protected_gain(half_a=half, half_b=half_b, errors=np.full(10, error), scores=scores, k=k)

    contrast = np.sqrt(3 * 0.7**2 + 7 * 0.3**2)  # of three picks among ten layers; the best gains 10.5
    assert gain(half, 0.99 * 10.5 / 2 / contrast) == pytest.approx(-1.0)
    assert isnan(gain(half, 1.01 * 10.5 / 2 / contrast))
    assert isnan(gain(half[::-1], 0.0))  # halves that contradict each other: the best of one is the worst of the other
    assert isnan(gain(half, np.nan))
    assert isnan(gain(np.full(10, np.nan), 0.1))
    assert isnan(gain(half, 0.1, k=6))


def test_the_best_choice_is_not_judged_by_the_half_that_it_was_made_from():
    """Noise would count as skill: of a truth that is noise alone, the best choice gains nothing on the other half."""
    rng = np.random.default_rng(0)
    halves = rng.normal(size=(400, 2, 20))
    errors = np.full(20, np.sqrt(0.5))
    gains = [protected_gain(half_a=a, half_b=b, errors=errors, scores=np.arange(20.0), k=3) for a, b in halves]
    assert np.mean(np.isnan(gains)) > 0.9


def test_partial_spearman_is_the_textbook_formula_for_one_given_and_for_two():
    rng = np.random.default_rng(0)
    truth, scores, given, other = rng.integers(0, 9, (4, 30)).astype(float)

    def first_order(a, b, c):
        ab, ac, bc = (stats.spearmanr(x, y).statistic for x, y in ((a, b), (a, c), (b, c)))
        return (ab - ac * bc) / np.sqrt((1 - ac**2) * (1 - bc**2))

    assert partial_spearman(truth=truth, scores=scores, given=given[None]) == pytest.approx(
        first_order(truth, scores, given)
    )
    ab, ac, bc = (first_order(x, y, given) for x, y in ((truth, scores), (truth, other), (scores, other)))
    second_order = (ab - ac * bc) / np.sqrt((1 - ac**2) * (1 - bc**2))
    assert partial_spearman(truth=truth, scores=scores, given=np.stack([given, other])) == pytest.approx(second_order)


def test_what_is_given_explains_itself_in_full():
    given = np.stack([np.arange(12.0), np.arange(12.0)[::-1] ** 2])
    assert isnan(partial_spearman(truth=np.sin(np.arange(12.0)), scores=np.exp(given[0]), given=given))
    assert isnan(partial_spearman(truth=np.arange(4.0), scores=np.array([2.0, 1, 4, 3]), given=given[:, :4]))


def test_what_several_given_explain_together_is_undefined_though_rounding_leaves_a_rest():
    """Four groups of layers by three indicators of them, whatever order the groups come in."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        group = np.repeat(np.arange(4), [4, 5, 7, 9])[rng.permutation(25)]
        given = np.array([group == each for each in range(3)], dtype=float)
        explained, free = rng.permutation(4)[group].astype(float), rng.normal(size=25)
        assert isnan(partial_spearman(truth=free, scores=explained, given=given))
        assert isnan(partial_spearman(truth=explained, scores=explained, given=given))


def test_layers_of_equal_size_are_as_if_their_size_were_not_given():
    truth, scores, depth = np.random.default_rng(2).normal(size=(3, 12))
    expected = partial_spearman(truth=truth, scores=scores, given=depth[None])
    for given in (np.stack([np.ones(12), depth]), np.stack([depth, np.ones(12)])):
        assert partial_spearman(truth=truth, scores=scores, given=given) == pytest.approx(expected)


def test_the_truth_itself_has_partial_one_and_too_few_layers_none():
    """With two given, four layers leave one degree of freedom, in which all is 1 or -1."""
    truth, *given = np.random.default_rng(3).normal(size=(3, 12))
    for sign in (1.0, -1.0):
        assert partial_spearman(truth=truth, scores=sign * truth, given=given) == pytest.approx(sign)
    five = np.array([[1.0, 2, 3, 4, 5], [2, 1, 5, 3, 4]])
    assert np.isfinite(partial_spearman(truth=np.array([5.0, 1, 2, 4, 3]), scores=np.array([1.0, 3, 2, 5, 4]), given=five))
    four = np.array([[1.0, 2, 3, 4], [2, 1, 3, 4]])
    assert isnan(partial_spearman(truth=np.array([4.0, 1, 2, 3]), scores=np.array([1.0, 3, 2, 4]), given=four))


@pytest.mark.parametrize("n_given", [1, 2, 3])
def test_what_is_explained_is_taken_out_as_least_squares_does(n_given):
    rng = np.random.default_rng(n_given)
    truth, scores = rng.normal(size=(2, 5, 30))
    given = rng.normal(size=(n_given, 30))
    given[-1] = 2.0 * given[0] if n_given == 3 else given[-1]  # twice the same: it explains nothing more
    design = np.column_stack([np.ones(30), stats.rankdata(given, axis=1).T])
    for one, other in zip(truth, scores, strict=True):
        ranks = np.array([stats.rankdata(one), stats.rankdata(other)]).T
        left = ranks - design @ np.linalg.lstsq(design, ranks, rcond=None)[0]
        expected = np.corrcoef(left.T)[0, 1]
        assert partial_spearman(truth=one, scores=other, given=given) == pytest.approx(expected)


def test_a_best_choice_that_is_better_by_rounding_alone_gains_nothing():
    """All layers lose a third: the best choice is above a random one by the last bit, and the gain was the quotient of two."""
    third = np.full(12, 1 / 3)
    tied = third * (1.0 + np.finfo(float).eps * np.arange(12))
    found = protected_gain(half_a=tied, half_b=tied, errors=np.zeros(12), scores=np.arange(12.0), k=3)
    assert isnan(found)


def test_discounts_are_those_of_every_library_but_for_rounding():
    truth = np.array([5.0, 4.0, 3.0, 2.0, 1.0, 0.0])
    discounts = 1.0 / np.log2(np.arange(2, 8))
    expected = 1.0 - truth.sum() * discounts.mean() / (truth * discounts).sum()
    assert ndcg_gain(truth=truth, scores=truth) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("size", [0.1, 0.2, 0.3, 0.6, 0.7])
def test_a_best_choice_of_exactly_two_errors_counts_whatever_its_size(size):
    half = np.array([size, 0.0, 0.0, 0.0])
    top = np.array([0.75, 0.25, 0.25, 0.25])
    errors = np.full(4, 0.75 * size / 2 / np.sqrt((top**2).sum()))
    assert protected_gain(half_a=half, half_b=half, errors=errors, scores=half, k=1) == pytest.approx(1.0)
