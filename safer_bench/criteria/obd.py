"""Second-order loss changes when weights are removed one by one."""

from collections.abc import Mapping

from torch import Tensor, nn

from safer_bench.criteria.criterion import Scores, criterion
from safer_bench.criteria.passes.gradients import empirical_fisher_diagonal, true_fisher_diagonal
from safer_bench.criteria.passes.hessian import DIAGONAL_COST, hessian_diagonal
from safer_bench.criteria.passes.layers import Batches, layer_weights


@criterion(
    needs="labels, gradients, hessian",
    formula="1/2 sum(diag(H) * W^2), the diagonal by random signs",
    source="LeCun et al. 1989, Optimal Brain Damage (NIPS 2), with the exact Hessian's diagonal",
    cost=DIAGONAL_COST,
)
def obd(model: nn.Module, batches: Batches) -> Scores:
    """Loss increase to second order when each weight is removed alone, summed."""
    return _removed(hessian_diagonal(model, batches), layer_weights(model, batches))


@criterion(
    needs="gradients",
    formula="1/2 sum(diag(GGN) * W^2)",
    source="LeCun et al. 1989 with its Levenberg-Marquardt approximation; Schraudolph 2002 (GGN), exact over classes",
    cost="N*(1 + 2*C)",
)
def ggn_diagonal(model: nn.Module, batches: Batches) -> Scores:
    """Optimal Brain Damage with the diagonal of the generalised Gauss-Newton matrix, which is never negative."""
    return _removed(true_fisher_diagonal(model, batches), layer_weights(model, batches))


@criterion(
    needs="labels, gradients",
    formula="1/2 sum((1/N) sum_i g_i^2 * W^2)",
    source="Theis et al. 2018, arXiv 1801.05787 (Fisher pruning); after its formula by channel, here summed over a layer",
    cost="3*N",
)
def fisher_pruning(model: nn.Module, batches: Batches) -> Scores:
    """Loss increase to second order when each weight is removed alone, by the empirical Fisher's diagonal, summed."""
    return _removed(empirical_fisher_diagonal(model, batches), layer_weights(model, batches))


def _removed(diagonal: Mapping[str, Tensor], weights: Mapping[str, nn.Parameter]) -> Scores:
    """Return half of the sum of each layer's curvature, float64, times the squares of its weights."""
    return {name: float((diagonal[name] * w.detach().double().square()).sum()) / 2 for name, w in weights.items()}
