"""The fixed parts of each dataset: fit, tune, calibration (criteria), evaluation (truth), budget."""

from functools import cache
from types import ModuleType

import numpy as np
import torch

from safer_bench.networks.data import digits, fashion_mnist, text
from safer_bench.networks.examples import Examples

DATASETS: dict[str, ModuleType] = {"digits": digits, "fashion_mnist": fashion_mnist, "text": text}
SOURCES: dict[str, str] = {name: module.SOURCE for name, module in DATASETS.items()}


def part_indices(dataset: str) -> dict[str, np.ndarray]:
    """Return the fixed indices of each part: of images, or of chapters."""
    parts: dict[str, np.ndarray] = DATASETS[dataset].part_indices()
    return parts


def held_out(dataset: str) -> str:
    """Return the part that tells how well a training does: ``tune``, or ``calibration`` where there is no such part."""
    return "tune" if "tune" in part_indices(dataset) else "calibration"


@cache
def load_part(dataset: str, part: str) -> Examples:
    """Return inputs and labels of one part of a dataset.

    Args:
        dataset: a key of ``DATASETS``.
        part: ``fit``, ``tune``, ``calibration``, ``evaluation`` or ``budget`` (digits: fit, calibration, evaluation).

    Returns:
        Standardised images float32 ``(n, 1, height, width)`` and labels int64 ``(n,)``; of text, bytes int64 ``(n, length)``
        and the bytes that come next, of the same shape.

    Raises:
        MissingData: the examples are not on this machine.
        BadInput: a file of them is damaged.
    """
    inputs, labels = DATASETS[dataset].read_part(part)
    return torch.from_numpy(inputs), torch.from_numpy(labels)
