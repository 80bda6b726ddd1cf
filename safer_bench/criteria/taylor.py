"""First-order loss changes when weights are removed: one by one, all together, or a filter at a time."""

from torch import Tensor, nn

from safer_bench.criteria.criterion import Scores, criterion
from safer_bench.criteria.passes.gradients import mean_gradients
from safer_bench.criteria.passes.layers import Batches, layer_weights, output_matrix, used_layers


def _products(model: nn.Module, batches: Batches) -> dict[str, Tensor]:
    gradients = mean_gradients(model, batches)
    return {name: (gradients[name] * weight.detach()).double() for name, weight in layer_weights(model, batches).items()}


@criterion(
    needs="labels, gradients", formula="sum abs(g*W)", source="Lee et al. 2019, arXiv 1810.02340, unnormalised", cost="3*N"
)
def snip(model: nn.Module, batches: Batches) -> Scores:
    """Sum of abs(gradient x weight): the first-order loss change when each weight is removed alone."""
    return {name: float(product.abs().sum()) for name, product in _products(model, batches).items()}


@criterion(
    needs="labels, gradients",
    formula="sum(g*W)",
    source="Abdelfattah et al. 2021, arXiv 2101.08134, its authors' code (plain)",
    cost="3*N",
)
def plain(model: nn.Module, batches: Batches) -> Scores:
    """Signed sum of gradient x weight, as published: the first-order loss decrease when the whole layer is removed."""
    return {name: float(product.sum()) for name, product in _products(model, batches).items()}


@criterion(
    needs="labels, gradients",
    formula="sum over filters of (sum over the filter of g*W)^2",
    source="Molchanov et al. 2019, arXiv 1906.10771, its group score with g of all examples together",
    cost="3*N",
)
def taylor_filter(model: nn.Module, batches: Batches) -> Scores:
    """Squared first-order loss change when a filter is removed, summed over filters."""
    products = _products(model, batches)
    layers = used_layers(model, batches)
    return {layer.name: float(output_matrix(products[layer.name], layer).sum(1).square().sum()) for layer in layers}
