"""Whether scores that were computed again are the submitted ones: but for the last digits, and in the same order."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from safer_bench.errors import BadInput

Key = tuple[str | None, float | None, str]  # perturbation and level, where a criterion sees them, and layer
Scores = Mapping[Key, tuple[float, float | None]]  # with their spread over sets of calibration examples
TOLERANCE = 1e-3  # of the spread of a cell's scores, and of a score: the last digits are the machine's
ROUNDED = 1e-6  # of a score
DIFFERS = "code and scores differ, or the code gives other scores each time: seed what is random"


def check_same(again: Scores, submitted: Mapping[Key, float], where: str) -> None:
    """Refuse scores of one criterion and network that were not found again.

    In each cell, a score may differ by a thousandth of the range of those that were found, and layers that the submission
    tells apart by a thousandth of their own scores have to be found in the same order: a ranking hides neither beside a
    large score nor in the last digits.

    Args:
        again: what was found.
        submitted: of the same keys.
        where: what the message begins with.

    Raises:
        BadInput: one differs, or two are in another order.
    """
    for layers, of_cell in _cells(submitted):
        old, new = np.array([submitted[key] for key in of_cell]), np.array([again[key][0] for key in of_cell])
        context = ", ".join(str(part) for part in of_cell[0][:2] if part is not None)
        _check_cell(old, new, layers, f"{where}: {context}, " if context else f"{where}: ")


def _cells(submitted: Mapping[Key, Any]) -> Iterator[tuple[list[str], list[Key]]]:
    cells: dict[tuple[str | None, float | None], list[Key]] = {}
    for key in submitted:
        cells.setdefault(key[:2], []).append(key)
    yield from (([key[2] for key in keys], keys) for keys in cells.values())


def _check_cell(old: np.ndarray, new: np.ndarray, layers: list[str], where: str) -> None:
    allowed = TOLERANCE * np.ptp(new) + ROUNDED * np.maximum(np.abs(old), np.abs(new))
    for i in np.flatnonzero(~(np.abs(old - new) <= allowed)):
        raise BadInput(f"{where}{layers[i]}: submitted {old[i]:g}, computed again {new[i]:g}; {DIFFERS}")
    order = np.argsort(old, kind="stable")
    for n, i in enumerate(order):
        below = order[:n]
        apart = old[i] - old[below] > TOLERANCE * np.maximum(abs(old[i]), np.abs(old[below]))
        for j in below[apart & ~(new[i] > new[below])]:
            raise BadInput(
                f"{where}{layers[i]} above {layers[j]}: submitted {old[i]:g} and {old[j]:g}, computed again {new[i]:g} "
                f"and {new[j]:g}"
            )
