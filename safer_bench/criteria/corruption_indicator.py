"""The worst first-order loss change under a corruption of bounded norm and bounded number of entries."""

import math

import torch
from torch import nn

from safer_bench.criteria.criterion import Criterion, Scores, criterion
from safer_bench.criteria.passes.gradients import mean_gradients
from safer_bench.criteria.passes.layers import Batches, layer_weights

DUAL = {2.0: 2.0, math.inf: 1.0}


def _indicator(p: float, share: float) -> Criterion:
    name = f"corruption_indicator_l{p:g}" + ("" if share == 1 else f"_top_{share:.0%}".replace("%", "_percent"))
    entries = "all" if share == 1 else f"{share:.0%} of n"

    def indicate(model: nn.Module, batches: Batches) -> Scores:
        gradients, scores = mean_gradients(model, batches), {}
        for layer, weight in layer_weights(model, batches).items():
            magnitudes = gradients[layer].double().abs().flatten()
            largest = magnitudes.topk(max(1, round(share * len(magnitudes)))).values
            size = torch.linalg.vector_norm(weight.detach().double(), p)
            scores[layer] = float(size * torch.linalg.vector_norm(largest, DUAL[p]))
        return scores

    return criterion(
        name=name,
        needs="labels, gradients",
        formula=f"norm{p:g}(W)*norm{DUAL[p]:g}(h), h = the k largest entries of g, k = {entries}"
        if share < 1
        else f"norm{p:g}(W)*norm{DUAL[p]:g}(g)",
        source=f"Sun et al. 2021, arXiv 2006.05620, equation 7 with eps = norm{p:g}(W), k = {entries}",
        cost="3*N",
        description=f"First-order estimate of the largest loss increase by a corruption of relative {p:g}-norm 1"
        + (f" of {share:.0%} of the entries." if share < 1 else "."),
    )(indicate)


INDICATORS = tuple(_indicator(p, share) for p in DUAL for share in (1.0, 0.1, 0.01))
