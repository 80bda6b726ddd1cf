"""White noise relative to the layer's own size."""

from safer_bench.perturbations.perturbation import perturbation
from safer_bench.stream import Array, Stream, rms


@perturbation(
    levels=(0.76, 1.2, 2.1, 3.4, 6.4),
    scale="log10",
    unit="rms(W)",
    formula="W + level*rms(W)*z",
    source="Yvinec et al. 2023, arXiv 2308.04753",
    use_case="device_noise",
    neutral=0.0,
)
def gaussian_noise(weight: Array, level: float, rng: Stream) -> Array:
    """Add white noise of standard deviation ``level`` x rms(W); one normal a weight, in C order."""
    return weight + level * rms(weight) * rng.normal(weight.shape)
