"""What a perturbation does to one layer, as aware criteria see it: the changed weight, and the logits with it set.

A bit flip can make a weight infinite or no number at all: such entries count as float32's largest number.
"""

import torch
from torch import Tensor, nn

from safer_bench.criteria.entry import Batches, Perturb, layer_weights
from safer_bench.criteria.shared import shared

LARGEST = torch.finfo(torch.float32).max


def finite(values: Tensor) -> Tensor:
    """Return float64 values; what is not finite becomes float32's largest number, with its sign."""
    return torch.nan_to_num(values.double(), nan=LARGEST, posinf=LARGEST, neginf=-LARGEST)


def perturbed_weights(model: nn.Module, batches: Batches, perturb: Perturb, level: float) -> dict[str, Tensor]:
    """Return each layer's perturbed weight, as the perturbation gives it."""
    return {name: torch.from_numpy(perturb(name, level)).to(w) for name, w in layer_weights(model, batches).items()}


def squared_changes(model: nn.Module, batches: Batches, perturb: Perturb, level: float) -> dict[str, float]:
    """Return the sum of (W' - W)^2 of each layer."""
    weights = layer_weights(model, batches)
    perturbed = perturbed_weights(model, batches, perturb, level)
    return {name: float((finite(perturbed[name]) - w.detach().double()).square().sum()) for name, w in weights.items()}


@shared
def clean_logits(model: nn.Module, batches: Batches) -> Tensor:
    """Return the logits of all examples, ``(n, n_classes)``."""
    with torch.no_grad():
        return torch.cat([model(images) for images, _ in batches])


@shared
def perturbed_logits(model: nn.Module, batches: Batches, perturb: Perturb, level: float) -> dict[str, Tensor]:
    """Return for each layer the logits of all examples, ``(n, n_classes)``, with that layer perturbed; it is restored."""
    found = {}
    perturbed = perturbed_weights(model, batches, perturb, level)
    for name, weight in layer_weights(model, batches).items():
        original = weight.detach().clone()
        with torch.no_grad():
            try:
                weight.copy_(perturbed[name])
                found[name] = torch.cat([model(images) for images, _ in batches])
            finally:
                weight.copy_(original)
    return found
