"""Size of the weights, each."""

from torch import nn

from safer_bench.criteria.entry import Batches, Scores, criterion, layer_weights


@criterion(formula="mean abs(W)", source="Han et al. 2015, arXiv 1506.02626, averaged over layers", cost="0")
def mean_magnitude(model: nn.Module, batches: Batches) -> Scores:
    """Mean magnitude of the weights."""
    return {name: float(weight.detach().double().abs().mean()) for name, weight in layer_weights(model, batches).items()}
