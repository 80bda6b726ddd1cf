"""Makes a plan: choices by measured drops or by scores, measured together on examples that chose nothing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from safer_bench.budget.images import FEWEST, budget_network, check_known, own_examples
from safer_bench.budget.intervals import accuracy
from safer_bench.budget.plans.choosers import ByDrops, ByScores, Chooser, Score
from safer_bench.budget.plans.cost import LevelFound
from safer_bench.budget.plans.joint import Joint
from safer_bench.budget.plans.judge import Judge, interval_of, judge_of
from safer_bench.budget.plans.menu import PLANNED, Menu, narrowed
from safer_bench.budget.plans.plan import LevelCost, Measured, Plan, PlannedLayer, Point, Source
from safer_bench.budget.plans.truths import Truth, drops_of, told_protocol
from safer_bench.budget.tasks import TASKS
from safer_bench.budget.whole import WholeNetwork
from safer_bench.dataset.contents import network_revisions
from safer_bench.errors import BadInput
from safer_bench.networks.examples import largest_class
from safer_bench.networks.layers import owners
from safer_bench.networks.network import Network
from safer_bench.tables.facts import read_facts

Array = np.ndarray
TRUTH = "truth"
BUDGETS = {  # of the curve, generous to tight
    "quantize": (7.0, 6.0, 5.0, 4.5, 4.0, 3.5, 3.0, 2.5),
    "prune": (0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9),
    "protect": (0.5, 0.2, 0.1, 0.05, 0.01),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be planned.

    Attributes:
        menu: what layers may get.
        budget: mean bits, share pruned or share protected; None where something else decides.
        max_drop: accuracy that may be lost, with 95 % confidence; None where there is a budget.
        cost: accuracy that all layers alike are to lose, at the level that ``at`` then takes; None where a level is given.
        found: that level, once ``at`` has taken it.
        by: ``truth``, or the name of the criterion that ``score`` is of.
        score: gives each layer's score; None where the truth plans.
        draws: of bit errors.
    """

    menu: Menu
    budget: float | None = None
    max_drop: float | None = None
    by: str = TRUTH
    score: Score | None = None
    draws: int = 10
    cost: float | None = None
    found: LevelFound | None = None

    def check(self) -> None:
        """Refuse what cannot be planned.

        Raises:
            BadInput: nothing that says how much to spend, or two things, a budget that the task does not have or that its
                choices cannot meet, or points that are none.
        """
        protects = self.menu.task == "protect"
        ways = [self.budget, self.max_drop] + [self.cost] * (not protects)
        if sum(way is not None for way in ways) != 1:
            names = "--budget or --max-drop" if protects else "--budget, --max-drop or --cost"
            found = "more than one" if any(way is not None for way in ways) else "none"
            raise BadInput(f"a plan for task {self.menu.task!r} needs {names}: one of them, found {found}")
        if self.budget is not None:
            TASKS[self.menu.task].chosen_budgets([self.budget])
            self.menu.check(self.menu.most(self.budget))
        for name, share in (("--max-drop", self.max_drop), ("--cost", self.cost)):
            if share is not None and not 0.0 < share <= 1.0:
                raise BadInput(f"{name} {100 * share:g}; expected points of accuracy above 0, at most 100")

    def measured(self, network: Network, truth: Truth) -> "Wanted":
        """Return what is wanted of the levels that a truth measured.

        Raises:
            BadInput: the truth is of other weights, lacks the network or all levels, or left too few examples out, which is
                told first: other levels would not mend it; or its levels cannot meet the budget.
        """
        check_known(network, truth)
        costs = drops_of(network.name, self.menu.perturbation, truth)[1]
        others = [each for each in PLANNED[self.menu.task] if drops_of(network.name, each, truth)[1]]
        if not costs and others:
            raise BadInput(
                f"network {network.name!r} was not measured under {self.menu.perturbation}; plan by what was, "
                f"--perturbation {others[0]}, or measure {self.menu.spec()}"
            )
        if costs:
            budget_network(network, self.menu.perturbation, truth)
        menu = narrowed(self.menu, [layer.name for layer in network.layers], costs)
        wanted = replace(self, menu=menu)
        wanted.check()
        return wanted

    def at(self, found: LevelFound) -> "Wanted":
        """Return what is wanted once the level of ``cost`` is known: protection from it, or a budget that spends as much."""
        if self.menu.task == "protect":
            return replace(self, menu=replace(self.menu, levels=(self.menu.levels[0], found.level)), cost=None, found=found)
        return replace(self, budget=found.level, cost=None, found=found)

    @property
    def draws_each(self) -> int:
        """Draws by which an allocation is measured; 1 where nothing is random."""
        return self.draws if self.menu.task == "protect" else 1


def make_plan(
    network: Network, wanted: Wanted, truth: Truth | None = None, tell: Callable[[str], None] = lambda _: None
) -> Plan:
    """Return a plan, measured.

    The examples that judge are those of ``budget_network``: the drops saw none of them. Of the others, up to
    ``MOST_CHOOSING`` correct the additive model's choices (``corrected``). With ``max_drop``, budgets are tried from
    generous to tight on the examples that judge, as long as the upper end of the drop's 95 % interval keeps to it: a fixed
    sequence of tests needs no correction for their number.

    Args:
        network: as the truth measured it.
        wanted: what is planned.
        truth: tables of a tree or a run; None where scores plan, which saw no evaluation example.
        tell: called before each step.

    Raises:
        BadInput: the truth lacks the network or its levels, no examples are left to judge, or the budget cannot be met.

    Source: fixed-sequence testing: Maurer, Hothorn, Lehmacher 1995.
    """
    wanted.check()
    if wanted.cost is not None:
        raise BadInput("the level of a cost is to be found first: plan for Wanted.at(level_that_costs(...))")
    if truth is None and wanted.score is None:
        raise BadInput("a plan by the truth needs measured drops: name a run folder or a tree, or a criterion by --by")
    draws = wanted.draws_each
    judges = own_examples(network) if truth is None else budget_network(network, wanted.menu.perturbation, truth)
    if len(judges.labels) < FEWEST:
        raise BadInput(f"network {network.name!r}: {len(judges.labels)} examples to judge by; expected {FEWEST} or more")
    chooser: Chooser
    if wanted.score is not None:
        chooser = ByScores(network, wanted.menu, wanted.score)
    else:
        chooser = ByDrops(network, wanted.menu, cast("Truth", truth), draws, tell)
    judge = judge_of(
        Joint(WholeNetwork(judges), chooser.menu, draws, first_draw=draws),
        np.array([each.parameters for each in network.layers]),
    )
    steps = list(_at_budget(judge, chooser, wanted.budget) if wanted.budget else _walked(judge, chooser, wanted, tell))
    chosen = next((step for step in reversed(steps) if step.keeps), steps[0])
    return Plan(
        version=1,
        task=chooser.menu.task,  # type: ignore[arg-type]
        perturbation=chooser.menu.perturbation,
        level=chooser.menu.levels[1] if chooser.menu.task == "protect" else None,
        network=network.name,
        weights_sha256=network.weights_sha256,
        folded=None if network.folding is None else network.folding.into,
        activations="float32",
        source=_source(network.name, wanted, truth),
        cost=None if wanted.found is None else _cost(wanted.found),
        max_drop=wanted.max_drop,
        met=None if wanted.max_drop is None else chosen.keeps,
        measured=Measured(
            n_examples=len(judges.labels),
            draws=draws,
            unchanged=interval_of(accuracy(judge.unchanged, judge.examples)),
            chance=largest_class(judges.labels),
            plan=chosen.point,
            curve=[step.point for step in steps],
            uniform=list(judge.uniform(tell)),
            gain=judge.gain(chosen.choices),
            rounds=chosen.rounds,
        ),
        layers=_layers(network, chooser, chosen.choices),
    )


@dataclass(frozen=True, slots=True)
class _Step:
    """One budget: what was chosen, what it was measured to leave, and whether that keeps to what may be lost."""

    choices: Array
    rounds: list[float]
    point: Point
    keeps: bool


def _at_budget(judge: Judge, chooser: Chooser, budget: float) -> Iterator[_Step]:
    choices, rounds = chooser(chooser.menu.most(budget))
    yield _Step(choices, rounds, judge.point(choices, budget), keeps=True)


def _walked(judge: Judge, chooser: Chooser, wanted: Wanted, tell: Callable[[str], None]) -> Iterator[_Step]:
    """Yield what is spared everywhere, then tighter and tighter budgets; the first that loses too much ends it."""
    menu = chooser.menu
    spared = np.zeros(len(judge.sizes), dtype=np.int64)
    point = judge.point(spared, menu.budget(menu.costs[0]))
    yield _Step(spared, [], point, keeps=_keeps(point, wanted.max_drop))
    tightest = menu.budget(menu.costs[-1])
    allowed = [budget for budget in BUDGETS[menu.task] if menu.most(budget) > menu.costs[-1]]
    for budget in [*allowed, tightest] if _keeps(point, wanted.max_drop) else ():
        choices, rounds = chooser(menu.most(budget))
        tell(f"budget {budget:g}, judging")
        point = judge.point(choices, budget)
        yield _Step(choices, rounds, point, keeps=_keeps(point, wanted.max_drop))
        if not _keeps(point, wanted.max_drop):
            return


def _keeps(point: Point, max_drop: float | None) -> bool:
    return max_drop is not None and point.drop.high is not None and point.drop.high <= max_drop


def _cost(found: LevelFound) -> LevelCost:
    return LevelCost(level=found.level, lost=interval_of(found.lost), n_examples=found.n_examples)


def _layers(network: Network, chooser: Chooser, choices: Array) -> list[PlannedLayer]:
    owning = [owners(network.model, layer.parameter) for layer in network.layers]
    return [
        PlannedLayer(
            name=layer.name,
            parameter=layer.parameter,
            kind=kinds.pop(layer.parameter),
            tied=kinds,
            shape=list(layer.shape),
            output_axis=layer.output_axis,
            fan_in=layer.fan_in,
            amount=chooser.menu.amount(int(choice)),
            predicted_drop=_alone(chooser, layer.index, int(choice)),
            alone={
                f"{chooser.menu.amount(each):g}": drop
                for each in range(len(chooser.menu.levels))
                if (drop := _alone(chooser, layer.index, each)) is not None
            },
        )
        for layer, choice, kinds in zip(network.layers, choices, owning, strict=True)
    ]


def _alone(chooser: Chooser, layer: int, choice: int) -> float | None:
    """Return what a layer loses alone; None where that was not measured."""
    drop = np.nan if chooser.predicted is None else chooser.predicted[layer, choice]
    return None if np.isnan(drop) else float(drop)


def _source(network: str, wanted: Wanted, truth: Truth | None) -> Source:
    if truth is None or wanted.score is not None:
        return Source(by=wanted.by, truth_revision=None, protocol="")
    protocol = told_protocol(network, wanted.menu.perturbation, truth)
    of_tree = read_facts(truth).revision is not None
    revision = network_revisions(truth["layer_drops"])[network] if of_tree else None
    return Source(by=TRUTH, truth_revision=revision, protocol=protocol)
