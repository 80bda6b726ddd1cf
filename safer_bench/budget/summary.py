"""Budget results as words and tables: what an engineer reads first."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from safer_bench.budget.additivity import Fit
from safer_bench.budget.entrants import TRUTH_GUIDED, TRUTH_PER_WEIGHT
from safer_bench.budget.protection import EVERYTHING, NOTHING
from safer_bench.budget.tasks import Task
from safer_bench.budget.trials import (
    BEST_KNOWN,
    FIRST_AND_LAST,
    MIXED,
    PLAN,
    PLAN_UNCORRECTED,
    PRUNE_BASELINES,
    UNCHANGED,
    UNIFORM,
)
from safer_bench.tables.controls import CONTROLS
from safer_bench.tables.verdicts import BEATS, HARMS

Row = Mapping[str, Any]
LIMITS = {NOTHING: "unprotected", EVERYTHING: "everything protected", UNCHANGED: "unchanged"}
COMPARED = (UNIFORM, MIXED, PLAN, TRUTH_GUIDED, TRUTH_PER_WEIGHT, BEST_KNOWN)
REFERENCES = (UNIFORM, PLAN, PLAN_UNCORRECTED, TRUTH_GUIDED, TRUTH_PER_WEIGHT, BEST_KNOWN, *LIMITS)
BASELINES = (*REFERENCES, FIRST_AND_LAST, MIXED, *PRUNE_BASELINES)


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
    known = [name for name in panel.best(len(panel.curves)) if name in at] or list(at)
    name = max(known, key=lambda name: at[name]["accuracy"])
    others = [f"{LIMITS[key]} {_percent(*panel.curves[key].values())}" for key in LIMITS if key in panel.curves]
    others += [f"{key.replace('_', '-')} {_percent(at[key])}" for key in COMPARED if key in at]
    done = f"{task.spending(panel.middle)} ({task.amount(at[name]['spent'])} spent)"
    kept = f"{_percent(at[name])} {_interval(at[name])} accuracy{_against_uniform(at[name])}"
    return f"{panel.title}: with {name}, {done} keeps {kept}; {', '.join(others)}."


def _against_uniform(row: Row) -> str:
    points, side = f"{abs(100 * row['gain']):.1f}", "below" if row["gain"] < 0 else "above"
    return f", {points} points {side} uniform at equal spending ({row['verdict']})"


def _percent(row: Row) -> str:
    return f"{100 * row['accuracy']:.1f} %"


def _interval(row: Row, names: tuple[str, str] = ("low", "high")) -> str:
    """Return two ends in percent, or a dash."""
    low, high = (row[name] for name in names)
    return "(-)" if low is None else f"({100 * low:.1f} to {100 * high:.1f})"


def markdown(results: pa.Table, task: Task, notes: Sequence[str]) -> str:
    """Return the summary of one task: a sentence and three tables for each network and level."""
    lines = [f"# Budget: {task.label(results['perturbation'][0].as_py())}", "", *_introduction(results, task), ""]
    for panel in panels(results, task):
        lines += [f"## {panel.title} ({panel.dataset}, {panel.split})", "", sentence(panel, task), ""]
        lines += [*_accuracies(panel, task), ""]
        lines += ["Gain over `uniform` at equal spending, points:", "", *_table(panel, _gain), ""]
        lines += ["Regret against the best known allocation of the same budget, points:", "", *_table(panel, _regret), ""]
    if notes:
        lines += ["## Notes", "", *(f"- {note}" for note in notes), ""]
    return "\n".join(lines)


def _introduction(results: pa.Table, task: Task) -> Iterator[str]:
    rows = results.to_pylist()
    n = sorted({row["n_examples"] for row in rows})
    examples = f"{n[0]:,}" if len(n) == 1 else f"{n[0]:,} to {n[-1]:,}"
    draws = f" and {rows[0]['draws']} draws" if task.name == "protect" else ""
    n_compared = sum(row["verdict"] is not None for row in rows)
    yield f"Accuracy in percent with its 95 % interval over {examples} examples{draws}, and what was spent. The truth of"
    yield f"this perturbation saw none of these examples. Layers get {rows[0]['perturbation']}. Columns are budgets"
    yield f"({task.unit}). `share` is the gain's share of that of `{TRUTH_GUIDED}`, at the budget of the sentence. It is"
    yield "given where the latter exceeds 5 standard errors. Intervals are unadjusted."
    yield f"`{BEATS}` and `{HARMS}` are said where all {n_compared} gains hold at once with 95 %."
    yield f"`{BEST_KNOWN}` is the best allocation of a budget, chosen by one half of the images and judged by the other."
    yield "Whatever else is picked because it is the best here is flattered."
    truths = sorted({(row["network"], row["truth_revision"]) for row in rows})
    yield f"Truth: {', '.join(f'{revision} of {network}' for network, revision in truths)}."


def _accuracies(panel: Panel, task: Task) -> Iterator[str]:
    def cell(row: Row) -> str:
        return f"{100 * row['accuracy']:.1f} {_interval(row)} at {task.amount(row['spent'])}"

    head, line, *rows = _table(panel, cell, tuple(panel.curves))
    yield from (f"{head} share |", f"{line} --- |")
    for (name, curve), row in zip(panel.curves.items(), rows, strict=True):
        share = None if name in LIMITS else curve.get(panel.middle, {}).get("truth_guided_share")
        yield f"{row} {'-' if share is None else f'{share:.2f}'} |"


def _gain(row: Row) -> str:
    if row["gain"] is None:
        return "-"
    return f"{100 * row['gain']:+.1f} {_interval(row, ('gain_low', 'gain_high'))} {row['verdict'] or ''}".rstrip()


def _regret(row: Row) -> str:
    return "-" if row["regret"] is None else f"{100 * row['regret']:.1f} {_interval(row, ('regret_low', 'regret_high'))}"


def _table(panel: Panel, cell: Callable[[Row], str], names: Sequence[str] = ()) -> Iterator[str]:
    """Yield a table of one row a criterion and one column a budget; without names, of all that have budgets."""
    yield f"| criterion | {' | '.join(f'{budget:g}' for budget in panel.budgets)} |"
    yield "| --- " * (len(panel.budgets) + 1) + "|"
    for name in names or [name for name in panel.curves if name not in LIMITS]:
        curve = panel.curves[name]
        rows = [*curve.values()] * len(panel.budgets) if name in LIMITS else [curve.get(budget) for budget in panel.budgets]
        yield f"| {name} | {' | '.join('-' if row is None else cell(row) for row in rows)} |"


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
