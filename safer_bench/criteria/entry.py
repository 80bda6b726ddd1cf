"""What one criterion is: a function of a model and batches that gives every layer a score; higher is more sensitive."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from safer_bench.errors import BadInput
from safer_bench.layers import discover_layers

Batches = Sequence[tuple[Tensor, Tensor]]  # (images (n, ...), labels (n,)) each
Scores = dict[str, float]
Perturb = Callable[[str, float], np.ndarray]  # (layer, level) -> perturbed weight, float32

NEEDS = ("weights", "data", "gradients", "measurement")


@dataclass(frozen=True, slots=True)
class Criterion:
    """One criterion.

    Attributes:
        name: unique.
        function: ``(model, batches) -> {layer: score}``; aware ones ``(model, batches, perturb, level)``.
        needs: ``weights`` (one example finds the layers), ``data``, ``gradients`` or ``measurement``.
        formula: the score in terms of W, g (gradient of the mean loss), x (input).
        source: where it comes from.
        aware: it sees the perturbation: called once a level, and its levels are averaged as in the area.
        examples: probe examples it uses; None for the caller's choice.
    """

    name: str
    function: Callable[..., Scores]
    needs: str
    formula: str
    source: str
    aware: bool = False
    examples: int | None = None

    def __call__(self, model: nn.Module, batches: Batches, *aware: Any) -> Scores:
        """Call the bare function, unchecked; ``safer_bench.score`` checks what it returns."""
        return self.function(model, batches, *aware)

    @property
    def track(self) -> str:
        """``blind`` or ``perturbation_aware``."""
        return "perturbation_aware" if self.aware else "blind"

    @property
    def description(self) -> str:
        """First line of the function's docstring."""
        return (self.function.__doc__ or "").strip().split("\n")[0]


def criterion(
    *, needs: str = "weights", formula: str = "", source: str = "", aware: bool = False, examples: int | None = None
) -> Callable[[Callable[..., Scores]], Criterion]:
    """Make a criterion of a function; the function's name is the criterion's.

    Raises:
        BadInput: an unknown need.
    """
    if needs not in NEEDS:
        raise BadInput(f"needs {needs!r}; expected one of {', '.join(NEEDS)}")

    def decorate(function: Callable[..., Scores]) -> Criterion:
        return Criterion(function.__name__, function, needs, formula, source, aware, examples)

    return decorate


def layer_weights(model: nn.Module, batches: Batches) -> dict[str, nn.Parameter]:
    """Return the weight of every layer by name, in order of first use; found by a pass over one example."""
    layers = discover_layers(model, batches[0][0][:1])
    return {layer.name: model.get_parameter(layer.parameter) for layer in layers if layer.index >= 0}


def mean_gradients(model: nn.Module, batches: Batches) -> dict[str, Tensor]:
    """Return the gradient of the mean cross-entropy over all examples with respect to each layer's weight."""
    weights = layer_weights(model, batches)
    n_examples = sum(len(labels) for _, labels in batches)
    totals = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for images, labels in batches:
        loss = F.cross_entropy(model(images), labels, reduction="sum") / n_examples
        gradients = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
        for name, gradient in zip(weights, gradients, strict=True):
            if gradient is not None:
                totals[name] += gradient
    return totals
