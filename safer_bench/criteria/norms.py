"""Size of the weights: added up, all together, each."""

from torch import nn

from safer_bench.criteria.criterion import Scores, criterion
from safer_bench.criteria.passes.layers import Batches, layer_weights


@criterion(formula="sum abs(W)", source="Li et al. 2017, arXiv 1608.08710, summed over filters", cost="0")
def l1_norm(model: nn.Module, batches: Batches) -> Scores:
    """Sum of the weights' magnitudes."""
    return {name: float(weight.detach().double().abs().sum()) for name, weight in layer_weights(model, batches).items()}


@criterion(formula="norm2(W)", source="Han et al. 2015, arXiv 1506.02626, summed to layers", cost="0")
def l2_norm(model: nn.Module, batches: Batches) -> Scores:
    """Euclidean norm of the weight."""
    return {name: float(weight.detach().double().norm()) for name, weight in layer_weights(model, batches).items()}


@criterion(formula="mean abs(W)", source="Han et al. 2015, arXiv 1506.02626, averaged over layers", cost="0")
def mean_magnitude(model: nn.Module, batches: Batches) -> Scores:
    """Mean magnitude of the weights."""
    return {name: float(weight.detach().double().abs().mean()) for name, weight in layer_weights(model, batches).items()}
