"""Size of the weights, added up."""

from torch import nn

from safer_bench.criteria.entry import Batches, Scores, criterion, layer_weights


@criterion(formula="sum abs(W)", source="Li et al. 2017, arXiv 1608.08710, summed over filters", cost="0")
def l1_norm(model: nn.Module, batches: Batches) -> Scores:
    """Sum of the weights' magnitudes."""
    return {name: float(weight.detach().double().abs().sum()) for name, weight in layer_weights(model, batches).items()}
