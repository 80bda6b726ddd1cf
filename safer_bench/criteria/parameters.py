"""Control: the size of a layer."""

from torch import nn

from safer_bench.criteria.entry import Batches, Scores, criterion, layer_weights


@criterion(formula="n", source="control", cost="0")
def parameters(model: nn.Module, batches: Batches) -> Scores:
    """Number of entries of the weight."""
    return {name: float(weight.numel()) for name, weight in layer_weights(model, batches).items()}
