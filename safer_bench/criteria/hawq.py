"""Curvature of the loss by layer, as mixed-precision quantization uses it."""

from torch import nn

from safer_bench.criteria.criterion import Scores, criterion
from safer_bench.criteria.passes.hessian import DIAGONAL_COST, MOST_STEPS, hessian_diagonal, largest_eigenvalues
from safer_bench.criteria.passes.layers import Batches, layer_weights

EXAMPLES = 128  # an eigenvalue takes some ten products for every layer


@criterion(
    needs="labels, gradients, hessian",
    formula="largest eigenvalue of the layer's block of H",
    source="Dong et al. 2019, arXiv 1905.03696 (HAWQ), by Lanczos instead of power iteration",
    examples=EXAMPLES,
    cost=f"at most N*(3 + {6 * MOST_STEPS}*L)",
)
def hessian_eigenvalue(model: nn.Module, batches: Batches) -> Scores:
    """Largest curvature of the mean loss in the layer's weights."""
    return dict(largest_eigenvalues(model, batches))


@criterion(
    needs="labels, gradients, hessian",
    formula="largest eigenvalue of the layer's block of H / n",
    source="Dong et al. 2019, arXiv 1905.03696 (HAWQ)",
    examples=EXAMPLES,
    cost=f"at most N*(3 + {6 * MOST_STEPS}*L)",
)
def hessian_eigenvalue_per_weight(model: nn.Module, batches: Batches) -> Scores:
    """Largest curvature of the mean loss in the layer's weights, divided by their number."""
    weights = layer_weights(model, batches)
    return {name: value / weights[name].numel() for name, value in largest_eigenvalues(model, batches).items()}


@criterion(
    needs="labels, gradients, hessian",
    formula="tr(H) / n of the layer's block, by random signs",
    source="Dong et al. 2020, arXiv 1911.03852 (HAWQ-V2)",
    cost=DIAGONAL_COST,
)
def hessian_mean_trace(model: nn.Module, batches: Batches) -> Scores:
    """Mean curvature of the loss over the layer's weights."""
    return {name: float(diagonal.mean()) for name, diagonal in hessian_diagonal(model, batches).items()}
