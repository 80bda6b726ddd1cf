"""Hardware faults in stored int8 weights, at a bit-error rate."""

import numpy as np

from safer_bench.perturbations.perturbation import perturbation
from safer_bench.perturbations.quantize import codes, step_size
from safer_bench.stream import Array, Stream

SOURCE = "Rakin et al. 2019, arXiv 1903.12269 (flips at random instead of searched)"


@perturbation(
    levels=(0.016, 0.054, 0.13, 0.27, 0.43),
    scale="log10",
    unit="bit-error rate",
    formula="s*(int8 codes XOR Bernoulli(level) bits)",
    source=SOURCE,
    use_case="int8_faults",
    domain=(0.0, 1.0),
)
def int8_bit_flip(weight: Array, level: float, rng: Stream) -> Array:
    """Invert each bit of the 8-bit two's complement codes with probability ``level``, decoded with the same step."""
    return with_inverted_bits(weight, rng.bernoulli(level, (weight.size, 8)))


def with_inverted_bits(weight: Array, flips: Array) -> Array:
    """Return the weight decoded from its int8 codes after inverting bits.

    Args:
        weight: float64, any shape.
        flips: bool ``(weight.size, 8)``, the bits to invert, highest first.
    """
    step = step_size(weight, 8)
    stored = codes(weight, step, 8).astype(np.int8).view(np.uint8)
    inverted = stored ^ np.packbits(flips.ravel()).reshape(weight.shape)
    return step * inverted.view(np.int8).astype(np.float64)
