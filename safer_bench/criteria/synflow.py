"""Synaptic flow: paths through the network, weighed by the product of their weights."""

from copy import deepcopy

import torch
from torch import nn

from safer_bench.criteria.criterion import Scores, criterion
from safer_bench.criteria.passes.layers import Batches, refuse_integers, used_layers
from safer_bench.networks.inputs import parts_of, with_parts


@criterion(
    formula="sum abs(W * dR/dW), R = sum of the logits of an image of ones in the network of abs(parameters and buffers)",
    source="Tanaka et al. 2020, arXiv 2006.05467, and its authors' code",
    cost="3",
)
def synflow(model: nn.Module, batches: Batches) -> Scores:
    """Synaptic flow through the layer, without data, in float64; normalisation layers are made positive as well.

    Raises:
        BadInput: an input is no floating point number, and ones would be something else than a signal.
    """
    example = batches[0][0][:1]
    refuse_integers(example, "synflow sends ones through the network")
    positive = deepcopy(model).double().requires_grad_(True)
    with torch.no_grad():
        for tensor in positive.state_dict().values():
            tensor.abs_()
    weights = {layer.name: positive.get_parameter(layer.parameter) for layer in used_layers(model, batches)}
    ones = with_parts(example, [torch.ones_like(part, dtype=torch.float64) for part in parts_of(example)])
    flow = positive(ones).sum()
    gradients = torch.autograd.grad(flow, list(weights.values()), allow_unused=True)
    return {
        name: 0.0 if gradient is None else float((weight.detach() * gradient).abs().sum())
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
    }
