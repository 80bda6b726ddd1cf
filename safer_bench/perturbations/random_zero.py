"""Entries lost at random."""

import numpy as np

from safer_bench.perturbations.perturbation import perturbation
from safer_bench.stream import Array, Stream


@perturbation(
    levels=(0.18, 0.51, 0.69, 0.89, 0.965),
    scale="linear",
    unit="probability",
    formula="W*(1 - Bernoulli(level))",
    source="Yvinec et al. 2023, arXiv 2308.04753",
    use_case="removal",
    neutral=0.0,
    domain=(0.0, 1.0),
)
def random_zero(weight: Array, level: float, rng: Stream) -> Array:
    """Set each weight to zero with probability ``level``; 1 removes the layer."""
    return np.where(rng.bernoulli(level, weight.shape), 0.0, weight)
