"""Results that tell nothing: all is lost, or nothing is; pure."""

from collections.abc import Sequence

NEARLY = 0.05  # of what lies between chance and the unchanged accuracy


def all_at_chance(accuracies: Sequence[float], unchanged: float, chance: float) -> bool:
    """Tell whether every allocation leaves (nearly) what always answering the largest class gets right.

    Args:
        accuracies: that allocations leave, one or more.
        unchanged: accuracy that could be kept.
        chance: share of the largest class.
    """
    return max(accuracies) <= chance + NEARLY * max(0.0, unchanged - chance)


def nothing_lost(accuracies: Sequence[float], unchanged: float) -> bool:
    """Tell whether no allocation leaves less than the unchanged accuracy."""
    return min(accuracies) >= unchanged
