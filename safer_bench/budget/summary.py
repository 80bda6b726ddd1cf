"""Budget results as words and tables: what an engineer reads first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from safer_bench.budget.additivity import Fit
from safer_bench.budget.entrants import TRUTH_GUIDED, TRUTH_PER_WEIGHT
from safer_bench.budget.protection import EVERYTHING, NOTHING
from safer_bench.budget.tasks import Task
from safer_bench.budget.trials import FIRST_AND_LAST, PRUNE_BASELINES, UNCHANGED, UNIFORM
from safer_bench.tables.controls import CONTROLS

Row = Mapping[str, Any]
LIMITS = {NOTHING: "unprotected", EVERYTHING: "everything protected", UNCHANGED: "unchanged"}
REFERENCES = (UNIFORM, TRUTH_GUIDED, TRUTH_PER_WEIGHT, *LIMITS)
BASELINES = (*REFERENCES, FIRST_AND_LAST, *PRUNE_BASELINES)


@dataclass(frozen=True, slots=True)
class Panel:
    """Results of one network under one perturbation, at one level (None where the budget says how much).

    Attributes:
        network, dataset, split, perturbation, level: which.
        budgets: in the order of the task, generous to tight.
        curves: ``{criterion: {budget: row}}``, best mean accuracy first; limits have one budget of their own.
    """

    network: str
    dataset: str
    split: str
    perturbation: str
    level: float | None
    budgets: tuple[float, ...]
    curves: dict[str, dict[float, Row]]

    @property
    def title(self) -> str:
        """Network, and with a level the perturbation that it is of."""
        return self.network if self.level is None else f"{self.network}, {self.perturbation}, bit-error rate {self.level:g}"

    @property
    def middle(self) -> float:
        """The budget that sentences are about."""
        return self.budgets[(len(self.budgets) - 1) // 2]

    def best(self, n: int) -> list[str]:
        """Return the n best criteria by mean accuracy; controls only where there is nothing else."""
        known = [name for name in self.curves if name not in BASELINES]
        return ([name for name in known if name.partition(" ")[0] not in CONTROLS] or known)[:n]

    @property
    def best_baseline(self) -> str | None:
        """The best allocation that needs no scores, references aside; None where there is none."""
        return next((name for name in self.curves if name in BASELINES and name not in REFERENCES), None)


def panels(results: pa.Table, task: Task) -> list[Panel]:
    """Return the results of one task by network, perturbation and level; a criterion of two tracks carries its track."""
    rows = results.to_pylist()
    tracks: dict[str, set[str]] = {}
    for row in rows:
        tracks.setdefault(row["criterion"], set()).add(row["track"])
    groups: dict[tuple[Any, ...], dict[str, dict[float, Row]]] = {}
    for row in rows:
        name = row["criterion"] if len(tracks[row["criterion"]]) == 1 else f"{row['criterion']} ({row['track']})"
        key = (row["network"], row["dataset"], row["split"], row["perturbation"], row["level"])
        groups.setdefault(key, {}).setdefault(name, {})[row["budget"]] = row
    return [
        Panel(network, dataset, split, perturbation, level, _budgets(curves, task), _sorted(curves))
        for (network, dataset, split, perturbation, level), curves in groups.items()
    ]


def _budgets(curves: Mapping[str, Mapping[float, Row]], task: Task) -> tuple[float, ...]:
    return tuple(sorted(curves[UNIFORM], reverse=task.budgets[0] > task.budgets[-1]))


def _sorted(curves: Mapping[str, dict[float, Row]]) -> dict[str, dict[float, Row]]:
    shared = min((set(curve) for name, curve in curves.items() if name not in LIMITS), key=len)

    def mean(name: str) -> float:
        return float(
            np.mean([row["accuracy"] for budget, row in curves[name].items() if budget in shared or name in LIMITS])
        )

    return {name: curves[name] for name in sorted(curves, key=lambda name: (-mean(name), name))}


def sentence(panel: Panel, task: Task) -> str:
    """Say what the best criterion, controls aside, does with the middle budget, and what to compare that with."""
    at = {name: curve[panel.middle] for name, curve in panel.curves.items() if panel.middle in curve}
    name = max(panel.best(len(at)), key=lambda name: at[name]["accuracy"])
    others = [f"{LIMITS[key]} {_percent(*panel.curves[key].values())}" for key in LIMITS if key in panel.curves]
    others += [
        f"{key.replace('_', '-')} {_percent(at[key])}" for key in (UNIFORM, TRUTH_GUIDED, TRUTH_PER_WEIGHT) if key in at
    ]
    kept = f"{_percent(at[name])} {_interval(at[name])}"
    return f"{panel.title}: with {name}, {task.spending(panel.middle)} keeps {kept} accuracy; {', '.join(others)}."


def _percent(row: Row) -> str:
    return f"{100 * row['accuracy']:.1f} %"


def _interval(row: Row) -> str:
    return f"({100 * row['low']:.1f} to {100 * row['high']:.1f})"


def _with_interval(row: Row) -> str:
    return f"{100 * row['accuracy']:.1f} {_interval(row)}"


def markdown(results: pa.Table, task: Task, notes: Sequence[str]) -> str:
    """Return the summary of one task: a sentence and a table for each network and level."""
    all_panels = panels(results, task)
    lines = [f"# Budget: {task.label(results['perturbation'][0].as_py())}", "", *_introduction(results, task), ""]
    for panel in all_panels:
        lines += [
            f"## {panel.title} ({panel.dataset}, {panel.split})",
            "",
            sentence(panel, task),
            "",
            *_table(panel),
            "",
        ]
    if notes:
        lines += ["## Not measured", "", *(f"- {note}" for note in notes), ""]
    return "\n".join(lines)


def _introduction(results: pa.Table, task: Task) -> Iterator[str]:
    rows = results.to_pylist()
    n = sorted({row["n_examples"] for row in rows})
    examples = f"{n[0]:,}" if len(n) == 1 else f"{n[0]:,} to {n[-1]:,}"
    draws = f" and {rows[0]['draws']} draws" if task.name == "protect" else ""
    yield f"Accuracy in percent with its 95 % interval over {examples} examples{draws}, none of which the truth of this"
    yield f"perturbation saw. Layers get {rows[0]['perturbation']}; columns are budgets ({task.unit}). The last column is"
    yield f"the share of the gain of `{TRUTH_GUIDED}` over `{UNIFORM}`, at the budget of the sentence, where that gain"
    yield "exceeds 5 standard errors. The best of many criteria by one measurement is flattered by it."
    yield f"Truth: {rows[0]['truth_revision'] or 'without a revision'}."


def _table(panel: Panel) -> Iterator[str]:
    yield f"| criterion | {' | '.join(f'{budget:g}' for budget in panel.budgets)} | share |"
    yield "| --- " * (len(panel.budgets) + 2) + "|"
    for name, curve in panel.curves.items():
        if name in LIMITS:
            cells = [_with_interval(*curve.values())] * len(panel.budgets)
        else:
            cells = [_with_interval(curve[budget]) if budget in curve else "-" for budget in panel.budgets]
        share = curve.get(panel.middle, {}).get("truth_guided_share")
        yield f"| {name} | {' | '.join(cells)} | {'-' if share is None else f'{share:.2f}'} |"


def additivity_markdown(fits: Sequence[Fit]) -> str:
    """Return the summary of additivity: one row a network, perturbation and level."""
    lines = [
        "# Budget: additivity",
        "",
        "Joint drop of random sets of layers against the sum of single-layer drops, on the same images and with the same",
        "perturbed weights. `explained` is the share of the variance of joint drops that the sums account for as they are.",
        "",
        "| network | perturbation | level | sets | correlation | slope | explained |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for fit in fits:
        numbers = " | ".join("-" if np.isnan(x) else f"{x:.2f}" for x in (fit.correlation, fit.slope, fit.explained))
        lines.append(f"| {fit.network} | {fit.perturbation} | {fit.level:g} | {fit.n_sets} | {numbers} |")
    return "\n".join([*lines, ""])
