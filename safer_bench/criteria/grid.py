"""The grid of Yvinec et al.: an attribution for each weight, reduced to one number a layer."""

import math
from collections.abc import Callable

import numpy as np
from torch import Tensor, nn

from safer_bench.criteria.criterion import Criterion, Scores, criterion
from safer_bench.criteria.passes.gradients import NODES, empirical_fisher_diagonal, integrated_gradients, mean_gradients
from safer_bench.criteria.passes.hessian import DIAGONAL_COST, hessian_diagonal
from safer_bench.criteria.passes.layers import Batches, layer_weights

Attribute = Callable[[nn.Module, Batches], dict[str, Tensor]]


def _weight(model: nn.Module, batches: Batches) -> dict[str, Tensor]:
    return {name: weight.detach().double().abs() for name, weight in layer_weights(model, batches).items()}


def _gradient(model: nn.Module, batches: Batches) -> dict[str, Tensor]:
    return {name: gradient.double().abs() for name, gradient in mean_gradients(model, batches).items()}


def _gradient_weight(model: nn.Module, batches: Batches) -> dict[str, Tensor]:
    weights, gradients = layer_weights(model, batches), mean_gradients(model, batches)
    return {name: (gradients[name] * weight.detach()).double().abs() for name, weight in weights.items()}


def _integrated(model: nn.Module, batches: Batches) -> dict[str, Tensor]:
    return {name: found.abs() for name, found in integrated_gradients(model, batches).items()}


def _top(values: np.ndarray) -> float:
    k = math.ceil(len(values) / 100)
    return float(np.partition(values, len(values) - k)[len(values) - k :].mean())


ATTRIBUTIONS: dict[str, tuple[Attribute, str, str, str]] = {  # function, formula, needs, cost
    "weight": (_weight, "abs(W)", "weights", "0"),
    "gradient": (_gradient, "abs(g)", "labels, gradients", "3*N"),
    "gradient_weight": (_gradient_weight, "abs(g*W)", "labels, gradients", "3*N"),
    "integrated_gradients": (
        _integrated,
        "abs(W * integral of g(a*W) da)",
        "labels, gradients",
        f"{3 * NODES}*N",
    ),
    "fisher": (empirical_fisher_diagonal, "(1/N) sum_i g_i^2", "labels, gradients", "3*N"),
    "hessian": (
        hessian_diagonal,
        "diag(H) by random signs",
        "labels, gradients, hessian",
        DIAGONAL_COST,
    ),
}
REDUCTIONS: dict[str, tuple[Callable[[np.ndarray], float], str]] = {  # of a flat float64 array, what it is called
    "sum": (lambda values: float(values.sum()), "Sum"),
    "mean": (lambda values: float(values.mean()), "Mean"),
    "max": (lambda values: float(values.max()), "Largest"),
    "l2": (lambda values: float(np.linalg.norm(values)), "Euclidean norm"),
    "median": (lambda values: float(np.median(values)), "Median"),
    "top": (_top, "Mean of the top 1 %"),
}
NAMED = {  # entries of the grid that are listed under a name of their own
    ("weight", "sum"): "l1_norm",
    ("weight", "mean"): "mean_magnitude",
    ("weight", "l2"): "l2_norm",
    ("gradient", "l2"): "gradient_norm",
    ("gradient_weight", "sum"): "snip",
    ("integrated_gradients", "sum"): "weight_integrated_gradients",
    ("fisher", "sum"): "empirical_fisher",
    ("hessian", "mean"): "hessian_mean_trace",
}


def _entry(attribution: str, reduction: str) -> Criterion:
    attribute, formula, needs, cost = ATTRIBUTIONS[attribution]
    reduce, title = REDUCTIONS[reduction]

    def score(model: nn.Module, batches: Batches) -> Scores:
        attributions = attribute(model, batches)
        return {name: reduce(values.double().cpu().numpy().ravel()) for name, values in attributions.items()}

    return criterion(
        name=f"{attribution}_{reduction}",
        needs=needs,
        formula=f"{title.lower()} of {formula}",
        source="Yvinec et al. 2023, arXiv 2308.04753, attribution x reduction",
        cost=cost,
        description=f"{title} of {formula} over the layer's weights.",
    )(score)


GRID = tuple(_entry(a, r) for a in ATTRIBUTIONS for r in REDUCTIONS if (a, r) not in NAMED)
