"""Corruption-resistant training: each step mixes the loss at the weights W with the loss at corrupted weights W + a.

Minimised is ``(1 - mixing) L(W) + mixing L(W + a)`` on one batch, with ``a`` held constant; one step costs two gradients.
The size of ``a`` is relative to each layer's own norm, since behind batch norm weights could grow away from an absolute one.
Source: Sun et al. 2021, arXiv 2006.05620; ``random`` directions are the control.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from safer_bench.networks.layers import candidate_weights
from safer_bench.networks.zoo_network import Corruption


def corrupting(weight: Tensor, gradient: Tensor, corruption: Corruption, generator: torch.Generator) -> Tensor:
    """Return ``a`` of one layer: its norm is ``size`` times the weight's; zero where the gradient is zero."""
    direction = gradient
    if corruption.direction == "random":
        direction = torch.randn(weight.shape, generator=generator)
    if corruption.norm == "linf":
        return corruption.size * weight.abs().max() * direction.sign()
    return corruption.size * weight.norm() * direction / direction.norm().clamp_min(torch.finfo(weight.dtype).tiny)


@torch.no_grad()
def mix_gradients(model: nn.Module, loss: Callable[[], Tensor], corruption: Corruption, generator: torch.Generator) -> None:
    """Turn the gradients at W, which the parameters hold, into those of the mixed loss.

    Args:
        model: its parameters hold the gradients of ``loss`` at W; W stays bit for bit.
        loss: the loss of the step's batch at the model's present weights.
        corruption: what is added, and how much it counts.
        generator: of random directions.
    """
    weights = [weight for _, weight in candidate_weights(model)]
    changes = [corrupting(weight, _gradient(weight), corruption, generator) for weight in weights]
    for parameter in model.parameters():
        parameter.grad = (1 - corruption.mixing) * _gradient(parameter)
    with _moved(weights, changes), _without_running_statistics(model), torch.enable_grad():
        (corruption.mixing * loss()).backward()


def _gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


@contextmanager
def _moved(weights: list[nn.Parameter], changes: list[Tensor]) -> Iterator[None]:
    kept = [weight.detach().clone() for weight in weights]  # W + a - a would not be W again
    for weight, change in zip(weights, changes, strict=True):
        weight.data.add_(change)
    try:
        yield
    finally:
        for weight, before in zip(weights, kept, strict=True):
            weight.data.copy_(before)


@contextmanager
def _without_running_statistics(model: nn.Module) -> Iterator[None]:
    """Keep batch norm's running means and variances those of W: at W + a the activations are other ones."""
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [module.momentum for module in norms]
    for module in norms:
        module.momentum = 0.0
    try:
        yield
    finally:
        for module, momentum in zip(norms, momenta, strict=True):
            module.momentum = momentum
