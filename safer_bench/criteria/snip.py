"""Connection sensitivity, summed over a layer."""

from torch import nn

from safer_bench.criteria.entry import Batches, Scores, criterion, layer_weights, mean_gradients


@criterion(needs="gradients", formula="sum abs(g*W)", source="Lee et al. 2019, arXiv 1810.02340, unnormalised")
def snip(model: nn.Module, batches: Batches) -> Scores:
    """Sum of abs(gradient x weight): the first-order loss change when each weight is removed alone."""
    gradients = mean_gradients(model, batches)
    weights = layer_weights(model, batches)
    return {name: float((gradients[name] * weights[name].detach()).double().abs().sum()) for name in weights}
