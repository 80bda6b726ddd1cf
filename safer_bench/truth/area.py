"""From drops at several levels to one number a layer: the normalised area and the tolerated level; no I/O."""

from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from safer_bench.metrics import ROUNDING

Array = np.ndarray
DIGITS = 12  # significant ones; the last are the machine's


def axis(levels: Array | Sequence[float], scale: str) -> Array:
    """Return levels ``(n_levels,)`` on their scale: as they are, or log10, rounded once (numpy's is the processor's)."""
    values = np.asarray(levels, dtype=np.float64)
    return np.array([float(Decimal(value).log10()) for value in values.tolist()]) if scale == "log10" else values


def area_weights(levels: Array | Sequence[float], scale: str) -> Array:
    """Return the weights ``(n_levels,)``, of sum 1, by which the trapezoid rule averages over levels.

    Args:
        levels: monotone, in either direction.
        scale: ``linear`` or ``log10``.

    >>> area_weights(np.array([1.0, 10.0, 1000.0]), "log10").round(3).tolist()
    [0.167, 0.5, 0.333]
    """
    position = axis(levels, scale)
    if len(position) == 1:
        return np.ones(1)
    steps = np.abs(np.diff(position))
    return (np.append(steps, 0.0) + np.append(0.0, steps)) / (2.0 * steps.sum())


def area_of(scores: Array, levels: Sequence[float], scale: str) -> Array:
    """Return scores at levels ``(n_levels, n_layers)`` averaged as in the area ``(n_layers,)``.

    To 12 significant digits; 0 where they cancel; nan where one of them is.

    Layers whose sums are equal but for rounding are tied: a matrix product, which rounds by a layer's place in memory, once
    ranked layers that were tied at every level.

    Args:
        scores: any unit and size.
        levels: of each row, all of the perturbation's; monotone.
        scale: ``linear`` or ``log10``.
    """
    parts = area_weights(levels, scale)[:, None] * scores
    sums = parts.sum(0)
    cancelled = np.abs(sums) < 10.0**-DIGITS * np.abs(parts).sum(0)
    mantissa, exponent = np.frexp(np.where(cancelled, 0.0, sums))
    return np.asarray(np.ldexp(np.round(mantissa, DIGITS), exponent))


def tolerated_level(levels: Array, scale: str, drops: Array, limit: float = 0.01) -> tuple[float, bool]:
    """Return the level at which the drop first reaches ``limit``, interpolated on the scale.

    Args:
        levels: ``(n_levels,)``, mild to severe.
        scale: ``linear`` or ``log10``.
        drops: mean drop at each level, share of examples.
        limit: the drop that is tolerated.

    Returns:
        The level, and whether it is censored: the drop is there at the mildest level already, or never.
    """
    reached = np.flatnonzero(np.asarray(drops) >= limit)
    if len(reached) == 0:
        return float(levels[-1]), True
    i = int(reached[0])
    if i == 0:
        return float(levels[0]), True
    if drops[i] <= limit * (1.0 + ROUNDING):  # there to the digit, whatever interpolation and power leave
        return float(levels[i]), False
    position = axis(levels, scale)
    share = (limit - drops[i - 1]) / (drops[i] - drops[i - 1])
    found = position[i - 1] + share * (position[i] - position[i - 1])
    return float(Decimal(10) ** Decimal(float(found)) if scale == "log10" else found), False
