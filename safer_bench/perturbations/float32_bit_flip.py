"""Hardware faults in stored float32 weights."""

import numpy as np

from safer_bench.perturbations.perturbation import perturbation
from safer_bench.stream import Array, Stream

SOURCE = "Li et al. 2017, doi 10.1145/3126908.3126964 (flips in stored words); bits by IEEE 754-2019, binary32"
MANTISSA, EXPONENT, ALL = (0, 23), (23, 31), (0, 32)  # first bit and the one after the last; bit 31 is the sign
SIGNLESS, INFINITE, NAN = 0x7FFFFFFF, 0x7F800000, 0x7FC00000


@perturbation(
    levels=(3.9e-06, 1.4e-05, 5.3e-05, 0.00018, 0.00043),
    scale="log10",
    unit="bit-error rate",
    formula="float32 bits of W XOR Bernoulli(level) bits",
    source=SOURCE,
    use_case="float32_faults",
    neutral=0.0,
    domain=(0.0, 1.0),
    faulty=True,
)
def float32_bit_flip(weight: Array, level: float, rng: Stream) -> Array:
    """Invert each of the 32 bits of each weight with probability ``level``; infinite weights and NaN may result."""
    return _inverted(weight, level, rng, ALL)


@perturbation(
    levels=(3.9e-06, 1.3e-05, 5.7e-05, 0.00018, 0.0004),
    scale="log10",
    unit="bit-error rate of the exponent",
    formula="bits 23 to 30 of W XOR Bernoulli(level) bits",
    source=SOURCE,
    use_case="float32_faults",
    neutral=0.0,
    domain=(0.0, 1.0),
    faulty=True,
)
def float32_bit_flip_exponent(weight: Array, level: float, rng: Stream) -> Array:
    """Invert each of the 8 exponent bits of each weight with probability ``level``; infinite weights and NaN may result."""
    return _inverted(weight, level, rng, EXPONENT)


@perturbation(
    levels=(0.16, 0.5),
    scale="log10",
    unit="bit-error rate of the mantissa",
    formula="bits 0 to 22 of W XOR Bernoulli(level) bits",
    source=SOURCE,
    use_case="float32_faults",
    neutral=0.0,
    domain=(0.0, 1.0),
)
def float32_bit_flip_mantissa(weight: Array, level: float, rng: Stream) -> Array:
    """Invert each of the 23 mantissa bits of each weight with probability ``level``: signs and powers of two stay."""
    return _inverted(weight, level, rng, MANTISSA)


def _inverted(weight: Array, rate: float, rng: Stream, bits: tuple[int, int]) -> Array:
    """Invert bits of a range with probability ``rate``; all NaN become one, as processors keep their bits differently."""
    first, end = bits
    flips = np.zeros((weight.size, 32), dtype=bool)
    flips[:, first:end] = rng.bernoulli(rate, (weight.size, end - first))
    mask = np.packbits(flips.ravel(), bitorder="little").view("<u4").reshape(weight.shape)
    stored = weight.astype(np.float32).view(np.uint32) ^ mask
    stored[(stored & SIGNLESS) > INFINITE] = NAN
    return stored.view(np.float32).astype(np.float64)
