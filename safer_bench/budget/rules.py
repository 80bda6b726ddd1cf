"""From scores to what each layer gets of a budget; pure, and the same integers on any machine.

Only the order of scores counts: w = average rank / n, 1 for the most sensitive layer. Amounts are whole numbers of
weights or bits, found by bisection on the one number c that all layers share.
"""

import math
from bisect import bisect_left
from collections.abc import Callable

import numpy as np

Array = np.ndarray
FEWEST_BITS, MOST_BITS = 2, 8
EXACT = 12  # decimals: np.exp differs in its last bits between machines


def priorities(scores: Array) -> Array:
    """Return w ``(n_layers,)`` = average rank / n_layers: 1 for the highest score, ties share their mean.

    >>> priorities(np.array([3.0, 9.0, 3.0, 1.0])).tolist()
    [0.625, 1.0, 0.625, 0.25]
    """
    from scipy.stats import rankdata  # half a second, which only ranking needs

    return np.asarray(rankdata(scores) / len(scores))


def pruned_counts(w: Array, sizes: Array, n_pruned: int) -> Array:
    """Return how many weights of each layer to remove, int64 ``(n_layers,)``, together ``n_pruned`` or just more.

    logit(sparsity_l) = c - 2(w_l - 1/2) with the smallest c that removes enough; a layer's count is rounded half to even.

    Args:
        w: priorities ``(n_layers,)``.
        sizes: weights of each layer.
        n_pruned: at most ``sizes.sum()``.
    """
    odds = np.round(np.exp(-2.0 * (w - 0.5)), EXACT)

    def counts(middle: float) -> Array:  # of the sparsity of a layer of w = 1/2, whose logit is c
        return np.rint(sizes * (middle * odds / (1.0 - middle + middle * odds))).astype(np.int64)

    return counts(boundary(0.0, 1.0, lambda middle: int(counts(middle).sum()) >= n_pruned)[1])


def bits(w: Array, sizes: Array, n_bits: int) -> Array:
    """Return the bits of each layer, int64 ``(n_layers,)``, of which ``n_bits`` are there in all, for every weight.

    bits_l = clip(round(c + 4(w_l - 1/2)), 2, 8) with the largest c that does not take more; half to even.

    Args:
        w: priorities ``(n_layers,)``: whole multiples of 1 / (2 n_layers).
        sizes: weights of each layer.
        n_bits: at least 2 for each weight.
    """
    unit = 4 * len(w)  # 1/unit is half of the smallest distance between values of c at which bits change: all is whole
    offsets = 8 * np.rint(2 * len(w) * w).astype(np.int64) - 2 * unit

    def of(c: int) -> Array:
        return np.clip(np.rint((c + offsets) / unit), FEWEST_BITS, MOST_BITS).astype(np.int64)

    steps = range(-MOST_BITS * unit, 2 * MOST_BITS * unit)
    over = bisect_left(steps, True, key=lambda c: int((of(c) * sizes).sum()) > n_bits)
    return of(steps[over - 1])


def protected(scores: Array, sizes: Array, n_protected: int, order: Array) -> Array:
    """Return which layers are kept free of errors, bool ``(n_layers,)``, together ``n_protected`` weights at most.

    Layers are taken in falling score; one that no longer fits is skipped.

    Args:
        scores: ``(n_layers,)``.
        sizes: weights of each layer.
        n_protected: weights that can be protected.
        order: a permutation of the layers, by which ties fall.
    """
    is_kept, left = np.zeros(len(scores), dtype=bool), n_protected
    for layer in np.lexsort((order, -scores)):
        if sizes[layer] <= left:
            is_kept[layer] = True
            left -= int(sizes[layer])
    return is_kept


def boundary(low: float, high: float, over: Callable[[float], bool]) -> tuple[float, float]:
    """Return two neighbouring floats: the last that is not over, and the first that is; ``high`` twice where none is.

    Args:
        low: not over.
        high: where to look up to.
        over: monotone, false then true.
    """
    if not over(high):
        return high, high
    while low < (middle := low + (high - low) / 2) < high:
        low, high = (low, middle) if over(middle) else (middle, high)
    return low, high


def at_least(share: float, whole: int) -> int:
    """Return the fewest of ``whole`` things that are the share of them; a share such as 0.55 is no binary number."""
    return math.ceil(round(share * whole, 6))


def at_most(share: float, whole: int) -> int:
    """Return the most of ``whole`` things within the share of them."""
    return math.floor(round(share * whole, 6))
