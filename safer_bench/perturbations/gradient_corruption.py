"""The first-order worst case of a bounded norm, from gradients of the loss on probe examples."""

import math

import numpy as np

from safer_bench.perturbations.entry import perturbation
from safer_bench.perturbations.stream import Array, Stream, norm

SOURCE = "Sun et al. 2021, arXiv 2006.05620, equations 5 to 7, all entries"


@perturbation(
    levels=(0.1, 0.3, 1.0, 3.0, 10.0),
    scale="log10",
    unit="norm2(W)",
    formula="W + level*norm2(W)*g/norm2(g)",
    source=SOURCE,
    needs=("gradient",),
    neutral=0.0,
)
def gradient_corruption_l2(weight: Array, level: float, rng: Stream, *, gradient: Array) -> Array:  # noqa: ARG001
    """Move by ``level`` x norm2(W) along the gradient, which maximises the first-order loss; no gradient, no change."""
    size = norm(gradient, 2)
    return weight + level * norm(weight, 2) * gradient / size if size else weight.copy()


@perturbation(
    levels=(0.03, 0.1, 0.3, 1.0, 3.0),
    scale="log10",
    unit="max abs(W)",
    formula="W + level*max abs(W)*sgn(g)",
    source=SOURCE,
    needs=("gradient",),
    neutral=0.0,
)
def gradient_corruption_linf(weight: Array, level: float, rng: Stream, *, gradient: Array) -> Array:  # noqa: ARG001
    """Move every weight by ``level`` x max abs(W) in the direction of its gradient's sign."""
    return weight + level * norm(weight, math.inf) * np.sign(gradient)
