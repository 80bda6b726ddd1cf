"""Size of the weights, all together."""

from torch import nn

from safer_bench.criteria.entry import Batches, Scores, criterion, layer_weights


@criterion(formula="norm2(W)", source="Han et al. 2015, arXiv 1506.02626, summed to layers", cost="0")
def l2_norm(model: nn.Module, batches: Batches) -> Scores:
    """Euclidean norm of the weight."""
    return {name: float(weight.detach().double().norm()) for name, weight in layer_weights(model, batches).items()}
