"""Second-order loss changes when weights are removed one by one."""

from torch import nn

from safer_bench.criteria.criterion import Scores, criterion
from safer_bench.criteria.passes.gradients import true_fisher_diagonal
from safer_bench.criteria.passes.hessian import DRAWS, hessian_diagonal
from safer_bench.criteria.passes.layers import Batches, layer_weights


@criterion(
    needs="labels, gradients, hessian",
    formula=f"1/2 sum(diag(H) * W^2), the diagonal by {DRAWS} random sign vectors",
    source="LeCun et al. 1989, Optimal Brain Damage (NIPS 2), with the exact Hessian's diagonal",
    cost=f"N*(3 + {6 * DRAWS})",
)
def obd(model: nn.Module, batches: Batches) -> Scores:
    """Loss increase to second order when each weight is removed alone, summed."""
    diagonal = hessian_diagonal(model, batches)
    return {
        n: float((diagonal[n] * w.detach().double().square()).sum()) / 2 for n, w in layer_weights(model, batches).items()
    }


@criterion(
    needs="gradients",
    formula="1/2 sum(diag(GGN) * W^2)",
    source="LeCun et al. 1989 with its Levenberg-Marquardt approximation; Schraudolph 2002 (GGN), exact over classes",
    cost="N*(1 + 2*C)",
)
def ggn_diagonal(model: nn.Module, batches: Batches) -> Scores:
    """Optimal Brain Damage with the diagonal of the generalised Gauss-Newton matrix, which is never negative."""
    diagonal = true_fisher_diagonal(model, batches)
    return {
        n: float((diagonal[n] * w.detach().double().square()).sum()) / 2 for n, w in layer_weights(model, batches).items()
    }
