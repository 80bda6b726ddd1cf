"""Noise in proportion to each weight: the deviation of analogue devices."""

from safer_bench.perturbations.perturbation import perturbation
from safer_bench.stream import Array, Stream


@perturbation(
    levels=(0.64, 1.2, 2.0, 3.5, 6.2),
    scale="log10",
    unit="relative deviation",
    formula="W*(1 + level*z)",
    source="Joshi et al. 2020, arXiv 1906.03138 (conductance variation, here in proportion to the weight)",
    use_case="device_noise",
    neutral=0.0,
)
def multiplicative_noise(weight: Array, level: float, rng: Stream) -> Array:
    """Multiply each weight by a normal of mean 1 and standard deviation ``level``; a weight of 0 stays 0."""
    return weight * (1.0 + level * rng.normal(weight.shape))
