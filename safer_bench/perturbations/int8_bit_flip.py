"""Hardware faults in stored int8 weights."""

import numpy as np

from safer_bench.perturbations.entry import perturbation
from safer_bench.perturbations.quantize import codes, step_size
from safer_bench.perturbations.stream import Array, Stream


@perturbation(
    levels=(0.003, 0.01, 0.03, 0.1, 0.3),
    scale="log10",
    unit="bit-error rate",
    formula="s*(int8 codes XOR Bernoulli(level) bits)",
    source="Rakin et al. 2019, arXiv 1903.12269 (flips at random instead of searched)",
    domain=(0.0, 1.0),
)
def int8_bit_flip(weight: Array, level: float, rng: Stream) -> Array:
    """Invert each bit of the 8-bit two's complement codes with probability ``level``, decoded with the same step."""
    flips = np.packbits(rng.bernoulli(level, (weight.size, 8)), axis=1).reshape(weight.shape)
    stored = codes(weight, 8).astype(np.int8).view(np.uint8)
    return step_size(weight, 8) * (stored ^ flips).view(np.int8).astype(np.float64)
