"""How far the values of a weight reach beyond their spread: what a uniform grid wastes."""

import torch
from torch import nn

from safer_bench.criteria.criterion import Scores, criterion
from safer_bench.criteria.passes.layers import Batches, layer_weights


@criterion(formula="max abs(W) / std(W)", source="Zhao et al. 2019, arXiv 1901.09504 (outliers set the grid)", cost="0")
def peak_to_std(model: nn.Module, batches: Batches) -> Scores:
    """Largest magnitude over the standard deviation of all entries (divided by n); 1, the least there is, of equal ones."""
    weights = {name: weight.detach().double() for name, weight in layer_weights(model, batches).items()}
    return {name: float(w.abs().max() / w.std(correction=0)) if _spreads(w) else 1.0 for name, w in weights.items()}


@criterion(formula="mean((W - mean W)^4) / var(W)^2", source="Shkolnik et al. 2020, arXiv 2002.07686 (KURE)", cost="0")
def kurtosis(model: nn.Module, batches: Batches) -> Scores:
    """Fourth standardised moment, 3 for a normal distribution: heavy tails are hard to quantize.

    Of equal entries 1, the least there is.
    """
    weights = {name: weight.detach().double() for name, weight in layer_weights(model, batches).items()}
    return {name: _kurtosis(w - w.mean()) if _spreads(w) else 1.0 for name, w in weights.items()}


def _kurtosis(centred: torch.Tensor) -> float:
    return float(centred.pow(4).mean() / centred.square().mean().square())


def _spreads(weight: torch.Tensor) -> bool:
    return bool(weight.min() < weight.max())
