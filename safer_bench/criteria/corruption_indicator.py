"""The worst first-order loss change under a corruption of bounded norm."""

from torch import nn

from safer_bench.criteria.entry import Batches, Scores, criterion, layer_weights, mean_gradients


@criterion(
    needs="gradients",
    formula="norm2(W)*norm2(g)",
    source="Sun et al. 2021, arXiv 2006.05620, equation 7 with eps = norm2(W), k = all",
)
def corruption_indicator_l2(model: nn.Module, batches: Batches) -> Scores:
    """First-order estimate of the largest loss increase by a corruption of relative Euclidean norm 1."""
    gradients = mean_gradients(model, batches)
    weights = layer_weights(model, batches)
    return {name: float(weights[name].detach().double().norm() * gradients[name].double().norm()) for name in weights}
