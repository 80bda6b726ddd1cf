"""What training gave to a layer, taken away."""

import math

from safer_bench.perturbations.perturbation import LayerFacts, perturbation
from safer_bench.stream import Array, Stream


@perturbation(
    levels=(1.0,),
    scale="linear",
    unit="none: 1 is the only level",
    formula="z*sqrt(2/fan_in)",
    source="Zhang et al. 2019, arXiv 1902.01996; He et al. 2015, arXiv 1502.01852 (the distribution)",
    use_case="removal",
    needs=("layer",),
    domain=(1.0, 1.0),
)
def rerandomize(weight: Array, level: float, rng: Stream, *, layer: LayerFacts) -> Array:  # noqa: ARG001
    """Draw every weight afresh, normal of variance 2/fan_in, whatever was learnt."""
    return rng.normal(weight.shape) * math.sqrt(2.0 / layer.fan_in)
