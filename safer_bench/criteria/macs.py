"""Control: the work of a layer."""

from torch import nn

from safer_bench.criteria.entry import Batches, Scores, criterion
from safer_bench.layers import discover_layers


@criterion(formula="multiply-accumulates for one example", source="control")
def macs(model: nn.Module, batches: Batches) -> Scores:
    """Multiply-accumulates of the weight for one example."""
    layers = discover_layers(model, batches[0][0][:1])
    return {layer.name: float(layer.macs) for layer in layers if layer.index >= 0}
