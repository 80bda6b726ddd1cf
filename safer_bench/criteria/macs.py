"""Control: the work of a layer."""

from torch import nn

from safer_bench.criteria.entry import Batches, Scores, criterion, used_layers


@criterion(formula="multiply-accumulates for one example", source="control", cost="0")
def macs(model: nn.Module, batches: Batches) -> Scores:
    """Multiply-accumulates of the weight for one example."""
    return {layer.name: float(layer.macs) for layer in used_layers(model, batches)}
