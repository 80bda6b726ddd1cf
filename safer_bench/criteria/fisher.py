"""Curvature of the likelihood from squared gradients of single examples."""

from torch import nn

from safer_bench.criteria.criterion import Scores, criterion
from safer_bench.criteria.passes.activations import loss_gradients, total_by_layer
from safer_bench.criteria.passes.gradients import empirical_fisher_diagonal, true_fisher_diagonal
from safer_bench.criteria.passes.layers import Batches, count_examples, used_layers


@criterion(
    needs="labels, gradients",
    formula="(1/N) sum_i norm2(g_i)^2",
    source="Kunstner et al. 2019, arXiv 1905.12558, equation 3",
    cost="3*N",
)
def empirical_fisher(model: nn.Module, batches: Batches) -> Scores:
    """Trace of the empirical Fisher matrix: mean squared norm of each example's own gradient."""
    return {name: float(diagonal.sum()) for name, diagonal in empirical_fisher_diagonal(model, batches).items()}


@criterion(
    needs="gradients",
    formula="(1/N) sum_i sum_c p_c norm2(d log p_c / dW)^2",
    source="Kunstner et al. 2019, arXiv 1905.12558; the trace of the diagonal GGN as well (softmax)",
    cost="N*(1 + 2*C)",
)
def true_fisher(model: nn.Module, batches: Batches) -> Scores:
    """Trace of the Fisher matrix, the expectation over the model's own answers taken exactly."""
    return {name: float(diagonal.sum()) for name, diagonal in true_fisher_diagonal(model, batches).items()}


@criterion(
    needs="labels, gradients",
    formula="(1/N) sum_i norm2(dL_i/dy_i)^2",
    source="Zandonati et al. 2022, arXiv 2210.08502 (FIT's activation trace), at the layer's output",
    cost="3*N",
)
def activation_fisher(model: nn.Module, batches: Batches) -> Scores:
    """Trace of the empirical Fisher matrix of the layer's outputs."""
    n_examples = count_examples(batches)
    parts = (
        (application.layer, float(gradient.double().square().sum()) / n_examples)
        for batch in loss_gradients(model, batches)
        for application, gradient in batch
    )
    return total_by_layer(used_layers(model, batches), parts)
