"""The smallest output filters removed."""

import numpy as np

from safer_bench.perturbations.perturbation import LayerFacts, perturbation
from safer_bench.stream import Array, Stream, exact_sum


@perturbation(
    levels=(0.17, 0.35, 0.65, 0.88, 0.953),
    scale="linear",
    unit="share of filters",
    formula="the round(level*filters) output filters of smallest L1 norm set to 0; bias and norm layers untouched",
    source="Li et al. 2017, arXiv 1608.08710",
    use_case="pruning",
    needs=("layer",),
    deterministic=True,
    neutral=0.0,
    domain=(0.0, 1.0),
)
def filter_prune(weight: Array, level: float, rng: Stream, *, layer: LayerFacts) -> Array:  # noqa: ARG001
    """Set the share ``level`` of output filters to zero (half to even); ties fall to the lowest index."""
    filters = np.moveaxis(weight, layer.output_axis, 0).copy()
    norms = [exact_sum(np.abs(values)) for values in filters]
    filters[np.argsort(norms, kind="stable")[: round(level * len(filters))]] = 0.0
    return np.moveaxis(filters, 0, layer.output_axis)
