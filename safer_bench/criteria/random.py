"""Control: no information."""

from torch import nn

from safer_bench.criteria.entry import Batches, Scores, criterion, layer_weights
from safer_bench.perturbations.stream import Stream


@criterion(formula="uniform in (0, 1), keyed by the layer's name", source="control", cost="0")
def random(model: nn.Module, batches: Batches) -> Scores:
    """A reproducible random number; boards show its exact expectation instead of one draw."""
    return {name: float(Stream("random", name).uniform(())) for name in layer_weights(model, batches)}
