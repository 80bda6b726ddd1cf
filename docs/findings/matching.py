"""Layers of one network, matched with those of a relative that has more or fewer of them."""

import re
from collections.abc import Sequence

import numpy as np

Array = np.ndarray


def matched(source: Sequence[str], values: Array, target: Sequence[str]) -> Array:
    """Return what each layer of a network would have of a relative's values ``(n_target,)``.

    A layer takes the value at its own relative depth among the relative's layers of the same role, between two layers
    interpolated; where the relative has no such role, among all of its layers. Networks of the same layers match one to one.

    Args:
        source: names of the relative's layers, in order of first use.
        values: of each of these.
        target: names of the network's layers, in order of first use.
    """
    roles, every = _places(source), _depths(len(source))
    wanted, found = _places(target), np.interp(_depths(len(target)), every, values)
    for name, places in wanted.items():
        if name in roles:
            found[places] = np.interp(_depths(len(places)), _depths(len(roles[name])), values[roles[name]])
    return found


def role(layer: str) -> str:
    """Return what a layer is for, whichever block it is in: its path without the numbers of blocks.

    >>> role("layer2.0.conv1"), role("blocks.11.attn.qkv"), role("features.10")
    ('layer.conv1', 'blocks.attn.qkv', 'features')
    """
    *blocks, last = [part for part in layer.split(".") if not part.isdigit()] or [layer]
    return ".".join([*(re.sub(r"\d+$", "", part) for part in blocks), last])


def _places(layers: Sequence[str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for i, layer in enumerate(layers):
        places.setdefault(role(layer), []).append(i)
    return places


def _depths(n: int) -> Array:
    return (np.arange(n) + 0.5) / n
