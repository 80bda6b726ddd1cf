"""What a plan will take: the drops, rounds of joint measurements and the judgement, from a small sample of them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from safer_bench.budget.images import budget_network, has_budget_part, own_examples, some_examples
from safer_bench.budget.plans.choosers import choosing_network
from safer_bench.budget.plans.cost import candidates
from safer_bench.budget.plans.joint import ROUNDS
from safer_bench.budget.plans.make import BUDGETS, Wanted
from safer_bench.budget.plans.menu import Menu
from safer_bench.budget.plans.truths import Truth, measured_examples, protocol_for
from safer_bench.budget.protection import n_slices
from safer_bench.budget.whole import WholeNetwork
from safer_bench.measurement.design import Design, Protocol
from safer_bench.measurement.forecast import forecast
from safer_bench.measurement.sample import FEWEST_EXAMPLES, Clock, extended
from safer_bench.networks.network import Network
from safer_bench.processes import peak_memory

Array = np.ndarray
SAMPLED_SECONDS = 10.0  # of joint measurements, about
FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a plan.

    Attributes:
        name: what is done.
        n_measurements: probes, or allocations of all layers at once; at most, where rounds may end early.
        n_answers: that the network gives with changed weights.
        seconds: where no other process disturbs.
    """

    name: str
    n_measurements: int
    n_answers: int
    seconds: float


@dataclass(frozen=True, slots=True)
class PlanForecast:
    """What a plan takes: its steps in order, and the most memory at a time."""

    steps: tuple[Step, ...]
    memory_bytes: int

    @property
    def whole(self) -> Step:
        """All steps together."""
        return Step(
            "all",
            sum(step.n_measurements for step in self.steps),
            sum(step.n_answers for step in self.steps),
            sum(step.seconds for step in self.steps),
        )


@dataclass(frozen=True, slots=True)
class JointTimes:
    """Seconds of joint measurements, each at two numbers of examples.

    Attributes:
        sizes: few and many examples ``(2,)``.
        prepared: clean answers, and whether float32 can be trusted ``(2,)``.
        answered: one allocation, one draw ``(2,)``.
        weights: all layers changed at one level, whatever the number of examples.
    """

    sizes: Array
    prepared: Array
    answered: Array
    weights: float

    def seconds(self, n_examples: int, n_measurements: int, draws: int, n_levels: int) -> float:
        """Return what so many allocations take, each on all examples: a draw sees its slice of them.

        Args:
            n_examples: of the network.
            n_measurements: allocations.
            draws: of each.
            n_levels: that layers get in all of them together: a weight is made once a level and draw.
        """
        of_draw = n_examples / n_slices(draws)
        answered = draws * n_measurements * float(extended(self.sizes, self.answered, of_draw))
        return float(extended(self.sizes, self.prepared, n_examples)) + answered + self.weights * n_levels * draws


def forecast_plan(network: Network, wanted: Wanted, truth: Truth | None = None) -> PlanForecast:
    """Measure a sample of a plan, in a minute or so, and extend it to the whole.

    The drops of single layers are forecast as ``measure --dry-run`` does it, joint measurements from allocations of the
    middle level on two numbers of examples. Rounds of correction and budgets that ``max_drop`` tries are counted in full,
    though they may end early. What a criterion takes to score is not in it. Times are of the processor.

    Args:
        network: to plan for.
        wanted: what is planned; of ``cost`` the search is counted, at the menu's own level.
        truth: drops that are there; None where they are measured, or scores plan.

    Raises:
        BadInput: the truth is of another network, or there are too few examples.
    """
    steps, memory, clock = [], 0, Clock(network, torch.get_num_threads())
    measures = truth is None and wanted.score is None
    judges = _judging(network, wanted.menu, truth, measures=measures)
    if measures:
        protocol = protocol_for(network, wanted.menu)
        of_run = forecast(network, protocol)
        answers = _answers(network, protocol)
        steps.append(Step("drops of single layers", of_run.n_probes, answers, of_run.seconds))
        memory = of_run.memory_bytes
    times = joint_times(judges, wanted.menu, clock)
    draws, per_example = wanted.draws_each, int(network.n_answers.sum()) / len(network.labels)
    for name, n_examples, n_measurements, n_levels in _joint_steps(network, wanted, truth, len(judges.labels)):
        seconds = times.seconds(n_examples, n_measurements, draws, n_levels) / clock.processors
        each = per_example * n_examples * draws / n_slices(draws)
        steps.append(Step(name, n_measurements, round(each * n_measurements), seconds))
    kept = FLOAT_BYTES * sum(layer.parameters for layer in network.layers) * len(wanted.menu.levels) * draws
    return PlanForecast(tuple(steps), max(memory, peak_memory() + 2 * kept))  # the weights of those that choose, and judge


def joint_times(network: Network, menu: Menu, clock: Clock) -> JointTimes:
    """Measure allocations of one level on few examples and on as many as ``SAMPLED_SECONDS`` allow."""
    few = max(1, min(FEWEST_EXAMPLES, len(network.labels) // 2))
    tried = sum(_times(some_examples(network, 0, few), menu, clock))  # warms up, too
    many = int(np.clip(few * SAMPLED_SECONDS / max(tried, 1e-9), 2 * few, len(network.labels)))
    of_few, of_many = (_times(some_examples(network, 0, n), menu, clock) for n in (few, many))
    prepared, answered, weights = np.array([of_few, of_many]).T
    return JointTimes(np.array([few, many]), prepared, answered, float(weights.mean()))


def _times(network: Network, menu: Menu, clock: Clock) -> tuple[float, float, float]:
    """Return the seconds of preparing, of one allocation, and of its weights."""
    level, made, weights = menu.levels[len(menu.levels) // 2], list[WholeNetwork](), dict[str, Array]()
    prepared = clock(lambda: made.append(WholeNetwork(network)))
    (whole,) = made
    perturbed = ((layer.name, whole.perturbed(layer, menu.perturbation, level)) for layer in network.layers)
    in_weights = clock(lambda: weights.update(perturbed))
    return prepared, min(clock(lambda: whole.correct(weights)) for _ in range(2)), in_weights


def _joint_steps(
    network: Network, wanted: Wanted, truth: Truth | None, n_judged: int
) -> Iterator[tuple[str, int, int, int]]:
    """Yield of each step its name, examples, allocations at most, and levels at most."""
    n_levels, by_scores = len(wanted.menu.levels), wanted.score is not None
    nobody_chooses = by_scores and wanted.cost is None
    n_chosen = 0 if nobody_chooses else len(choosing_network(network, wanted.menu, truth, by_scores=by_scores).labels)
    if wanted.cost is not None:
        n_tried = 1 + math.ceil(math.log2(len(candidates(wanted.menu)) + 1))
        yield "level of --cost, at most", n_chosen, n_tried, n_tried
    n_budgets = len(BUDGETS[wanted.menu.task]) + 1 if wanted.max_drop is not None else 1
    if not by_scores:
        by_budget = 2 + ROUNDS * (len(network.layers) + 1)  # the first choice, the same for all, and each layer spared
        yield f"correction, {ROUNDS} rounds at most", n_chosen, n_budgets * by_budget, n_levels
    yield "judgement", n_judged, n_budgets + (wanted.max_drop is not None) + n_levels, n_levels


def _judging(network: Network, menu: Menu, truth: Truth | None, *, measures: bool) -> Network:
    """Return the network with the examples that will judge."""
    if truth is not None:
        return budget_network(network, menu.perturbation, truth)
    if not measures or has_budget_part(network):
        return own_examples(network)
    n_measured = measured_examples(network, menu)
    return some_examples(network, n_measured, len(network.labels) - n_measured)


def _answers(network: Network, protocol: Protocol) -> int:
    """Return how many answers all probes together give."""
    design, n_answers = Design(network, protocol), network.n_answers
    each = [len(design.conditions((start, n))) * int(n_answers[start : start + n].sum()) for start, n in design.slices]
    return sum(each) * len(network.layers)
