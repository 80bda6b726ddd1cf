"""Control: the rule of thumb to spare the first and the last layer."""

from torch import nn

from safer_bench.criteria.entry import Batches, Scores, criterion, layer_weights


@criterion(formula="1 for the first and the last layer, else 0", source="control", cost="0")
def first_last(model: nn.Module, batches: Batches) -> Scores:
    """One for the first and the last layer, zero for all others."""
    names = list(layer_weights(model, batches))
    return {name: float(name in (names[0], names[-1])) for name in names}
