"""Slope of the loss."""

from torch import nn

from safer_bench.criteria.criterion import Scores, criterion
from safer_bench.criteria.passes.gradients import mean_gradients
from safer_bench.criteria.passes.layers import Batches


@criterion(
    needs="labels, gradients", formula="norm2(g)", source="Abdelfattah et al. 2021, arXiv 2101.08134 (grad_norm)", cost="3*N"
)
def gradient_norm(model: nn.Module, batches: Batches) -> Scores:
    """Euclidean norm of the gradient of the mean loss."""
    return {name: float(gradient.double().norm()) for name, gradient in mean_gradients(model, batches).items()}
