"""Allocations that need no scores: what a criterion has to beat; pure."""

from collections.abc import Sequence

import numpy as np

from safer_bench.budget.rules import MOST_BITS, bits, boundary, protected, pruned_counts

Array = np.ndarray


def ends(n_layers: int) -> Array:
    """Return which layers are the first and the last, bool ``(n_layers,)``."""
    is_end = np.zeros(n_layers, dtype=bool)
    is_end[[0, -1]] = True
    return is_end


def prune_between_ends(sizes: Array, n_pruned: int) -> Array | None:
    """Return counts that leave the first and the last layer whole; None where all the others are too few."""
    kept, counts = ends(len(sizes)), np.zeros(len(sizes), dtype=np.int64)
    if n_pruned > sizes[~kept].sum():
        return None
    counts[~kept] = pruned_counts(np.full(int((~kept).sum()), 0.5), sizes[~kept], n_pruned)
    return counts


def bits_between_ends(sizes: Array, n_bits: int) -> Array | None:
    """Return bits that leave the first and the last layer at 8; None where 2 are too many for the others."""
    kept, allocated = ends(len(sizes)), np.full(len(sizes), MOST_BITS, dtype=np.int64)
    left = n_bits - MOST_BITS * int(sizes[kept].sum())
    if left < 2 * sizes[~kept].sum():
        return None
    if kept.all():
        return allocated
    allocated[~kept] = bits(np.full(int((~kept).sum()), 0.5), sizes[~kept], left)
    return allocated


def mixed_bits(sizes: Array, n_bits: int, orders: Sequence[Array]) -> Array:
    """Return the same bits for all layers but one more where they still fit, taken in these orders ``(n_orders, n_layers)``.

    What can be had of a budget between two whole numbers of bits without knowing any layer.
    """
    low, left = divmod(n_bits, int(sizes.sum()))
    return np.array([low + protected(np.zeros(len(sizes)), sizes, left, order) for order in orders])


def global_magnitude_counts(weights: list[Array], n_pruned: int) -> Array:
    """Return how many of the ``n_pruned`` smallest abs(W) of all layers lie in each; ties go to earlier layers.

    Source: Han et al. 2015, arXiv 1506.02626, with one threshold for all layers.
    """
    return _lowest([np.abs(weight.astype(np.float64)).ravel() for weight in weights], n_pruned)


def lamp_counts(weights: list[Array], n_pruned: int) -> Array:
    """Return how many of the ``n_pruned`` lowest LAMP scores lie in each layer.

    W_u^2 / sum of W_v^2 over the v that are not smaller (of equal ones, those at or after u): within a layer the order is
    that of abs(W). Source: Lee et al. 2021, arXiv 2010.07611.
    """
    return _lowest([_lamp(weight) for weight in weights], n_pruned)


def _lamp(weight: Array) -> Array:
    """Return the LAMP scores in rising order of abs(W)."""
    squares = np.sort(weight.astype(np.float64).ravel() ** 2)
    remaining = np.cumsum(squares[::-1])[::-1]
    return np.divide(squares, remaining, out=np.zeros_like(squares), where=remaining > 0)


def _lowest(values: list[Array], n: int) -> Array:
    layer = np.repeat(np.arange(len(values)), [len(each) for each in values])
    lowest = np.argsort(np.concatenate(values), kind="stable")[:n]
    return np.bincount(layer[lowest], minlength=len(values)).astype(np.int64)


def erk_counts(shapes: list[tuple[int, ...]], n_pruned: int) -> Array:
    """Return how many weights of each layer Erdos-Renyi-Kernel densities remove.

    density_l = min(1, e * sum of the shape's sizes / their product), e as large as the budget allows.
    Source: Evci et al. 2020, arXiv 1911.11134.
    """
    sizes = np.array([np.prod(shape) for shape in shapes], dtype=np.int64)
    density = np.array([sum(shape) for shape in shapes]) / sizes

    def counts(e: float) -> Array:
        return np.rint(sizes * (1.0 - np.minimum(1.0, e * density))).astype(np.int64)

    return counts(boundary(0.0, float(1.0 / density.min()), lambda e: int(counts(e).sum()) < n_pruned)[0])
