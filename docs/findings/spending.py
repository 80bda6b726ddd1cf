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
from safer_bench.tables.grouping import grouped

TITLE = "What a budget buys"
QUESTION = (
    "Does spending a budget by a criterion's ranking keep more accuracy than spending it evenly, and where does it harm?"
)
UNIFORM, TRUTH = "uniform", ("truth_guided", "truth_per_weight")
ASIDE = (UNIFORM, "best_known")  # what others are compared with
EQUAL = 0.05  # spendings that differ by no more are compared, where gains are against the same allowance
LEFT, GUESSING = 0.05, "guessing"  # of two networks that both keep less above chance neither is better
TIGHT = ("quantize", 3.0)  # the budget whose rows stand in a sentence of their own
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Task:
    """One task under one perturbation, on the networks of one dataset.

    Attributes:
        label, dataset: which.
        rows: gains over ``uniform`` at equal spending, and whether both networks guess.
        n_left_out: rows that spend more or less than ``uniform``.
    """

    label: str
    dataset: str
    rows: Sequence[Row]
    n_left_out: int

    @property
    def title(self) -> str:
        """Task and dataset in words."""
        return f"{self.label}, {readable(self.dataset)}"

    def by_criterion(self, budget: float | None = None) -> dict[str, list[Row]]:
        """Return the rows of each criterion, those of the highest mean gain first."""
        rows = [row for row in self.rows if budget is None or row["budget"] == budget]
        found = grouped(rows, key=lambda row: row["criterion"])
        return dict(sorted(found.items(), key=lambda item: (-np.mean([row["gain"] for row in item[1]]), item[0])))


def find(data: Data) -> Finding | None:
    """Return the finding; None without results of budgets on networks of this truth."""
    tasks = [task for label, table in data.budget_results.items() for task in _tasks(data, label, table.to_pylist())]
    if not tasks:
        return None
    values = {key: value for task in tasks for key, value in _values(data, task).items()}
    return Finding(
        title=TITLE,
        question=QUESTION,
        sentences=[*(sentence for task in tasks for sentence in _sentences(task, values)), *_compared(data, tasks)],
        tables=[table for task in tasks for table in _tables(data, task, values)],
        figure=Figure(
            "Share of the rows (network, budget, bit-error rate) in which a criterion or baseline keeps surely more "
            "accuracy than uniform at equal spending, surely less, or neither.",
            lambda: _draw(tasks),
        ),
        values=values,
    )


def _tasks(data: Data, label: str, rows: Sequence[Row]) -> list[Task]:
    """Return what is compared, by dataset: datasets are never pooled."""
    key = ("network", "perturbation", "level", "budget")
    even = {tuple(row[name] for name in key): row for row in rows if row["criterion"] == UNIFORM}
    tasks = []
    for dataset, of_dataset in sorted(grouped(rows, key=lambda row: row["dataset"]).items()):
        beside = [(row, even.get(tuple(row[name] for name in key))) for row in of_dataset if row["criterion"] not in ASIDE]
        pairs = [(row, other) for row, other in beside if other and row["network"] in data.facts.families]
        equal = [
            {**row, GUESSING: not _keeps(data, row, other)}
            for row, other in pairs
            if row["gain"] is not None and _equal(row, other)
        ]
        if equal:
            tasks.append(Task(label, dataset, equal, len(pairs) - len(equal)))
    return tasks


def _equal(row: Row, even: Row) -> bool:
    """Tell whether a gain is at equal spending: by the table's own rule, or as both spend alike."""
    return "verdict" in row or abs(row["spent"] - even["spent"]) <= EQUAL * even["spent"]


def _keeps(data: Data, row: Row, even: Row) -> bool:
    """Tell whether one of the two allocations keeps the network from guessing."""
    return max(row["accuracy"], even["accuracy"]) >= data.chance[row["network"]] + LEFT


def verdict(row: Row) -> int:
    """Return 1 where a row is surely better than ``uniform``, -1 where surely worse, else 0, as where both guess."""
    if row.get(GUESSING):
        return 0
    if row.get("verdict") is not None:
        return {"beats uniform": 1, "harms": -1}.get(row["verdict"], 0)
    if row["gain_low"] is None:
        return 0
    return int(row["gain_low"] > 0.0) - int(row["gain_high"] < 0.0)


def _values(data: Data, task: Task) -> dict[str, Value]:
    found = {}
    for budget in (None, *sorted({row["budget"] for row in task.rows})):
        for criterion, rows in task.by_criterion(budget).items():
            by_network = grouped(rows, key=lambda row: row["network"])
            gains = {network: 100 * float(np.mean([row["gain"] for row in own])) for network, own in by_network.items()}
            where = f"{task.title}/{criterion}" + ("" if budget is None else f"/{budget:g}")
            found[where] = over_families(gains, data.facts, unit="points", digits=1, difference=True)
    return found


def _sentences(task: Task, values: Mapping[str, Value]) -> list[str]:
    sides = {name: [verdict(row) for row in rows] for name, rows in task.by_criterion().items()}
    n_rows = max(map(len, sides.values()))
    often = [
        name for name, found in sides.items() if 2 * len(found) >= n_rows
    ]  # a mean of few rows says little of the others
    never = [f"`{name}`" for name, found in sides.items() if -1 not in found and 1 in found]
    made = [
        f"**{task.title}**: {sum(-1 in found for found in sides.values())} of {len(sides)} criteria and baselines harm, "
        f"that is, keep surely less than `uniform` in at least one row. Surely better somewhere and surely worse nowhere: "
        f"{listed(never)}. Of those that are compared in at least half of the {n_rows} rows, the mean gain is highest for "
        f"{_mean(task, often[0], values)} and lowest for {_mean(task, often[-1], values)}."
    ]
    fed = [
        f"`{name}` is better in {sides[name].count(1)} and harms in {sides[name].count(-1)}"
        for name in TRUTH
        if name in sides
    ]
    if fed:
        made[0] += f" Fed the measured truth, {', '.join(fed)}."
    label, budget = TIGHT
    tight = task.by_criterion(budget) if task.label == label else {}
    return [*made, _tight(task, tight, values)] if tight else made


def _mean(task: Task, criterion: str, values: Mapping[str, Value]) -> str:
    return f"`{criterion}`, {values[f'{task.title}/{criterion}']}"


def _tight(task: Task, tight: Mapping[str, Sequence[Row]], values: Mapping[str, Value]) -> str:
    found = {name: [verdict(row) for row in rows] for name, rows in tight.items()}
    helped, harmed = ([name for name, each in found.items() if side in each] for side in (1, -1))
    first = next(iter(tight))
    return (
        f"At {TIGHT[1]:g} bits a weight ({task.title}) {len(helped)} of {len(found)} are surely better than `uniform` on "
        f"some network, and {len(harmed)} harm on some. Better on some and harming on none: "
        f"{listed([f'`{name}`' for name in helped if name not in harmed])}. The highest mean gain is that of `{first}`, "
        f"{values[f'{task.title}/{first}/{TIGHT[1]:g}']}."
    )


def _compared(data: Data, tasks: Sequence[Task]) -> list[str]:
    rows = [row for task in tasks for row in task.rows]
    together = "that holds for all rows of a task at once" if any(row.get("verdict") for row in rows) else "of its own"
    made = [
        "Gains are in points of accuracy, on images that the truth did not use; a row is surely better or worse by an "
        f"interval over examples and draws {together}. The highest of many is flattered by its luck."
    ]
    left_out, guessing = sum(task.n_left_out for task in tasks), sum(row[GUESSING] for row in rows)
    if left_out:
        made.append(
            f"{left_out} of {left_out + len(rows)} rows are left out: they spend over {100 * EQUAL:g} % more or less than "
            "`uniform` does with the same budget."
        )
    if guessing:
        made.append(
            f"{guessing} of the {len(rows)} rows left count as neither better nor worse: these and `uniform` both keep less "
            f"than {100 * LEFT:g} points above chance."
        )
    revisions = sorted({row["truth_revision"] for row in rows if row["truth_revision"]} - {data.facts.revision})
    if revisions:
        made.append(f"These budgets were spent by scores and truths of another revision ({listed(revisions)}).")
    return made


def _tables(data: Data, task: Task, values: Mapping[str, Value]) -> list[Table]:
    population = told_of({row["network"] for row in task.rows}, data.facts)
    budgets = sorted({row["budget"] for row in task.rows})
    rows = []
    for name, own in task.by_criterion().items():
        sides = [verdict(row) for row in own]
        each = [values.get(f"{task.title}/{name}/{budget:g}", "-") for budget in budgets]
        rows.append(
            [f"`{name}`", f"{sides.count(1)}", f"{sides.count(-1)}", f"{len(sides)}", values[f"{task.title}/{name}"], *each]
        )
    header = ["criterion or baseline", "better", "worse", "rows", "mean gain", *(f"budget {budget:g}" for budget in budgets)]
    return [Table(f"Gain over uniform at equal spending, {task.title}: {population}", header, rows)]


def _draw(tasks: Sequence[Task]) -> bytes:
    tallest = max(len(task.by_criterion()) for task in tasks)
    figure, axes = new_figure(1.0 + 0.2 * tallest, 1, len(tasks))
    shown = ((-1, COLOURS[1], "surely worse"), (0, "#dddddd", "undecided"), (1, COLOURS[0], "surely better"))
    for axis, task in zip(axes, tasks, strict=True):
        of_criterion = task.by_criterion()
        left = np.zeros(len(of_criterion))
        for side, colour, label in shown:
            share = np.array([np.mean([verdict(row) == side for row in rows]) for rows in of_criterion.values()])
            axis.barh(range(len(of_criterion)), 100 * share, left=100 * left, color=colour, label=label)
            left += share
        axis.set_yticks(range(len(of_criterion)), list(of_criterion), fontsize=7)
        axis.invert_yaxis()
        axis.set_title(task.title, fontsize=9)
        axis.set_xlabel("% of rows", fontsize=8)
    figure.legend(*axes[0].get_legend_handles_labels(), fontsize=8, frameon=False, loc="outside lower center", ncols=3)
    return encoded(figure)
