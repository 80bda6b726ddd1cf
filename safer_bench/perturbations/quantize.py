"""Uniform symmetric quantization."""

import numpy as np

from safer_bench.perturbations.entry import perturbation
from safer_bench.perturbations.stream import Array, Stream


def step_size(weight: Array, bits: int) -> float:
    """Return max abs(W) / (2^(bits-1) - 1), the step of the symmetric grid; 0 for an all-zero weight."""
    return float(np.max(np.abs(weight))) / (2 ** (bits - 1) - 1)


def codes(weight: Array, bits: int) -> Array:
    """Return the integer codes (as float64) of a weight: round half to even, clipped to the symmetric range."""
    step, largest = step_size(weight, bits), 2 ** (bits - 1) - 1
    if step == 0.0:
        return np.zeros_like(weight)
    return np.clip(np.rint(weight / step), -largest, largest)


@perturbation(
    levels=(6.0, 5.0, 4.0, 3.0, 2.0),
    scale="linear",
    unit="bits",
    formula="s*clip(round_half_even(W/s)), s = max abs(W)/(2^(bits-1) - 1)",
    source="Jacob et al. 2018, arXiv 1712.05877, symmetric, per tensor",
    deterministic=True,
    domain=(2.0, 16.0),
    whole=True,
)
def quantize(weight: Array, level: float, rng: Stream) -> Array:  # noqa: ARG001  every perturbation has a stream
    """Round to ``level`` bits on a symmetric grid per tensor; at least 2 bits."""
    return step_size(weight, int(level)) * codes(weight, int(level))
