"""How well scores rank layers: plain arrays in, plain numbers out; no I/O.

Every function takes ``truth`` and ``scores`` whose last axis are the layers, higher meaning more sensitive in both. Axes
before it broadcast: ``(n_layers,)`` and ``(n_layers,)`` give a float, truths ``(n_cells, 1, n_layers)`` and scores
``(n_criteria, n_layers)`` an array ``(n_cells, n_criteria)``.

Where a metric is undefined it is nan, for that pair alone: fewer than two layers; a nan (or None, or a masked entry) at any
layer of any input; a constant side, but in ``top_k_overlap``. Ranks of infinite values are defined: the greatest and the
least. Sums of them are not, so an infinite ``truth`` of ``ndcg_gain``, half or error of ``protected_gain`` gives nan.
Inputs are numbers that float64 can hold: text, dates, complex numbers and whole numbers beyond 2**53, which would become
ties, raise ValueError; so does a ``k`` that is no whole number from 1 on.

>>> spearman(truth=[[3.0, 1.0, 2.0], [3.0, None, 2.0]], scores=[30.0, 10.0, 20.0])
array([ 1., nan])
"""

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache, reduce
from typing import Any  # what metrics return: a float for one ranking, an array for a stack, which types cannot tell apart

import numpy as np

from safer_bench.metric_inputs import of_arrays, where_defined
from safer_bench.ranks import centred_ranks, places_of_ties, signs_of_pairs, top_probability

Array = np.ndarray
MANY_LAYERS = 200  # from here on pairs of layers are counted one ranking after the other
ROUNDING = 1e-9  # what differs by less, relative to its size, differs by rounding alone


def _defined(truth: Array, scores: Array) -> Array:
    """Return which pairs of rankings can be compared, in the broadcast shape without layers."""
    return np.asarray(_varies(truth) & _varies(scores))


def _varies(values: Array) -> Array:
    return np.asarray(np.any(values != values[..., :1], axis=-1))


def _dot(a: Array, b: Array) -> Array:
    """Return sums of products in numpy's own order: a matrix library's depends on the processor."""
    return np.asarray(np.sum(a * b, axis=-1), dtype=np.float64)


def _scaled(*arrays: Array) -> list[Array]:
    """Return arrays times a power of two, common to them at each place: no sum overflows or vanishes, no bit changes."""
    largest = [np.max(np.abs(values), axis=-1, keepdims=True) for values in arrays]
    exponent = np.frexp(reduce(np.maximum, largest))[1]
    return [np.ldexp(values, -exponent) for values in arrays]


def _exact_dot(a: Array, b: Array) -> Array:
    """Return sums of products of whole numbers or halves, exact in any order, without an array of the products."""
    return np.asarray(np.einsum("...i,...i->...", a, b), dtype=np.float64)


def _cosine(a: Array, b: Array, dot: Callable[[Array, Array], Array]) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(dot(a, b) / np.sqrt(dot(a, a) * dot(b, b)))


@of_arrays()
def spearman(*, truth: Array, scores: Array) -> Any:
    """Return Spearman's rank correlation, ties at their mean rank; nan where one side is constant.

    Raises:
        ValueError: shapes ``(..., n_layers)`` that do not broadcast.

    Source: Spearman 1904.

    >>> spearman(truth=np.array([1.0, 2.0, 3.0]), scores=np.array([10.0, 20.0, 15.0]))
    0.5
    """
    return where_defined(_defined(truth, scores), _cosine(centred_ranks(truth), centred_ranks(scores), _exact_dot))


@of_arrays()
def kendall_tau_b(*, truth: Array, scores: Array) -> Any:
    """Return Kendall's tau-b, corrected for ties; nan where one side is constant.

    Raises:
        ValueError: shapes ``(..., n_layers)`` that do not broadcast.

    Source: Kendall 1945; beyond 200 layers ``scipy.stats.kendalltau``.
    """
    defined, n_layers = _defined(truth, scores), truth.shape[-1]
    if n_layers <= MANY_LAYERS:
        return where_defined(defined, _cosine(signs_of_pairs(truth), signs_of_pairs(scores), _exact_dot))
    from scipy import stats  # half a second

    tau = np.full(defined.shape, np.nan)
    truths, predicted = (np.broadcast_to(values, (*defined.shape, n_layers)) for values in (truth, scores))
    for index in zip(*np.nonzero(np.atleast_1d(defined)), strict=True):
        at = index if defined.ndim else ()
        tau[at] = stats.kendalltau(truths[at], predicted[at]).statistic
    return where_defined(defined, tau)


@of_arrays()
def top_k_overlap(*, truth: Array, scores: Array, k: int) -> Any:
    """Return the expected share of the k most sensitive layers that are among the k highest scores.

    Ties are broken at random on both sides, independently; the expectation is in closed form. A constant side is no
    special case: each layer is in its top k with probability k / n_layers.

    Raises:
        ValueError: shapes ``(..., n_layers)`` that do not broadcast, or k is not in 1 ... n_layers.

    >>> top_k_overlap(truth=np.array([3.0, 1.0, 2.0]), scores=np.array([1.0, 1.0, 1.0]), k=1)
    0.3333333333333333
    """
    if k > truth.shape[-1]:
        raise ValueError(f"k = {k}; expected 1 to {truth.shape[-1]}")
    return _overlap(truth, scores, k)


def _overlap(truth: Array, scores: Array, k: int) -> Array:
    return _dot(top_probability(truth, k), top_probability(scores, k)) / k


@of_arrays()
def chance_corrected_overlap(*, truth: Array, scores: Array, k: int) -> Any:
    """Return ``(overlap - k/n) / (1 - k/n)``: 1 for the best choice, 0 for a random one; nan where one side is constant.

    Defined only for k <= n/2: nan above.

    Raises:
        ValueError: shapes ``(..., n_layers)`` that do not broadcast.
    """
    defined, share = _defined(truth, scores), k / truth.shape[-1]
    if share > 0.5:
        return where_defined(np.zeros_like(defined), np.asarray(np.nan))
    return where_defined(defined, (_overlap(truth, scores, k) - share) / (1.0 - share))


@of_arrays("truth")
def ndcg_gain(*, truth: Array, scores: Array) -> Any:
    """Return the normalised discounted cumulative gain minus that of a random order: 0 is chance.

    The gain of a layer is max(truth, 0), its discount 1 / log2(1 + place). Tied scores share their places' mean discount,
    which is the expectation over random tie-breaks. nan where one side is constant or no layer gains.

    Raises:
        ValueError: shapes ``(..., n_layers)`` that do not broadcast.

    Source: Jarvelin and Kekalainen 2002; ties of McSherry and Najork 2008.

    >>> round(ndcg_gain(truth=np.array([1.0, 0.0]), scores=np.array([2.0, 1.0])), 4)
    0.1845
    """
    (gains,) = _scaled(np.maximum(truth, 0.0))
    defined = _defined(truth, scores) & np.any(gains > 0, axis=-1)
    discounts = np.array(_discounts(truth.shape[-1]))
    best = _dot(np.sort(gains, axis=-1)[..., ::-1], discounts)
    before = np.concatenate([[0.0], np.cumsum(discounts)])
    first, last = places_of_ties(-scores)
    shared = (before[last] - before[first - 1]) / (last - first + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return where_defined(defined, (_dot(gains, shared) - gains.sum(-1) * discounts.mean()) / best)


@lru_cache(maxsize=256)
def _discounts(n: int) -> tuple[float, ...]:
    """Return 1 / log2(1 + place) for places 1 to n, rounded once: numpy's logarithms depend on the processor."""
    return tuple(float(Decimal(2).ln() / Decimal(1 + place).ln()) for place in range(1, n + 1))


@of_arrays("half_a", "half_b", "errors")
def protected_gain(*, half_a: Array, half_b: Array, errors: Array, scores: Array, k: int) -> Any:
    """Return what protecting the k highest scored layers saves: 1 for the best choice, 0 for a random one.

    Picks are judged on truth that they were not made from: the best choice is the top k of one half of the truth, judged
    on the other, both ways averaged; scores saw neither half, so they are judged on the mean of both, and exceed 1 where
    they are less noisy than a half. Tied scores are picked with equal probability. nan where one side is constant, k is
    over half of the layers, or the best choice is above a random one by less than two standard errors (of layers taken as
    independent) or by rounding alone.

    Args:
        half_a, half_b: truth ``(..., n_layers)`` on two random halves of draws and examples.
        errors: standard errors ``(..., n_layers)`` of the whole truth; unknown ones (nan) give nan.
        scores: ``(..., n_layers)``.
        k: number of layers to protect.

    Raises:
        ValueError: shapes that do not broadcast.
    """
    half_a, half_b, errors = _scaled(half_a, half_b, errors)
    mean, share = (half_a + half_b) / 2.0, k / scores.shape[-1]
    defined = _defined(mean, scores)
    if share > 0.5:
        return where_defined(np.zeros_like(defined), np.asarray(np.nan))
    top_a, top_b = top_probability(half_a, k), top_probability(half_b, k)
    best = _dot(top_a - share, half_b) / 2.0 + _dot(top_b - share, half_a) / 2.0
    error = np.sqrt(np.sum((((top_a + top_b) / 2.0 - share) * errors) ** 2, axis=-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = _dot(top_probability(scores, k) - share, mean) / best
    least = ROUNDING * np.max(np.abs(mean), axis=-1)
    return where_defined(defined & (best > least) & (best >= 2.0 * error * (1.0 - ROUNDING)), gain)


@of_arrays()
def partial_spearman(*, truth: Array, scores: Array, given: Array) -> Any:
    """Return Spearman's correlation of what ``given`` does not explain: Pearson's of the ranks' linear residuals.

    nan where a side is constant, is explained in full, or where fewer than two degrees of freedom are left.

    Args:
        truth, scores: ``(..., n_layers)``.
        given: ``(n_given, n_layers)``, such as size and depth; only their ranks are used.

    Raises:
        ValueError: shapes that do not broadcast.

    Source: Kendall 1942, "Partial rank correlation"; the form of Conover 1999, chapter 5.4.
    """
    defined = _defined(truth, scores)
    if truth.shape[-1] < len(given) + 3:
        return where_defined(np.zeros_like(defined), np.asarray(np.nan))
    explaining = centred_ranks(given)
    sides = [_unexplained(centred_ranks(values), explaining) for values in (truth, scores)]
    for _, explained in sides:
        defined = defined & ~explained
    return where_defined(defined, np.clip(_cosine(sides[0][0], sides[1][0], _dot), -1.0, 1.0))


def _unexplained(ranks: Array, explaining: Array) -> tuple[Array, Array]:
    """Return the residuals of ``(..., n_layers)`` on ``(n_given, n_layers)``, and which of them are rounding errors.

    What explains is made orthogonal, one row after the other (modified Gram and Schmidt): a least-squares library's order
    of sums depends on the processor.
    """
    basis: list[Array] = []
    for row in explaining:
        rest = _without(row, basis)
        if not _vanishes(rest, row):
            basis.append(rest)
    left = _without(ranks, basis)
    return left, _vanishes(left, ranks)


def _without(values: Array, basis: list[Array]) -> Array:
    for row in basis:
        values = values - (_dot(values, row) / _dot(row, row))[..., None] * row
    return values


def _vanishes(rest: Array, whole: Array) -> Array:
    return np.asarray(np.sqrt(_dot(rest, rest)) <= ROUNDING * np.sqrt(_dot(whole, whole)))
