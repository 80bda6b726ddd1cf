"""Control: ties everywhere; it must never win."""

from torch import nn

from safer_bench.criteria.entry import Batches, Scores, criterion, layer_weights


@criterion(formula="1", source="control", cost="0")
def constant(model: nn.Module, batches: Batches) -> Scores:
    """The same score for every layer."""
    return dict.fromkeys(layer_weights(model, batches), 1.0)
