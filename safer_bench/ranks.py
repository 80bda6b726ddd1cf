"""Orders of values along the last axis, in which equal ones share their places; no I/O.

Values are not nan; infinite ones are the greatest and the least.
"""

import numpy as np

Array = np.ndarray
DIGITS = 9  # of sums of weighted ranks: the last are the machine's, and would tell layers apart that are alike


def places_of_ties(values: Array) -> tuple[Array, Array]:
    """Return the first and the last place, 1 for the least, that each value shares with its equals; as ``values``.

    >>> first, last = places_of_ties(np.array([20.0, 10.0, 20.0]))
    >>> first.tolist(), last.tolist()
    ([2, 1, 2], [3, 1, 3])
    """
    order, n = np.argsort(values, axis=-1), values.shape[-1]
    ordered = np.take_along_axis(values, order, axis=-1)
    rises = np.ones((*values.shape[:-1], n + 1), dtype=bool)  # before each value, and after the last
    np.not_equal(ordered[..., 1:], ordered[..., :-1], out=rises[..., 1:-1])
    starts = np.maximum.accumulate(np.where(rises[..., :-1], np.arange(1, n + 1), 0), axis=-1)
    ends = np.minimum.accumulate(np.where(rises[..., 1:], np.arange(1, n + 1), n)[..., ::-1], axis=-1)[..., ::-1]
    first, last = np.empty(values.shape, dtype=np.int64), np.empty(values.shape, dtype=np.int64)
    np.put_along_axis(first, order, starts, axis=-1)
    np.put_along_axis(last, order, ends, axis=-1)
    return first, last


def mean_ranks(values: Array) -> Array:
    """Return ranks, 1 for the least, ties at their mean rank, as ``scipy.stats.rankdata``, whose import takes half a second.

    >>> mean_ranks(np.array([20.0, 10.0, 20.0])).tolist()
    [2.5, 1.0, 2.5]
    """
    first, last = places_of_ties(values)
    return np.asarray((first + last) / 2.0)


def centred_ranks(values: Array) -> Array:
    """Return ranks minus their mean: halves of whole numbers, so that sums of them are exact."""
    return np.asarray(mean_ranks(values) - (values.shape[-1] + 1) / 2)


def of_length_1(values: Array) -> Array:
    """Return centred ranks divided by their length: the product of two such is Spearman's correlation; 0 of a constant."""
    ranks = centred_ranks(values)
    length = np.sqrt(np.sum(ranks**2, axis=-1, keepdims=True))
    return np.divide(ranks, length, out=np.zeros(ranks.shape), where=length > 0)


def scaled_ranks(values: Array) -> Array:
    """Return ranks scaled to -1/2 ... 1/2, so that layers of networks of any depth are alike; ties at their mean rank.

    >>> scaled_ranks(np.array([20.0, 10.0, 20.0, 30.0])).tolist()
    [0.0, -0.375, 0.0, 0.375]
    """
    return np.asarray((mean_ranks(values) - 0.5) / values.shape[-1] - 0.5)


def weighted_sum(weights: Array, ranks: Array) -> Array:
    """Return the weighted sum of rankings ``(n_layers,)``; layers that all of them rank alike come out equal.

    Args:
        weights: of each ranking ``(n_rankings,)``.
        ranks: what ``scaled_ranks`` returns ``(n_rankings, n_layers)``.
    """
    return np.asarray(np.round((weights[:, None] * ranks).sum(0), DIGITS))


def signs_of_pairs(values: Array) -> Array:
    """Return -1, 0 or 1 for each pair of layers, float32 ``(..., n_layers * (n_layers - 1) / 2)``."""
    first, second = np.triu_indices(values.shape[-1], 1)
    ranks = mean_ranks(values).astype(np.float32)
    return np.asarray(np.sign(ranks[..., first] - ranks[..., second]))


def top_probability(values: Array, k: int) -> Array:
    """Return each entry's probability to be among the k largest, ties broken at random."""
    threshold = np.sort(values, axis=-1)[..., -k, None]
    above, level = values > threshold, values == threshold
    return np.asarray(above + level * ((k - above.sum(-1, keepdims=True)) / level.sum(-1, keepdims=True)))
