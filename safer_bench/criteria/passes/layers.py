"""The layers that a criterion scores and their weights, found by a pass over one example; what a criterion is given."""

from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

import numpy as np
from torch import Tensor, nn

from safer_bench.criteria.passes.shared import shared
from safer_bench.networks.layers import Layer, discover_layers

Batches = Sequence[tuple[Tensor, Tensor]]  # (images (n, ...), labels (n,)) each
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
    """Return the weight of every layer by name, in order of first use; found by a pass over one example."""
    return {layer.name: model.get_parameter(layer.parameter) for layer in used_layers(model, batches)}


def count_examples(batches: Batches) -> int:
    """Return the number of examples of all batches."""
    return sum(len(labels) for _, labels in batches)


def output_matrix(weight: Tensor, layer: Layer) -> Tensor:
    """Return a weight, or what has its shape, as float64 ``(outputs, fan-in)``."""
    return weight.detach().double().movedim(layer.output_axis, 0).flatten(1)
