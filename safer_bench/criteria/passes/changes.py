"""What a perturbation does to one layer, as aware criteria see it: the changed weight, and the logits with it set.

A bit flip can make a weight infinite or no number at all: such entries count as float32's largest number.
"""

import torch
from torch import Tensor, nn

from safer_bench.criteria.passes.layers import Batches, Perturb, layer_weights
from safer_bench.criteria.passes.shared import Passes, passes, shared, shared_while_room, spend

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
    shorter = _shorter(model)
    short = shorter.clean(batches) if shorter else None
    return _logits(model, batches) if short is None else _counted(short)


@shared_while_room
def perturbed_logits(model: nn.Module, batches: Batches, perturb: Perturb, level: float) -> dict[str, Tensor]:
    """Return for each layer the logits of all examples, ``(n, n_classes)``, with that layer perturbed; it is restored."""
    logits, shorter = {}, _shorter(model)
    perturbed = perturbed_weights(model, batches, perturb, level)
    for name, weight in layer_weights(model, batches).items():
        short = shorter.perturbed(batches, name, perturbed[name]) if shorter else None
        logits[name] = _with_weight(model, batches, weight, perturbed[name]) if short is None else _counted(short)
    return logits


def _shorter(model: nn.Module) -> Passes | None:
    """Return the shorter way to logits that the sweep knows, prepared: who uses it is billed for that."""
    _prepare(model, None)
    return passes()


@shared
def _prepare(model: nn.Module, batches: None) -> None:  # noqa: ARG001  once a sweep, whatever the batches
    shorter = passes()
    if shorter:
        shorter.prepare()


def _counted(short: Tensor) -> Tensor:
    """Count logits ``(n, n_classes)`` that came by a shorter way as whole passes, which everyone has."""
    spend(len(short))
    return short


def _with_weight(model: nn.Module, batches: Batches, weight: nn.Parameter, perturbed: Tensor) -> Tensor:
    original = weight.detach().clone()
    try:
        with torch.no_grad():
            weight.copy_(perturbed)
        return _logits(model, batches)
    finally:
        with torch.no_grad():
            weight.copy_(original)


@torch.no_grad()
def _logits(model: nn.Module, batches: Batches) -> Tensor:
    return torch.cat([model(images) for images, _ in batches])
