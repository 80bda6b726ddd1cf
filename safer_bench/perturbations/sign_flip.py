"""Signs inverted at random."""

import numpy as np

from safer_bench.perturbations.perturbation import perturbation
from safer_bench.stream import Array, Stream


@perturbation(
    levels=(0.091, 0.17, 0.3, 0.41, 0.48),
    scale="log10",
    unit="probability",
    formula="W*(1 - 2 Bernoulli(level))",
    source="Yvinec et al. 2023, arXiv 2308.04753",
    use_case="removal",
    neutral=0.0,
    domain=(0.0, 1.0),
)
def sign_flip(weight: Array, level: float, rng: Stream) -> Array:
    """Invert the sign of each weight with probability ``level``."""
    return np.where(rng.bernoulli(level, weight.shape), -weight, weight)
