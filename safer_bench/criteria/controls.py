"""Controls: what a layer's size, work and position tell, ties everywhere, and no information; criteria must beat them."""

from torch import nn

from safer_bench.criteria.criterion import Scores, criterion
from safer_bench.criteria.passes.layers import Batches, layer_weights, used_layers
from safer_bench.stream import Stream


@criterion(formula="1", source="control", cost="0")
def constant(model: nn.Module, batches: Batches) -> Scores:
    """The same score for every layer."""
    return dict.fromkeys(layer_weights(model, batches), 1.0)


@criterion(formula="-layer index", source="control", cost="0")
def depth(model: nn.Module, batches: Batches) -> Scores:
    """Earlier layers first: the negative order of first use."""
    return {name: -float(index) for index, name in enumerate(layer_weights(model, batches))}


@criterion(formula="layer index", source="control", cost="0")
def depth_backward(model: nn.Module, batches: Batches) -> Scores:
    """Later layers first: the order of first use."""
    return {name: float(index) for index, name in enumerate(layer_weights(model, batches))}


@criterion(formula="1 for the first and the last layer, else 0", source="control", cost="0")
def first_last(model: nn.Module, batches: Batches) -> Scores:
    """One for the first and the last layer, zero for all others."""
    names = list(layer_weights(model, batches))
    return {name: float(name in (names[0], names[-1])) for name in names}


@criterion(formula="multiply-accumulates for one example", source="control", cost="0")
def macs(model: nn.Module, batches: Batches) -> Scores:
    """Multiply-accumulates of the weight for one example."""
    return {layer.name: float(layer.macs) for layer in used_layers(model, batches)}


@criterion(formula="n", source="control", cost="0")
def parameters(model: nn.Module, batches: Batches) -> Scores:
    """Number of entries of the weight."""
    return {name: float(weight.numel()) for name, weight in layer_weights(model, batches).items()}


@criterion(formula="uniform in (0, 1), keyed by the layer's name", source="control", cost="0")
def random(model: nn.Module, batches: Batches) -> Scores:
    """A reproducible random number; boards show its exact expectation instead of one draw."""
    return {name: float(Stream("random", name).uniform(())) for name in layer_weights(model, batches)}
