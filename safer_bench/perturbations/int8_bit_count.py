"""Hardware faults in stored int8 weights, as many in a small layer as in a large one."""

import numpy as np

from safer_bench.perturbations.int8_bit_flip import SOURCE, with_inverted_bits
from safer_bench.perturbations.perturbation import perturbation
from safer_bench.stream import Array, Stream


@perturbation(
    levels=(1200.0, 3900.0, 11000.0, 25000.0, 55000.0),
    scale="log10",
    unit="flips a layer",
    formula="s*(int8 codes with min(level, 8n) distinct bits inverted)",
    source=SOURCE,
    use_case="int8_faults",
    domain=(1.0, np.inf),
    whole=True,
)
def int8_bit_count(weight: Array, level: float, rng: Stream) -> Array:
    """Invert exactly ``level`` distinct bits of the 8-bit codes, chosen at random; all bits where there are fewer."""
    flips = np.zeros(8 * weight.size, dtype=bool)
    flips[rng.sample(flips.size, int(level))] = True
    return with_inverted_bits(weight, flips.reshape(-1, 8))
