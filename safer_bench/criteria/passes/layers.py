"""The layers that a criterion scores and their weights, found by a pass over one example; what a criterion is given."""

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from safer_bench.criteria.passes.shared import shared
from safer_bench.errors import BadInput
from safer_bench.networks.examples import NOT_COUNTED
from safer_bench.networks.inputs import named_parts
from safer_bench.networks.layers import Layer, discover_layers

Batches = Sequence[tuple[Any, Tensor]]  # (inputs of n examples, labels (n, ...)) each
Perturb = Callable[[str, float], np.ndarray]  # (layer, level) -> perturbed weight, float32


_KNOWN: WeakKeyDictionary[nn.Module, tuple[Layer, ...]] = WeakKeyDictionary()


def set_layers(model: nn.Module, layers: tuple[Layer, ...]) -> None:
    """Say which layers a model has: those of its network, also where an example at hand does not read all of them."""
    _KNOWN[model] = layers


@shared
def used_layers(model: nn.Module, batches: Batches) -> tuple[Layer, ...]:
    """Return the layers in order of first use: those of the network, else found by a pass over one example."""
    found = discover_layers(model, batches[0][0][:1])
    return _KNOWN.get(model, found)


def layer_weights(model: nn.Module, batches: Batches) -> dict[str, nn.Parameter]:
    """Return the weight of every layer that a criterion has to score.

    Args:
        model, batches: what a criterion is given; or any model with inputs and labels, in batches.

    Returns:
        ``{layer name: weight}``, in order of first use; layers are found by a pass over one example.

    Raises:
        BadInput: no layer is found, or the model refuses the example.
    """
    return {layer.name: model.get_parameter(layer.parameter) for layer in used_layers(model, batches)}


def count_examples(batches: Batches) -> int:
    """Return the number of examples of all batches."""
    return sum(len(labels) for _, labels in batches)


def count_answers(batches: Batches) -> int:
    """Return the number of answers of all batches: of labels that count."""
    return sum(int((labels != NOT_COUNTED).sum()) for _, labels in batches)


def of_answers(values: Tensor, batches: Batches) -> Tensor:
    """Return the values of answers that count ``(n_answers,)``, from those of all ``(n, ...)``."""
    return values[torch.cat([labels for _, labels in batches]).to(values.device) != NOT_COUNTED]


def losses_of_examples(logits: Tensor, labels: Tensor) -> Tensor:
    """Return each example's cross-entropy, the mean over its answers; 0 of one without any: ``(n,)``."""
    losses = F.cross_entropy(logits, labels, reduction="none")
    if losses.ndim == 1:
        return losses
    return losses.flatten(1).sum(1) / (labels != NOT_COUNTED).flatten(1).sum(1).clamp_min(1)


def refuse_integers(inputs: Any, what: str) -> None:
    """Refuse inputs that are no floating point numbers, for a criterion that makes others of them.

    Raises:
        BadInput: some are none.
    """
    found = [f"{name} ({part.dtype})" for name, part in named_parts(inputs) if not part.is_floating_point()]
    if found:
        raise BadInput(f"{what}, which takes inputs of floating point; found {', '.join(found)}")


def output_matrix(weight: Tensor, layer: Layer) -> Tensor:
    """Return a weight, or what has its shape, as float64 ``(outputs, fan-in)``."""
    return weight.detach().double().movedim(layer.output_axis, 0).flatten(1)
