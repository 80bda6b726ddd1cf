"""Slope of the loss."""

from torch import nn

from safer_bench.criteria.entry import Batches, Scores, criterion
from safer_bench.criteria.gradients import mean_gradients


@criterion(
    needs="labels, gradients", formula="norm2(g)", source="Abdelfattah et al. 2021, arXiv 2101.08134 (grad_norm)", cost="3*N"
)
def gradient_norm(model: nn.Module, batches: Batches) -> Scores:
    """Euclidean norm of the gradient of the mean loss."""
    return {name: float(gradient.double().norm()) for name, gradient in mean_gradients(model, batches).items()}
