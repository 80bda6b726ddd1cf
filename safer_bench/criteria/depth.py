"""Controls: the position of a layer."""

from torch import nn

from safer_bench.criteria.entry import Batches, Scores, criterion, layer_weights


@criterion(formula="-layer index", source="control", cost="0")
def depth(model: nn.Module, batches: Batches) -> Scores:
    """Earlier layers first: the negative order of first use."""
    return {name: -float(index) for index, name in enumerate(layer_weights(model, batches))}


@criterion(formula="layer index", source="control", cost="0")
def depth_backward(model: nn.Module, batches: Batches) -> Scores:
    """Later layers first: the order of first use."""
    return {name: float(index) for index, name in enumerate(layer_weights(model, batches))}
