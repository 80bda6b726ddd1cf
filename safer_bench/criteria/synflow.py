"""Synaptic flow: paths through the network, weighed by the product of their weights."""

from copy import deepcopy

import torch
from torch import nn

from safer_bench.criteria.criterion import Scores, criterion
from safer_bench.criteria.passes.layers import Batches, used_layers


@criterion(
    formula="sum abs(W * dR/dW), R = sum of the logits of an image of ones in the network of abs(parameters and buffers)",
    source="Tanaka et al. 2020, arXiv 2006.05467, and its authors' code",
    cost="3",
)
def synflow(model: nn.Module, batches: Batches) -> Scores:
    """Synaptic flow through the layer, without data, in float64; normalisation layers are made positive as well."""
    positive = deepcopy(model).double().requires_grad_(True)
    with torch.no_grad():
        for tensor in positive.state_dict().values():
            tensor.abs_()
    weights = {layer.name: positive.get_parameter(layer.parameter) for layer in used_layers(model, batches)}
    flow = positive(torch.ones_like(batches[0][0][:1], dtype=torch.float64)).sum()
    gradients = torch.autograd.grad(flow, list(weights.values()), allow_unused=True)
    return {
        name: 0.0 if gradient is None else float((weight.detach() * gradient).abs().sum())
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
    }
