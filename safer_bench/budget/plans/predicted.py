"""What each layer loses alone at each choice: as measured, and between measured levels by the change of its weights."""

from collections.abc import Callable, Mapping

import numpy as np

from safer_bench.budget.plans.menu import Menu
from safer_bench.networks.layers import Layer
from safer_bench.networks.network import Network

Array = np.ndarray
Perturbed = Callable[[Layer, str, float], Array]  # (layer, perturbation, level) -> its weight


def predicted(network: Network, menu: Menu, drops: Mapping[tuple[str, float], float], perturbed: Perturbed) -> Array:
    """Return the drop of each layer at each choice ``(n_layers, n_choices)``, at least 0.

    A level that was measured has its own drop. One that was not lies on the line between its neighbours, over the squared
    change of the layer's weights: a loss is flat where it was trained to, so it grows with the square. The first choice
    counts as harmless if it was not measured.

    Args:
        network: whose layers.
        menu: ``narrowed`` to what the drops tell of.
        drops: ``{(layer, level): what it costs}``, from single layers.
        perturbed: returns a layer's weight at a level.
    """
    return np.array([_of_layer(network, layer, menu, drops, perturbed) for layer in network.layers])


def _of_layer(
    network: Network, layer: Layer, menu: Menu, drops: Mapping[tuple[str, float], float], perturbed: Perturbed
) -> list[float]:
    own = {level: max(0.0, drop) for (name, level), drop in drops.items() if name == layer.name}
    if all(level in own for level in menu.levels[1:]):
        return [own.get(level, 0.0) for level in menu.levels]
    weight = network.weight(layer)
    change = {level: squared_change(weight, perturbed(layer, menu.perturbation, level)) for level in {*own, *menu.levels}}
    known = np.array(sorted({(0.0, 0.0), *((change[level], drop) for level, drop in own.items())}))
    between = np.interp([change[level] for level in menu.levels], known[:, 0], known[:, 1])
    first = own.get(menu.levels[0], 0.0)
    return [first, *(own.get(level, float(value)) for level, value in zip(menu.levels[1:], between[1:], strict=True))]


def squared_change(weight: Array, changed: Array) -> float:
    """Return the sum of the squared differences of two weights, in float64."""
    return float(((changed.astype(np.float64) - weight) ** 2).sum())
