"""Uniform symmetric quantization."""

import numpy as np

from safer_bench.perturbations.perturbation import LayerFacts, perturbation
from safer_bench.stream import Array, Stream

SOURCE = "Jacob et al. 2018, arXiv 1712.05877, symmetric"


def step_size(weight: Array, bits: int, axes: tuple[int, ...] | None = None) -> Array:
    """Return max abs(W) / (2^(bits-1) - 1) over ``axes`` (all by default, dimensions kept): the grid's step, 0 for zeros."""
    return np.max(np.abs(weight), axis=axes, keepdims=True) / (2 ** (bits - 1) - 1)


def codes(weight: Array, step: Array, bits: int) -> Array:
    """Return the integer codes (as float64) of a weight: round half to even, clipped to the symmetric range."""
    largest = 2 ** (bits - 1) - 1
    return np.clip(np.rint(weight / np.where(step == 0.0, 1.0, step)), -largest, largest)


@perturbation(
    levels=(4.0, 3.0, 2.0),
    scale="linear",
    unit="bits",
    formula="s*clip(round_half_even(W/s)), s = max abs(W)/(2^(bits-1) - 1)",
    source=f"{SOURCE}, per tensor",
    use_case="quantization",
    deterministic=True,
    domain=(2.0, 16.0),
    whole=True,
)
def quantize(weight: Array, level: float, rng: Stream) -> Array:  # noqa: ARG001  every perturbation has a stream
    """Round to ``level`` bits on a symmetric grid per tensor; at least 2 bits."""
    step = step_size(weight, int(level))
    return step * codes(weight, step, int(level))


@perturbation(
    levels=(4.0, 3.0, 2.0),
    scale="linear",
    unit="bits",
    formula="s*clip(round_half_even(W/s)), s = max abs(W)/(2^(bits-1) - 1) in each output channel",
    source=f"{SOURCE}, per output channel",
    use_case="quantization",
    needs=("layer",),
    deterministic=True,
    domain=(2.0, 16.0),
    whole=True,
)
def quantize_per_channel(weight: Array, level: float, rng: Stream, *, layer: LayerFacts) -> Array:  # noqa: ARG001
    """Round to ``level`` bits on a symmetric grid per output channel; at least 2 bits."""
    step = step_size(weight, int(level), tuple(axis for axis in range(weight.ndim) if axis != layer.output_axis))
    return step * codes(weight, step, int(level))
