"""The smallest weights removed."""

import numpy as np

from safer_bench.perturbations.perturbation import perturbation
from safer_bench.stream import Array, Stream, smallest


@perturbation(
    levels=(0.73, 0.87, 0.936, 0.981, 0.9937),
    scale="linear",
    unit="sparsity",
    formula="the round(level*n) entries of smallest abs(W) set to 0",
    source="Han et al. 2015, arXiv 1506.02626",
    use_case="pruning",
    deterministic=True,
    neutral=0.0,
    domain=(0.0, 1.0),
)
def magnitude_prune(weight: Array, level: float, rng: Stream) -> Array:  # noqa: ARG001  every perturbation has a stream
    """Set the share ``level`` of smallest magnitude to zero (half to even); ties fall to the lowest flat index."""
    pruned = weight.flatten()
    pruned[smallest(np.abs(pruned), round(level * pruned.size))] = 0.0
    return pruned.reshape(weight.shape)
