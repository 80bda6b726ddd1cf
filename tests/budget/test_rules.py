"""Rules keep to the budget, by as little as they can, on any scores; small cases are computed by hand."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safer_bench.budget.rules import at_least, at_most, bits, boundary, priorities, protected, pruned_counts

LAYERS = st.lists(st.tuples(st.integers(1, 5000), st.integers(-3, 3)), min_size=1, max_size=8)


def arrays(layers):
    sizes, scores = np.array(layers, dtype=np.int64).T
    return sizes, priorities(scores.astype(np.float64))


def logit(p):
    return np.log(p / (1 - p))


def test_the_highest_score_has_priority_1_and_ties_share_their_mean():
    assert priorities(np.array([5.0, 1.0, 3.0, 2.0])).tolist() == [1.0, 0.25, 0.75, 0.5]
    assert priorities(np.array([7.0, 7.0, 0.0])).tolist() == [2.5 / 3, 2.5 / 3, 1 / 3]
    assert priorities(np.zeros(4)).tolist() == [0.625] * 4


def test_sparsities_are_those_of_the_rule_computed_by_hand():
    """Two layers of 1000, w = 1/2 and 1: logits c and c - 1 whose shares have mean 0.5: c = 1/2."""
    counts = pruned_counts(np.array([0.5, 1.0]), np.array([1000, 1000]), 1000)
    assert counts.tolist() == [622, 378]
    assert logit(0.622) - logit(0.378) == pytest.approx(1.0, abs=0.01)


def test_equal_layers_of_equal_priority_are_pruned_alike_and_never_too_little():
    assert pruned_counts(np.full(3, 0.5), np.array([10, 10, 10]), 16).tolist() == [6, 6, 6]
    assert pruned_counts(np.full(2, 0.5), np.array([10, 20]), 15).tolist() == [5, 10]


def test_everything_and_nothing_can_be_pruned():
    sizes = np.array([3, 40])
    assert pruned_counts(np.array([0.5, 1.0]), sizes, 43).tolist() == [3, 40]
    assert pruned_counts(np.array([0.5, 1.0]), sizes, 0).tolist() == [0, 0]


@given(LAYERS, st.floats(0.01, 0.99))
def test_pruning_reaches_its_budget_and_one_step_less_would_not(layers, sparsity):
    sizes, w = arrays(layers)
    n = at_least(sparsity, int(sizes.sum()))
    counts = pruned_counts(w, sizes, n)
    assert n <= counts.sum() <= n + len(sizes) - 1  # every layer but one may take its last weight at the same step
    assert ((counts >= 0) & (counts <= sizes)).all()
    inside = (counts > 5) & (counts < sizes - 5)
    c = logit(counts[inside] / sizes[inside]) + 2 * (w[inside] - 0.5)
    slack = 1.0 / np.minimum(counts, sizes - counts)[inside]  # half a weight moves the logit by about half of that
    assert len(c) == 0 or (c - slack).max() <= (c + slack).min()


def test_bits_are_those_of_the_rule_computed_by_hand():
    """w = 1/4 to 1: offsets -1 to 2; with c = 4.5 (not above) they round to 3, 4, 5 and 6: 4.5 bits on average."""
    w, sizes = np.array([0.25, 0.5, 0.75, 1.0]), np.full(4, 100)
    assert bits(w, sizes, 1800).tolist() == [3, 4, 5, 6]
    assert bits(w, sizes, 1799).tolist() == [2, 4, 4, 6]  # c = 3.5: halves go to even numbers
    assert bits(w, sizes, 1599).tolist() == [2, 3, 4, 5]
    assert bits(w, sizes, 800).tolist() == [2, 2, 2, 2]
    assert bits(w, sizes, 3200).tolist() == [8, 8, 8, 8]


def test_bits_count_for_every_weight():
    assert bits(np.array([1.0, 0.5]), np.array([900, 100]), 3000).tolist() == [3, 2]
    assert bits(np.array([0.5, 1.0]), np.array([900, 100]), 3000).tolist() == [2, 4]
    assert bits(np.array([0.5, 1.0]), np.array([900, 100]), 3200).tolist() == [3, 5]


@given(LAYERS, st.floats(2.0, 8.0))
def test_bits_keep_to_their_budget_and_one_step_more_would_not(layers, mean):
    sizes, w = arrays(layers)
    n = at_most(mean, int(sizes.sum()))
    found = bits(w, sizes, n)
    assert (found * sizes).sum() <= n
    assert ((found >= 2) & (found <= 8)).all()
    exact = [Fraction(round(2 * len(w) * each), 2 * len(w)) for each in w]
    steps = {k + Fraction(1, 2) - 4 * (each - Fraction(1, 2)) for each in exact for k in range(2, 8)}
    near = [c + e for c in steps for e in (Fraction(-1, 1000), 0, Fraction(1, 1000))]  # on, before and after each change
    larger = [
        sum(min(8, max(2, round(c + 4 * (each - Fraction(1, 2))))) * int(n) for each, n in zip(exact, sizes, strict=True))
        for c in near
    ]
    assert (found * sizes).sum() == max(total for total in larger if total <= n)


def test_layers_are_protected_in_falling_score_and_those_that_do_not_fit_are_skipped():
    scores, sizes, order = np.array([4.0, 3.0, 2.0, 1.0]), np.array([50, 80, 30, 21]), np.arange(4)
    assert protected(scores, sizes, 100, order).tolist() == [True, False, True, False]
    assert protected(scores, sizes, 101, order).tolist() == [True, False, True, True]
    assert protected(scores, sizes, 20, order).tolist() == [False] * 4
    assert protected(scores, sizes, 181, order).tolist() == [True] * 4


def test_ties_are_protected_in_the_order_given():
    scores, sizes = np.array([0.0, 1.0, 0.0]), np.array([10, 10, 10])
    assert protected(scores, sizes, 20, np.array([0, 1, 2])).tolist() == [True, True, False]
    assert protected(scores, sizes, 20, np.array([2, 1, 0])).tolist() == [False, True, True]


@given(LAYERS, st.floats(0.0, 1.0))
def test_protection_never_exceeds_its_budget_and_leaves_out_nothing_that_fits(layers, share):
    sizes, w = arrays(layers)
    n = at_most(share, int(sizes.sum()))
    chosen = protected(w, sizes, n, np.arange(len(sizes)))
    left = n - sizes[chosen].sum()
    assert left >= 0
    assert (sizes[~chosen] > left).all()


def test_the_boundary_is_between_neighbouring_floats():
    low, high = boundary(0.0, 1.0, lambda x: x * x >= 0.5)
    assert low * low < 0.5 <= high * high
    assert np.nextafter(low, 1.0) == high
    assert boundary(0.0, 1.0, lambda _: False) == (1.0, 1.0)


def test_shares_that_are_no_binary_numbers_count_as_written():
    assert (at_least(0.55, 100), at_most(0.29, 100), at_least(0.501, 1000)) == (55, 29, 501)
    assert 0.55 * 100 > 55
    assert 0.29 * 100 < 29
