"""What a budget buys that is spent by a criterion's ranking instead of evenly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from docs.findings.chosen import listed
from docs.findings.data import Data
from docs.findings.drawing import COLOURS, encoded, new_figure, readable
from docs.findings.families import over_families, told_of
from docs.findings.finding import Figure, Finding, Table, Value
from safer_bench.tables.controls import UNIFORM
from safer_bench.tables.grouping import grouped
from safer_bench.tables.text import number_of
from safer_bench.tables.verdicts import BEATS, HARMS

TITLE = "What a budget buys"
QUESTION = "Does a budget spent by a criterion's ranking keep more accuracy than one spent evenly? Where does it harm?"
TRUTH = ("truth_guided", "truth_per_weight")
PLANS = ("plan", "plan_uncorrected", "hawq_v2")  # they sum over layers instead of ranking them
ASIDE = (UNIFORM, "best_known")  # what others are compared with
SIDES = {BEATS: 1, HARMS: -1}  # of a verdict; else 0
LEFT = 0.05  # of two networks that both keep less above chance neither is better
TIGHT = ("quantize", 3.0)  # the budget whose rows stand in a sentence of their own
Row = Mapping[str, Any]
Key = tuple[str, float | None, float]  # (network, level, budget)


@dataclass(frozen=True, slots=True)
class Task:
    """One task under one perturbation, on the networks of one dataset.

    Attributes:
        label, dataset: which.
        rows: gains over ``uniform`` at equal spending.
        sides: of each row, 1 where it beats ``uniform``, -1 where it harms, else 0.
        n_guessing: rows that are 0 as both networks guess.
        left_out: criteria of the rows without a gain: ``uniform`` was not measured to both sides of what they spend.
    """

    label: str
    dataset: str
    rows: Sequence[Row]
    sides: Sequence[int]
    n_guessing: int
    left_out: Sequence[str]

    @property
    def title(self) -> str:
        """Task and dataset in words."""
        return f"{self.label}, {readable(self.dataset)}"

    def by_criterion(self, budget: float | None = None) -> dict[str, list[int]]:
        """Return the sides of each criterion's rows, by name."""
        found: dict[str, list[int]] = {}
        for row, side in zip(self.rows, self.sides, strict=True):
            if budget is None or row["budget"] == budget:
                found.setdefault(row["criterion"], []).append(side)
        return dict(sorted(found.items()))

    @property
    def common(self) -> set[Key]:
        """The rows that all criteria have which have at least half of them: means are over these alone."""
        keys: dict[str, set[Key]] = {}
        for row in self.rows:
            keys.setdefault(row["criterion"], set()).add(_key(row))
        most = max(map(len, keys.values()))
        return set.intersection(*(own for own in keys.values() if 2 * len(own) >= most))

    def ranked(self, budget: float | None = None) -> dict[str, dict[str, float]]:
        """Return the mean gain by network, in points, of each criterion that has all common rows; the highest mean first."""
        wanted = {key for key in self.common if budget is None or key[-1] == budget}
        found = {}
        for criterion, rows in grouped(self.rows, key=lambda row: row["criterion"]).items():
            own = [row for row in rows if _key(row) in wanted]
            if own and len(own) == len(wanted):
                by_network = grouped(own, key=lambda row: row["network"])
                found[criterion] = {
                    name: 100 * float(np.mean([row["gain"] for row in of])) for name, of in by_network.items()
                }
        return dict(sorted(found.items(), key=lambda item: (-np.mean(list(item[1].values())), item[0])))


def find(data: Data) -> Finding | None:
    """Return the finding; None without results of budgets on networks of this truth."""
    tasks = [task for label, rows in data.budget_results.items() for task in _tasks(data, label, rows)]
    if not tasks:
        return None
    values = {key: value for task in tasks for key, value in _values(data, task).items()}
    return Finding(
        title=TITLE,
        question=QUESTION,
        sentences=[sentence for task in tasks for sentence in _sentences(task, values)],
        limits=_compared(data, tasks),
        tables=[table for task in tasks for table in _tables(data, task, values)],
        figure=Figure(
            "Share of the rows (network, budget, bit-error rate) in which a criterion or baseline beats uniform at equal "
            "spending, harms, or is not told apart.",
            lambda: _draw(tasks),
        ),
        values=values,
    )


def _key(row: Row) -> Key:
    return row["network"], row["level"], row["budget"]


def _tasks(data: Data, label: str, rows: Sequence[Row]) -> list[Task]:
    """Return what is compared, by dataset: datasets are never pooled."""
    even = {_key(row): row for row in rows if row["criterion"] == UNIFORM}
    tasks = []
    for dataset, of_dataset in sorted(grouped(rows, key=lambda row: row["dataset"]).items()):
        known = [
            row
            for row in of_dataset
            if row["criterion"] not in ASIDE and _key(row) in even and row["network"] in data.facts.families
        ]
        compared = [row for row in known if row["gain"] is not None]
        left_out = [row["criterion"] for row in known if row["gain"] is None]
        keeps = [_keeps(data, row, even[_key(row)]) for row in compared]
        sides = [SIDES.get(row["verdict"], 0) if keep else 0 for row, keep in zip(compared, keeps, strict=True)]
        if compared:
            tasks.append(Task(label, dataset, compared, sides, keeps.count(False), left_out))
    return tasks


def _keeps(data: Data, row: Row, even: Row) -> bool:
    """Tell whether one of the two allocations keeps the network from guessing."""
    return max(row["accuracy"], even["accuracy"]) >= data.chance[row["network"]] + LEFT


def _values(data: Data, task: Task) -> dict[str, Value]:
    found = {}
    for budget in (None, *sorted({row["budget"] for row in task.rows})):
        for criterion, gains in task.ranked(budget).items():
            where = f"{task.title}/{criterion}" + ("" if budget is None else f"/{budget:g}")
            found[where] = over_families(gains, data.facts, unit="points", digits=1, difference=True)
    return found


def _sentences(task: Task, values: Mapping[str, Value]) -> list[str]:
    sides, ranked = task.by_criterion(), list(task.ranked())
    n_harm, never = _counted(sides)
    told = (
        f"{n_harm} of {len(sides)} criteria and baselines harm: they keep less than `uniform` in at least one row. Those "
        f"that beat it somewhere and harm nowhere: {listed(never)}."
    )
    if not any(task.sides):
        told = f"none of {len(sides)} criteria and baselines is told to beat `uniform`, or to harm, in any row."
    made = [f"**{task.title}**: {told}"]
    if ranked:
        made[0] += (
            f" Over the {len(task.common)} common rows, the mean gain is highest for {_mean(task, ranked[0], values)}. "
            f"It is lowest for {_mean(task, ranked[-1], values)}."
        )
    for names, words in ((TRUTH, "Fed the measured truth,"), (PLANS, "Of the allocations that sum over layers,")):
        counts = {name: (sides[name].count(1), sides[name].count(-1)) for name in names if name in sides}
        if counts and any(task.sides):
            made[0] += f" {words} {_beaten(counts)}."
    absent = [f"`{name}`" for name in sides if name not in ranked]
    if absent:
        made[0] += f" Not in the means, as they lack rows: {listed(absent)}."
    label, budget = TIGHT
    tight = task.by_criterion(budget) if task.label == label else {}
    return [*made, _tight(task, tight, values)] if tight else made


def _beaten(counts: Mapping[str, tuple[int, int]]) -> str:
    """Say in how many rows each beats ``uniform``, and harms."""
    first, *others = [(f"`{name}`", *pair) for name, pair in counts.items()]
    name, beats, harms = first
    short = [f"{name} in {beats} ({harms})" for name, beats, harms in others]
    return listed([f"{name} beats it in {number_of(beats, 'row')} (harms in {harms})", *short])


def _counted(sides: Mapping[str, Sequence[int]]) -> tuple[int, list[str]]:
    """Return how many criteria harm in some row, and the names of those that beat ``uniform`` in some and harm in none."""
    never = [f"`{name}`" for name, found in sides.items() if 1 in found and -1 not in found]
    return sum(-1 in found for found in sides.values()), never


def _mean(task: Task, criterion: str, values: Mapping[str, Value]) -> str:
    return f"`{criterion}`, {values[f'{task.title}/{criterion}']}"


def _tight(task: Task, tight: Mapping[str, Sequence[int]], values: Mapping[str, Value]) -> str:
    budget = TIGHT[1]
    (n_harm, never), networks = _counted(tight), sorted({row["network"] for row in task.rows if row["budget"] == budget})
    told = (
        f"At {budget:g} bits a weight ({listed(networks)}) {sum(1 in found for found in tight.values())} of {len(tight)} "
        f"beat `uniform` somewhere and {n_harm} harm. Those that beat it somewhere and harm nowhere: {listed(never)}."
    )
    ranked = task.ranked(budget)
    if not ranked:
        return told
    first = next(iter(ranked))
    return f"{told} The highest mean gain is that of `{first}`, {values[f'{task.title}/{first}/{budget:g}']}."


def _compared(data: Data, tasks: Sequence[Task]) -> list[str]:
    rows = [row for task in tasks for row in task.rows]
    made = [
        "Gains are in points of accuracy, on images that the truth did not use, over `uniform` at equal spending. Which "
        "criteria beat it or harm is told by intervals that hold for all gains of a task at once. The highest of many means "
        "is flattered by its luck."
    ]
    left_out = [name for task in tasks for name in task.left_out]
    if left_out:
        made.append(
            f"{len(left_out)} of {len(left_out) + len(rows)} rows are left out: `uniform` was not measured to both sides of "
            "what they spend."
        )
    unsure, guessing = sum(row["gain_error"] is None for row in rows), sum(task.n_guessing for task in tasks)
    if unsure:
        made.append(f"{unsure} of the {len(rows)} gains have no interval of their own: they are not told from 0.")
    if guessing:
        made.append(
            f"{guessing} of the {len(rows)} gains count as neither: there both networks keep less than {100 * LEFT:g} "
            "points above chance."
        )
    judged = {(row["network"], row["truth_revision"]) for row in rows}
    earlier = sorted({network for network, revision in judged if data.revisions and revision != data.revisions.get(network)})
    if earlier:
        made.append(f"The budgets of {listed(earlier)} were spent by another truth than this one.")
    return made


def _tables(data: Data, task: Task, values: Mapping[str, Value]) -> list[Table]:
    population = told_of({row["network"] for row in task.rows}, data.facts)
    budgets, sides = sorted({row["budget"] for row in task.rows}), task.by_criterion()
    rows = []
    for name in dict.fromkeys([*task.ranked(), *sides]):
        own = sides[name]
        each = [values.get(f"{task.title}/{name}/{budget:g}", "-") for budget in budgets]
        mean = values.get(f"{task.title}/{name}", "-")
        rows.append([f"`{name}`", f"{own.count(1)}", f"{own.count(-1)}", f"{len(own)}", mean, *each])
    header = ["criterion or baseline", "beats", "harms", "rows", "mean gain", *(f"budget {budget:g}" for budget in budgets)]
    caption = f"Gain over uniform at equal spending, {task.title}: {population}. Means are over the rows that are common"
    return [Table(caption, header, rows)]


def _draw(tasks: Sequence[Task]) -> bytes:
    tallest = max(len(task.by_criterion()) for task in tasks)
    columns = min(2, len(tasks))
    n_rows = -(-len(tasks) // columns)
    figure, axes = new_figure(n_rows * (0.7 + 0.16 * tallest) + 0.4, n_rows, columns)
    for empty in axes[len(tasks) :]:
        empty.axis("off")
    shown = ((-1, COLOURS[1], "harms"), (0, "#dddddd", "not told"), (1, COLOURS[0], "beats uniform"))
    for axis, task in zip(axes[: len(tasks)], tasks, strict=True):
        of_criterion = task.by_criterion()
        names = list(dict.fromkeys([*task.ranked(), *of_criterion]))
        left = np.zeros(len(names))
        for side, colour, label in shown:
            share = np.array([of_criterion[name].count(side) / len(of_criterion[name]) for name in names])
            axis.barh(range(len(names)), 100 * share, left=100 * left, color=colour, label=label)
            left += share
        axis.set_yticks(range(len(names)), names, fontsize=6.5)
        axis.invert_yaxis()
        axis.set_title(task.title, fontsize=8)
        axis.set_xlabel("% of rows", fontsize=8)
    figure.legend(*axes[0].get_legend_handles_labels(), fontsize=8, frameon=False, loc="outside lower center", ncols=3)
    return encoded(figure)
