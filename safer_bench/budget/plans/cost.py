"""The level at which a network loses so many points with all its layers changed alike."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from safer_bench.budget.intervals import IntervalEstimate, accuracy_lost
from safer_bench.budget.plans.joint import Joint
from safer_bench.budget.plans.menu import Menu
from safer_bench.budget.whole import WholeNetwork
from safer_bench.errors import BadInput
from safer_bench.networks.examples import largest_class
from safer_bench.networks.network import Network

Array = np.ndarray
NEAR = 0.1  # of the cost asked for: a level that comes as near is taken at once
POINT = 0.01  # of accuracy; a level within one point is near too, or within half of the cost if that is less
# Rates from one in a billion to 1/2, at which bits are random, of two digits
RATES = tuple(rate for power in range(-10, -1) for digits in range(10, 100) if (rate := float(f"{digits}e{power}")) <= 0.5)
HUNDREDTHS = tuple(n / 100 for n in range(1, 100))


@dataclass(frozen=True, slots=True)
class LevelFound:
    """A level and what it costs.

    Attributes:
        level: of the perturbation.
        lost: accuracy that is lost with all layers at this level, with its 95 % interval.
        n_examples: that it was measured on.
        beyond: a sentence on the next level, where this one is not near to what was asked for.
    """

    level: float
    lost: IntervalEstimate
    n_examples: int
    beyond: str = ""


def level_that_costs(
    network: Network, menu: Menu, cost: float, draws: int = 1, tell: Callable[[str], None] = lambda _: None
) -> LevelFound:
    """Return the level at which a network loses about ``cost`` with all layers changed alike, by binary search.

    The severer a level, the more it is taken to cost. Each is measured on the same examples, bit errors by other draws. The
    search ends at a level that is near the cost; else the nearest of those that were measured is taken.

    Args:
        network: with examples that judge nothing.
        menu: whose task and perturbation hold; ``candidates`` are its levels.
        cost: accuracy to lose.
        draws: of bit errors; 1 where nothing is random.
        tell: called before each level is measured.

    Raises:
        BadInput: the severest level costs less, or the mildest more.
    """
    whole, levels = WholeNetwork(network), candidates(menu)
    lost: dict[float, IntervalEstimate] = {}

    def measured(level: float) -> float:
        if level not in lost:
            tell(f"level {level:g}")
            lost[level] = lost_at(whole, menu, level, draws)
        return lost[level].mean - cost

    near = max(NEAR * cost, min(POINT, cost / 2))
    if measured(levels[-1]) < -near:
        raise BadInput(f"{_refused(network, menu, cost)}: {levels[-1]:g}, the severest, costs {_told(lost[levels[-1]])}; "
                       f"{_room(whole)}: ask for fewer points")  # fmt: skip
    first, last = 0, len(levels) - 1
    while first < last and min(map(abs, map(measured, lost))) > near:
        middle = (first + last) // 2
        first, last = (middle + 1, last) if measured(levels[middle]) < 0.0 else (first, middle)
    if last == 0 and measured(levels[0]) > near:
        raise BadInput(f"{_refused(network, menu, cost)}: {levels[0]:g}, the mildest, costs {_told(lost[levels[0]])}; "
                       "ask for more points")  # fmt: skip
    level = min(lost, key=lambda each: (abs(measured(each)), -levels.index(each)))  # of equally near ones the severest
    return LevelFound(level, lost[level], len(network.labels), _beyond(level, lost, cost, near))


def _beyond(level: float, lost: dict[float, IntervalEstimate], cost: float, near: float) -> str:
    """Return what the next level on the other side of the cost costs, where the one that is taken is not near to it."""
    missed = lost[level].mean - cost
    if abs(missed) <= near:
        return ""
    others = [each for each, found in lost.items() if (found.mean - cost) * missed < 0]
    nearest = min(others, key=lambda each: abs(lost[each].mean - cost))
    return f"Nothing comes nearer to {100 * cost:g} points: {nearest:g} costs {100 * lost[nearest].mean:.1f}."


def candidates(menu: Menu) -> tuple[float, ...]:
    """Return the levels that are searched, mild to severe: rates, the bits of the menu, or hundredths up to its largest."""
    if menu.task == "protect":
        return RATES
    if menu.task == "quantize":
        return menu.levels
    return (*(share for share in HUNDREDTHS if share < menu.levels[-1]), menu.levels[-1])


def lost_at(whole: WholeNetwork, menu: Menu, level: float, draws: int) -> IntervalEstimate:
    """Return the accuracy that is lost with all layers at one level, unchanged minus changed, paired by answer."""
    joint = Joint(whole, Menu(menu.task, menu.perturbation, (menu.levels[0], level), (1.0, 0.0)), draws)
    right = joint.correct(np.ones(len(whole.network.layers), dtype=np.int64))
    examples = np.repeat(np.arange(len(whole.network.labels)), whole.network.n_answers.numpy())
    return accuracy_lost(joint.unchanged(), right, examples, None if draws > 1 else len(np.unique(examples)))


def _refused(network: Network, menu: Menu, cost: float) -> str:
    return f"network {network.name!r}: no level of {menu.perturbation} costs it {100 * cost:g} points"


def _told(lost: IntervalEstimate) -> str:
    return f"{100 * lost.mean:.1f}" + ("" if np.isnan(lost.low) else f" ({100 * lost.low:.1f} to {100 * lost.high:.1f})")


def _room(whole: WholeNetwork) -> str:
    clean, chance = float(whole.correct({}).mean()), largest_class(whole.network.labels)
    return f"it gets {100 * clean:.1f} % right unchanged, and always answering the largest class {100 * chance:.1f} %"
