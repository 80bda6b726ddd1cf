"""Gradient flow that removing a layer's weights would cost."""

from torch import nn

from safer_bench.criteria.criterion import Scores, criterion
from safer_bench.criteria.passes.hessian import gradient_product
from safer_bench.criteria.passes.layers import Batches, layer_weights


@criterion(
    needs="labels, gradients, hessian",
    formula="sum(W * (H g))",
    source="Wang et al. 2020, arXiv 2002.07376, with the sign turned: its largest scores are pruned first",
    cost="12*N",
)
def grasp(model: nn.Module, batches: Batches) -> Scores:
    """First-order loss of half the squared gradient norm when the layer is removed; H couples all layers."""
    products = gradient_product(model, batches)
    return {name: float((w.detach().double() * products[name]).sum()) for name, w in layer_weights(model, batches).items()}
