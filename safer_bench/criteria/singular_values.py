"""What the singular values of a weight say, as a matrix of outputs x fan-in."""

import torch
from torch import Tensor, nn

from safer_bench.criteria.criterion import Scores, criterion
from safer_bench.criteria.passes.layers import Batches, layer_weights, output_matrix, used_layers
from safer_bench.criteria.passes.shared import shared


@shared
def _singular_values(model: nn.Module, batches: Batches) -> dict[str, Tensor]:
    weights = layer_weights(model, batches)
    layers = used_layers(model, batches)
    return {layer.name: torch.linalg.svdvals(output_matrix(weights[layer.name], layer)) for layer in layers}


@criterion(
    formula="largest singular value of W as (outputs, fan-in)", source="Miyato et al. 2018, arXiv 1802.05957", cost="0"
)
def spectral_norm(model: nn.Module, batches: Batches) -> Scores:
    """Largest singular value of the weight, reshaped to outputs x fan-in: the most that it stretches an input."""
    return {name: float(values[0]) for name, values in _singular_values(model, batches).items()}


@criterion(formula="norm2(W)^2 / spectral_norm(W)^2", source="Rudelson and Vershynin 2007, arXiv math/0503442", cost="0")
def stable_rank(model: nn.Module, batches: Batches) -> Scores:
    """Sum of the squared singular values over the largest: how many directions carry the weight; 0 where it is zero."""
    values = _singular_values(model, batches)
    return {name: float(v.square().sum() / v[0].square()) if v[0] > 0 else 0.0 for name, v in values.items()}
