"""What a layer may get, generous to tight, and what a weight of it then costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from safer_bench.budget.tasks import TASKS
from safer_bench.errors import BadInput
from safer_bench.perturbations.loading import perturbations
from safer_bench.registry import look_up

PLANNED = {  # task -> perturbations that can stand for it, the default first
    "quantize": ("quantize_per_channel", "quantize"),
    "prune": ("magnitude_prune",),
    "protect": ("int8_bit_flip", "float32_bit_flip"),
}
OFFERED = {  # task -> what a layer may get: bits, or share pruned
    "quantize": (8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0),
    "prune": (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95),
}
SPARED = {
    "quantize": 8.0,
    "prune": 0.0,
    "protect": 0.0,
}  # level of the first choice, which counts as harmless if not measured


@dataclass(frozen=True, slots=True)
class Menu:
    """What each layer may get.

    Attributes:
        task: quantize, prune or protect.
        perturbation: what stands for it.
        levels: of the perturbation, one a choice, the most generous first.
        costs: of one weight, falling: bits, share of the weights kept, or 1 where protected and 0 where not.
    """

    task: str
    perturbation: str
    levels: tuple[float, ...]
    costs: tuple[float, ...]

    def spec(self, *, spared: bool = False) -> str:
        """Return the levels as ``measure`` and ``score`` take them, to the last digit; ``spared``: the first one too."""
        wanted = self.levels if spared and self.levels[0] else self.levels[1:]  # a level of 0 changes nothing
        return f"{self.perturbation}:{','.join(repr(float(level)).removesuffix('.0') for level in wanted)}"

    def amount(self, choice: int) -> float:
        """Return what a choice is called in a plan: bits, share pruned, or 1 where protected and 0 where not."""
        return self.costs[choice] if self.task == "protect" else self.levels[choice]

    def cost(self, level: float) -> float:
        """Return what a weight costs at a level of bits or of a share pruned."""
        return level if self.task == "quantize" else 1.0 - level

    def most(self, budget: float) -> float:
        """Return the most that a weight may cost on average within a budget, which for ``prune`` is the share pruned."""
        return 1.0 - budget if self.task == "prune" else budget

    def budget(self, cost: float) -> float:
        """Return the budget that an average cost comes to; the inverse of ``most``."""
        return 1.0 - cost if self.task == "prune" else cost

    def check(self, most: float) -> None:
        """Refuse a budget that cannot be met.

        Args:
            most: that a weight may cost on average.

        Raises:
            BadInput: even the tightest choice for every layer costs more; the message says what can be met.
        """
        if self.costs[-1] > most + 1e-9:
            given, end = self.budget(most), self.budget(self.costs[-1])
            limit = f"at most {end:g} of the weights" if self.task == "prune" else f"{end:g} mean bits at least"
            raise BadInput(
                f"budget {given:g} of task {self.task!r} cannot be met: the choices allow {limit}, the tightest for every "
                "layer; give another budget, or tighter choices by --level"
            )


def make_menu(task: str, perturbation: str | None = None, levels: Sequence[float] = ()) -> Menu:
    """Return what layers may get.

    Args:
        task: quantize, prune or protect.
        perturbation: what stands for it; the task's default where None.
        levels: bits or shares that are offered; of protect the one bit-error rate. The default ones where there is none.

    Raises:
        BadInput: no such task or perturbation, a level outside the perturbation's domain, nothing to choose from, or not one
            rate.
    """
    if task not in PLANNED:
        raise BadInput(f"task {task!r}; expected {', '.join(PLANNED)}")
    name = perturbation or PLANNED[task][0]
    if name not in PLANNED[task]:
        raise BadInput(f"perturbation {name!r} of task {task!r}; expected {' or '.join(PLANNED[task])}")
    if task == "protect":
        rates = tuple(levels) or (TASKS["protect"].perturbations[name][1],)
        if len(rates) != 1 or not 0.0 < rates[0] < 1.0:
            raise BadInput(f"task 'protect' is planned for one bit-error rate between 0 and 1; found {list(rates)}")
        return Menu(task, name, (SPARED[task], rates[0]), (1.0, 0.0))
    entry = look_up(perturbations(), name, "perturbation")
    if task == "quantize" and any(level > SPARED[task] for level in levels):
        raise BadInput(f"--level {max(levels):g}; a plan offers at most {SPARED[task]:g} bits")
    if task == "prune" and any(level >= 1.0 for level in levels):
        raise BadInput(f"--level {max(levels):g}; a plan offers shares below 1: a layer keeps some weights")
    offered = {SPARED[task], *(levels or OFFERED[task])}
    if len(offered) < 2:
        raise BadInput(f"--level {levels[0]:g}: every layer may keep that anyway; name another one to choose from")
    ordered = entry.ordered(tuple(offered - {entry.neutral})) if entry.neutral is not None else entry.ordered(tuple(offered))
    all_levels = (SPARED[task], *(level for level in ordered if level != SPARED[task]))
    return Menu(task, name, all_levels, all_levels if task == "quantize" else tuple(1.0 - level for level in all_levels))


def narrowed(menu: Menu, layers: Sequence[str], drops: Mapping[tuple[str, float], float]) -> Menu:
    """Return the choices whose drops are known: those measured, and for bits and shares those between them.

    The most generous choice stays in any case: where it was not measured it counts as harmless. Its real harm shows when
    the plan is measured.

    Args:
        menu: what layers may get.
        layers: names ``(n_layers,)``.
        drops: ``{(layer, level): mean accuracy drop}``, from single layers.

    Raises:
        BadInput: nothing but the first choice was measured, or a level of some layers alone.
    """
    measured = {level for _, level in drops if level != menu.levels[0]}
    if menu.task == "protect":
        kept = [i for i, level in enumerate(menu.levels) if i == 0 or level in measured]
    else:
        tightest = min((menu.cost(level) for level in measured), default=menu.costs[0])
        kept = [i for i, cost in enumerate(menu.costs) if i == 0 or cost >= tightest]
    if len(kept) < 2:
        verb, which = ("is", "one of those") if menu.task == "protect" else ("are", "measured ones")
        planned, named = f"planned {verb} {_levels(menu.levels[1:])}", f", or name {which} by --level"
        raise BadInput(
            f"{menu.perturbation}: measured at {_levels(measured)}, {planned}; measure {menu.spec()}{named * bool(measured)}"
        )
    missing = next(((layer, level) for layer in layers for level in measured if (layer, level) not in drops), None)
    if missing:
        raise BadInput(f"{menu.perturbation}: layer {missing[0]!r} was not measured at level {missing[1]:g}")
    return Menu(menu.task, menu.perturbation, *(tuple(each[i] for i in kept) for each in (menu.levels, menu.costs)))


def _levels(levels: Sequence[float] | set[float]) -> str:
    return ", ".join(f"{level:g}" for level in sorted(levels)) or "no level"
