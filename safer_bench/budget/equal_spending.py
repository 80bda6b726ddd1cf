"""What ``uniform`` gets right at any spending, so that an allocation is compared with it at its own; pure."""

import math
from collections.abc import Mapping

import numpy as np

Array = np.ndarray
SAME = 1e-9  # spendings nearer than this differ by rounding


def uniform_at(spent: float, curve: Mapping[float, Array]) -> Array:
    """Return what ``uniform`` gets right at a spending, on the line between the nearest two that it was measured at.

    It is what to expect where each answer comes from the one allocation or, by chance, from the other, so that their mean
    spending is the one asked for. As it is told answer by answer, differences from it stay paired.

    Args:
        spent: share pruned, mean bits or share protected, within those of the curve.
        curve: ``{spent: correct}``, of each answer ``(n_draws, n_answers)``.
    """
    below = max(point for point in curve if point <= spent + SAME)
    above = min(point for point in curve if point >= spent - SAME)
    if math.isclose(below, spent, abs_tol=SAME):
        return curve[below]
    share = (spent - below) / (above - below)
    return (1.0 - share) * curve[below] + share * curve[above]
