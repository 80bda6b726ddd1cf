"""Accuracy against what was spent, and joint drops against sums, as pictures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from safer_bench.budget.additivity import fits
from safer_bench.budget.entrants import TRUTH_GUIDED, TRUTH_PER_WEIGHT
from safer_bench.budget.summary import LIMITS, Panel
from safer_bench.budget.tasks import Task
from safer_bench.budget.trials import BEST_KNOWN, PLAN, UNIFORM
from safer_bench.tables.pictures import encoded, new_figure

# Okabe and Ito 2008: told apart by colour-blind readers, and by markers in print
BEST = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "D"))
BASELINE = ("#CC79A7", "P")
FIXED = {
    PLAN: ("#7B2D8E", "h"),
    TRUTH_GUIDED: ("#000000", "^"),
    TRUTH_PER_WEIGHT: ("#E69F00", "*"),
    UNIFORM: ("#999999", "v"),
    BEST_KNOWN: ("#56B4E9", "X"),
}
COLUMNS, WIDTH, HEIGHT, DPI = 3, 4.6, 3.4, 120


def curves_png(panels: Sequence[Panel], task: Task) -> bytes:
    """Draw accuracy against what was spent, one panel a network and level: the best three and what to compare them with."""
    figure, axes = _grid(len(panels))
    for each, panel in zip(axes, panels, strict=True):
        for name, (colour, marker) in _styles(panel).items():
            _curve(each, panel, name, colour, marker)
        for name, style in zip(LIMITS, (":", "--", "--"), strict=True):
            if name in panel.curves:
                (row,) = panel.curves[name].values()
                each.axhline(100 * row["accuracy"], color="0.5", lw=1, ls=style, label=LIMITS[name])
        if task.name == "protect":
            each.set_xscale("log")
        each.set_xticks(panel.budgets, [f"{budget:g}" for budget in panel.budgets])
        each.minorticks_off()
        if panel.budgets[0] > panel.budgets[-1]:
            each.invert_xaxis()
        each.set_title(panel.title, fontsize="medium")
        each.set_xlabel(f"{task.unit} spent, a mark for each budget")
        each.set_ylabel("accuracy, %")
        each.legend(framealpha=0.8, edgecolor="none", fontsize="x-small")
    return encoded(figure, dpi=DPI)


def _styles(panel: Panel) -> dict[str, tuple[str, str]]:
    best = dict(zip(panel.best(len(BEST)), BEST, strict=False))
    baseline = {panel.best_baseline: BASELINE} if panel.best_baseline else {}
    return best | baseline | {name: style for name, style in FIXED.items() if name in panel.curves}


def _curve(axes: Any, panel: Panel, name: str, colour: str, marker: str) -> None:
    curve = panel.curves[name]
    budgets = [budget for budget in panel.budgets if budget in curve]
    spent = [curve[budget]["spent"] for budget in budgets]
    middle, low, high = ([100 * curve[budget][key] for budget in budgets] for key in ("accuracy", "low", "high"))
    axes.fill_between(spent, low, high, color=colour, alpha=0.1, lw=0)
    axes.plot(spent, middle, marker + "-", color=colour, markersize=4, lw=1.4, label=name)


def additivity_png(table: pa.Table) -> bytes:
    """Draw joint drops against sums of drops, one panel a network, perturbation and level; the line is where they agree."""
    all_fits = fits(table)
    figure, axes = _grid(len(all_fits))
    rows = table.to_pylist()
    for each, fit in zip(axes, all_fits, strict=True):
        key = (fit.network, fit.perturbation, fit.level)
        pairs = [
            (100 * row["sum_of_drops"], 100 * row["joint_drop"])
            for row in rows
            if (row["network"], row["perturbation"], row["level"]) == key
        ]
        total, joint = np.array(pairs).T
        each.plot(total, joint, "o", color=BEST[0][0], alpha=0.6, markersize=4)
        ends = [min(0.0, total.min(), joint.min()), max(total.max(), joint.max(), 1.0)]
        each.plot(ends, ends, color="0.5", lw=1)
        each.set_title(f"{fit.network}, {fit.perturbation} {fit.level:g}: r = {fit.correlation:.2f}", fontsize="medium")
        each.set_xlabel("sum of single drops, points")
        each.set_ylabel("joint drop, points")
    return encoded(figure, dpi=DPI)


def _grid(n: int) -> tuple[Any, list[Any]]:
    """Return a figure with n axes."""
    n_columns = min(n, COLUMNS)
    n_rows = -(-n // n_columns)
    figure, axes = new_figure(WIDTH * n_columns, HEIGHT * n_rows, n_rows, n_columns)
    for spare in axes[n:]:
        spare.remove()
    return figure, axes[:n]
