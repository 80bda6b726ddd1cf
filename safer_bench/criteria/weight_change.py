"""How far a perturbation moves a layer's weights."""

from torch import nn

from safer_bench.criteria.criterion import Scores, criterion
from safer_bench.criteria.passes.changes import squared_changes
from safer_bench.criteria.passes.gradients import empirical_fisher_diagonal
from safer_bench.criteria.passes.hessian import DIAGONAL_COST, hessian_diagonal
from safer_bench.criteria.passes.layers import Batches, Perturb, layer_weights


@criterion(
    formula="mean (W' - W)^2", source="Nagel et al. 2021, arXiv 2106.08295, of any perturbation", aware=True, cost="0"
)
def quantization_mse(model: nn.Module, batches: Batches, perturb: Perturb, level: float) -> Scores:
    """Mean squared change of the weights."""
    changes = squared_changes(model, batches, perturb, level)
    return {name: changes[name] / weight.numel() for name, weight in layer_weights(model, batches).items()}


@criterion(
    formula="norm2(W' - W)^2 / norm2(W)^2",
    source="Lin et al. 2016, arXiv 1511.06393 (SQNR), its inverse: finite where nothing changed",
    aware=True,
    cost="0",
)
def sqnr(model: nn.Module, batches: Batches, perturb: Perturb, level: float) -> Scores:
    """Squared change of the weights relative to their squared norm: noise to signal."""
    changes = squared_changes(model, batches, perturb, level)
    weights = layer_weights(model, batches)
    return {name: changes[name] / float(w.detach().double().square().sum()) for name, w in weights.items()}


@criterion(
    needs="labels, gradients",
    formula="(1/N) sum_i norm2(g_i)^2 * mean (W' - W)^2",
    source="Zandonati et al. 2022, arXiv 2210.08502 (FIT), its part for weights",
    aware=True,
    cost="3*N",
)
def fit(model: nn.Module, batches: Batches, perturb: Perturb, level: float) -> Scores:
    """Trace of the empirical Fisher matrix times the mean squared change of the weights."""
    changes = squared_changes(model, batches, perturb, level)
    fisher = empirical_fisher_diagonal(model, batches)
    return {name: float(f.sum()) * changes[name] / f.numel() for name, f in fisher.items()}


@criterion(
    needs="labels, gradients, hessian",
    formula="tr(H)/n * norm2(W' - W)^2",
    source="Dong et al. 2020, arXiv 1911.03852 (HAWQ-V2)",
    aware=True,
    cost=DIAGONAL_COST,
)
def trace_squared_change(model: nn.Module, batches: Batches, perturb: Perturb, level: float) -> Scores:
    """Mean curvature of the loss times the squared change of the weights."""
    changes = squared_changes(model, batches, perturb, level)
    return {name: float(d.mean()) * changes[name] for name, d in hessian_diagonal(model, batches).items()}
