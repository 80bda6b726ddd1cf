"""The first-order worst case of a bounded norm, from gradients of the loss on calibration examples."""

import math

import numpy as np

from safer_bench.perturbations.perturbation import perturbation
from safer_bench.stream import Array, Stream, norm, smallest

SOURCE = "Sun et al. 2021, arXiv 2006.05620, equations 5 to 7"
MEASURABLE = (1e-140, 1e140)  # norms whose squares are exact numbers
CORRUPTED_SHARE = 0.01  # of the entries, where only k of them move


def n_corrupted(n: int) -> int:
    """Return k, the number of entries that move of ``n``: 1 % (half to even), at least one."""
    return max(1, round(CORRUPTED_SHARE * n))


@perturbation(
    levels=(0.05, 0.095, 0.2, 0.56, 1.4),
    scale="log10",
    unit="norm2(W)",
    formula="W + level*norm2(W)*g/norm2(g)",
    source=f"{SOURCE}, all entries",
    use_case="worst_case",
    needs=("gradient",),
    neutral=0.0,
)
def gradient_corruption_l2(weight: Array, level: float, rng: Stream, *, gradient: Array) -> Array:  # noqa: ARG001
    """Move by ``level`` x norm2(W) along the gradient, which maximises the first-order loss; no gradient, no change."""
    size = norm(gradient, 2)
    if not MEASURABLE[0] < size < MEASURABLE[1] and gradient.any():  # its squares vanish or overflow
        gradient = gradient / norm(gradient, math.inf)
        size = norm(gradient, 2)
    return weight + level * norm(weight, 2) * gradient / size if size else weight.copy()


@perturbation(
    levels=(0.016, 0.032, 0.065, 0.15, 0.41),
    scale="log10",
    unit="max abs(W)",
    formula="W + level*max abs(W)*sgn(g)",
    source=f"{SOURCE}, all entries",
    use_case="worst_case",
    needs=("gradient",),
    neutral=0.0,
)
def gradient_corruption_linf(weight: Array, level: float, rng: Stream, *, gradient: Array) -> Array:  # noqa: ARG001
    """Move every weight by ``level`` x max abs(W) in the direction of its gradient's sign."""
    return weight + level * norm(weight, math.inf) * np.sign(gradient)


@perturbation(
    levels=(0.1, 0.21, 0.6, 1.6, 5.1),
    scale="log10",
    unit="norm2(W)",
    formula="W + level*norm2(W)*h/norm2(h), h = the max(1, round(n/100)) entries of g of largest abs(g), else 0",
    source=f"{SOURCE}, top k entries",
    use_case="worst_case",
    needs=("gradient",),
    neutral=0.0,
)
def gradient_corruption_l2_topk(weight: Array, level: float, rng: Stream, *, gradient: Array) -> Array:
    """Move the 1 % of weights of largest gradient by ``level`` x norm2(W) along it: the worst case among as many entries."""
    return gradient_corruption_l2(weight, level, rng, gradient=top_k(gradient))


@perturbation(
    levels=(0.22, 0.45, 1.3, 3.0, 9.6),
    scale="log10",
    unit="max abs(W)",
    formula="W + level*max abs(W)*sgn(h), h = the max(1, round(n/100)) entries of g of largest abs(g), else 0",
    source=f"{SOURCE}, top k entries",
    use_case="worst_case",
    needs=("gradient",),
    neutral=0.0,
)
def gradient_corruption_linf_topk(weight: Array, level: float, rng: Stream, *, gradient: Array) -> Array:
    """Move the 1 % of weights of largest gradient by ``level`` x max abs(W) in the direction of its sign."""
    return gradient_corruption_linf(weight, level, rng, gradient=top_k(gradient))


def top_k(gradient: Array) -> Array:
    """Return the gradient with all but the k entries of largest magnitude set to 0; ties fall to the lowest flat index."""
    entries = smallest(-np.abs(gradient), n_corrupted(gradient.size))
    kept = np.zeros(gradient.size)
    kept[entries] = gradient.ravel()[entries]
    return kept.reshape(gradient.shape)
