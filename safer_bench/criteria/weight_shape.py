"""How far the values of a weight reach beyond their spread: what a uniform grid wastes."""

from torch import nn

from safer_bench.criteria.criterion import Scores, criterion
from safer_bench.criteria.passes.layers import Batches, layer_weights


@criterion(formula="max abs(W) / std(W)", source="Zhao et al. 2019, arXiv 1901.09504 (outliers set the grid)", cost="0")
def peak_to_std(model: nn.Module, batches: Batches) -> Scores:
    """Largest magnitude over the standard deviation of all entries (divided by n)."""
    weights = {name: weight.detach().double() for name, weight in layer_weights(model, batches).items()}
    return {name: float(w.abs().max() / w.std(correction=0)) for name, w in weights.items()}


@criterion(formula="mean((W - mean W)^4) / var(W)^2", source="Shkolnik et al. 2020, arXiv 2002.07686 (KURE)", cost="0")
def kurtosis(model: nn.Module, batches: Batches) -> Scores:
    """Fourth standardised moment, 3 for a normal distribution: heavy tails are hard to quantize."""
    centred = {name: w.detach().double() - w.detach().double().mean() for name, w in layer_weights(model, batches).items()}
    return {name: float(w.pow(4).mean() / w.square().mean().square()) for name, w in centred.items()}
