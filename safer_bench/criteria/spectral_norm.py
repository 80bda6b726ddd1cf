"""The most that a layer can stretch an input."""

import torch
from torch import nn

from safer_bench.criteria.entry import Batches, Scores, criterion, layer_weights
from safer_bench.layers import discover_layers


@criterion(formula="largest singular value of W as (outputs, fan-in)", source="Miyato et al. 2018, arXiv 1802.05957")
def spectral_norm(model: nn.Module, batches: Batches) -> Scores:
    """Largest singular value of the weight, reshaped to outputs x fan-in."""
    axes = {layer.name: layer.output_axis for layer in discover_layers(model, batches[0][0][:1])}
    matrices = {
        name: weight.detach().double().movedim(axes[name], 0).flatten(1)
        for name, weight in layer_weights(model, batches).items()
    }
    return {name: float(torch.linalg.matrix_norm(matrix, 2)) for name, matrix in matrices.items()}
