"""Spends budgets on networks by criteria and baselines, and measures what accuracy is left."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from safer_bench.budget.chance import all_at_chance, nothing_lost
from safer_bench.budget.entrants import TRUTH_GUIDED, TRUTH_PER_WEIGHT, Entrant, entrants
from safer_bench.budget.images import budget_network
from safer_bench.budget.planners import Planner, planners
from safer_bench.budget.protection import EVERYTHING, shielded
from safer_bench.budget.rows import LIMITS, allocation_rows, asked, examples_of, result_rows
from safer_bench.budget.tasks import Task
from safer_bench.budget.trials import (
    BEST_KNOWN,
    FIRST_AND_LAST,
    HAWQ,
    MIXED,
    PLAN,
    PLAN_UNCORRECTED,
    PRUNE_BASELINES,
    UNCHANGED,
    UNIFORM,
    Trial,
    compressed,
)
from safer_bench.budget.whole import WholeNetwork
from safer_bench.dataset.contents import network_revisions
from safer_bench.errors import BadInput
from safer_bench.measurement.progress import OnProgress
from safer_bench.networks.examples import largest_class
from safer_bench.networks.network import Network
from safer_bench.tables import schema
from safer_bench.tables.facts import read_facts
from safer_bench.tables.verdicts import with_verdicts

# no criterion's
NAMES = {UNIFORM, FIRST_AND_LAST, MIXED, BEST_KNOWN, TRUTH_GUIDED, TRUTH_PER_WEIGHT, *PRUNE_BASELINES, *LIMITS}
NAMES |= {PLAN, PLAN_UNCORRECTED, HAWQ}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be measured of every network.

    Attributes:
        task: prune, quantize or protect.
        perturbation: what layers get.
        budgets: of the task, generous to tight.
        levels: bit-error rates; None alone where the budget says how much.
        draws: of bit errors.
        criteria: names; all that have scores where there is none.
        plans: whether what ``planners`` allocate is measured, too: pruning and quantization alone.
    """

    task: Task
    perturbation: str
    budgets: tuple[float, ...]
    levels: tuple[float | None, ...]
    draws: int = 10
    criteria: tuple[str, ...] = ()
    plans: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it: tables ``budget_results`` and ``budget_allocations``; what they lack or do not tell, in words."""

    results: pa.Table
    allocations: pa.Table
    notes: tuple[str, ...] = field(default=())


def check_names(scores: pa.Table) -> None:
    """Refuse scores of a criterion that is called like a baseline.

    Raises:
        BadInput: there is one.
    """
    taken = sorted(set(scores["criterion"].to_pylist()) & NAMES)
    if taken:
        raise BadInput(f"scores: {taken[0]!r} is the name of a baseline that budgets add; give the criterion another name")


def spend(
    wanted: Wanted,
    networks: Sequence[Network],
    truth: Mapping[str, pa.Table],
    scores: pa.Table,
    report: OnProgress = lambda *_: None,
) -> Outcome:
    """Spend budgets on networks by criteria and baselines, and measure what accuracy is left.

    Args:
        wanted: what is measured.
        networks: as the truth measured them; the examples that judge are those of ``budget_network``.
        truth: what ``load_tree`` returns.
        scores: a ``scores`` table.
        report: called with (step, done, total).

    Raises:
        BadInput: a criterion has no scores of a network or the name of a baseline, fewer than two draws, plans of
            protection, or no examples are left to judge a network by.
        MissingData: the images are not on this machine.
    """
    check_names(scores)
    if wanted.task.name == "protect" and wanted.draws < 2:
        raise BadInput(f"{wanted.draws} draws; expected at least 2, as intervals are over draws")
    if wanted.task.name == "protect" and wanted.plans:
        raise BadInput("--plans is for tasks prune and quantize; plan protection by safer-bench plan --task protect")
    judged = [budget_network(network, wanted.perturbation, truth) for network in networks]
    facts, revisions = read_facts(truth), network_revisions(truth["layer_drops"])
    who = [entrants(network, wanted.perturbation, truth, facts, scores, wanted.criteria) for network in judged]
    results, allocations, notes = [], [], []
    for i, (network, each) in enumerate(zip(judged, who, strict=True)):
        report_network = lambda step, done, total, i=i: report(step, i + done / total, len(networks))  # noqa: E731
        report_network(f"{network.name} unchanged", 0, 1)
        whole = WholeNetwork(network)
        makes = planners(networks[i], whole, wanted.perturbation, wanted.task.name, truth, scores) if wanted.plans else []
        trials = _trials(wanted, whole, each, makes, report_network)
        shown = asked(trials, wanted.budgets, examples_of(network))
        identity = {key: getattr(network, key) for key in ("dataset", "split")} | {"network": network.name}
        identity |= {"task": wanted.task.name, "perturbation": wanted.perturbation}
        revision = {"truth_revision": revisions[network.name]}
        results += [identity | revision | row for row in result_rows(trials, shown, network)]
        allocations += [identity | row for row in allocation_rows(shown, network)]
        notes += [*_notes(wanted, network.name, trials), *_tell_nothing(wanted, network, shown)]
    return Outcome(
        with_verdicts(schema.build("budget_results", results)),
        schema.build("budget_allocations", allocations),
        tuple(notes),
    )


def _trials(
    wanted: Wanted, whole: WholeNetwork, who: Sequence[Entrant], makes: Sequence[Planner], report: OnProgress
) -> list[Trial]:
    if wanted.task.name != "protect":
        return list(compressed(whole, wanted.task.name, wanted.perturbation, who, wanted.budgets, report, makes))
    levels = [level for level in wanted.levels if level is not None]
    return list(shielded(whole, wanted.perturbation, who, wanted.budgets, levels, wanted.draws, report))


def _tell_nothing(wanted: Wanted, network: Network, shown: Sequence[Trial]) -> Iterator[str]:
    """Yield a sentence for each level at which every allocation leaves chance, or none loses anything."""
    chance = largest_class(network.labels)
    for level in wanted.levels:
        at = network.name if level is None else f"{network.name}, bit-error rate {level:g}"
        accuracies = [(trial.name, float(np.nanmean(trial.correct))) for trial in shown if trial.level == level]
        (unchanged,) = (accuracy for name, accuracy in accuracies if name in (UNCHANGED, EVERYTHING))
        if nothing_lost([accuracy for _, accuracy in accuracies], unchanged):
            yield f"{at}: no allocation lost anything, so that none is better: {_instead(wanted.task, 'severer')}"
        if all_at_chance([accuracy for name, accuracy in accuracies if name not in LIMITS], unchanged, chance):
            yield (
                f"{at}: every allocation leaves accuracy at chance, {100 * chance:.1f} % (always answering the largest "
                f"class): {_instead(wanted.task, 'milder')}"
            )


def _instead(task: Task, other: str) -> str:
    if task.name == "protect":
        return f"give a {other} rate by --level; safer-bench plan --task protect --cost 20 finds one for a network"
    return f"give {other} budgets by --budget"


def _notes(wanted: Wanted, network: str, trials: Sequence[Trial]) -> list[str]:
    names = {trial.name for trial in trials}
    notes = []
    if TRUTH_GUIDED not in names:
        notes.append(f"{network}: no {TRUTH_GUIDED}, as the truth has no areas of {wanted.perturbation}")
    for budget in wanted.budgets:
        if not any((trial.name, trial.budget) == (FIRST_AND_LAST, budget) for trial in trials):
            notes.append(f"{network}: {FIRST_AND_LAST} cannot keep to {budget:g}: these two layers alone are too large")
    return notes
