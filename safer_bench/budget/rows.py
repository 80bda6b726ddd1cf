"""Trials -> rows of the tables of budgets, each compared with ``uniform`` at its spending and with the best known."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from safer_bench.budget.entrants import TRUTH_GUIDED
from safer_bench.budget.equal_spending import uniform_at
from safer_bench.budget.intervals import IntervalEstimate, accuracy, gain
from safer_bench.budget.protection import EVERYTHING, NOTHING
from safer_bench.budget.regret import best_known
from safer_bench.budget.trials import BEST_KNOWN, UNCHANGED, UNIFORM, Trial
from safer_bench.networks.network import Network
from safer_bench.tables.grouping import grouped

Array = np.ndarray
Row = dict[str, Any]
DECIDED = 5.0  # standard errors by which the truth's gain has to exceed 0 before shares of it are told
LIMITS = (UNCHANGED, NOTHING, EVERYTHING)  # of no budget


def asked(trials: Sequence[Trial], budgets: Sequence[float], examples: Array) -> list[Trial]:
    """Return the trials to tell of: the limits, those of the budgets asked for, and the best known of each.

    Args:
        trials: of one network, with those of ``uniform`` at other budgets.
        budgets: asked for.
        examples: number of the example that each answer belongs to ``(n_answers,)``.
    """
    shown = [trial for trial in trials if trial.name in LIMITS or trial.budget in budgets]
    cells = grouped([trial for trial in shown if trial.name not in LIMITS], key=lambda trial: (trial.level, trial.budget))
    return shown + [best_known(of_cell, examples) for of_cell in cells.values()]


def result_rows(trials: Sequence[Trial], shown: Sequence[Trial], network: Network) -> list[Row]:
    """Return a row for each trial that is shown, without what names the network and the task.

    Args:
        trials: all of the network, for what ``uniform`` gets right at any spending.
        shown: what ``asked`` returns.
        network: that was judged.
    """
    examples = examples_of(network)
    curves = {level: _curve(trials, level) for level in {trial.level for trial in trials}}
    best = {(trial.level, trial.budget): trial for trial in shown if trial.name == BEST_KNOWN}
    gains = {
        (trial.name, trial.track, trial.level, trial.budget): gain(
            trial.correct, uniform_at(trial.spent, curves[trial.level]), examples
        )
        for trial in shown
        if trial.name not in LIMITS
    }
    guided = {(level, budget): each for (name, _, level, budget), each in gains.items() if name == TRUTH_GUIDED}
    rows = []
    for trial in shown:
        cell, estimate = (trial.level, trial.budget), accuracy(trial.correct, examples)
        row: Row = {"criterion": trial.name, "track": trial.track, "level": trial.level, "budget": trial.budget}
        row |= {"spent": trial.spent, "accuracy": estimate.mean, "low": estimate.low, "high": estimate.high}
        row |= {"n_examples": len(network.labels), "draws": trial.correct.shape[0]}
        row |= gain_columns(gains.get((trial.name, trial.track, *cell)), guided.get(cell))
        if cell in best and trial.name != BEST_KNOWN:
            row |= _columns("regret", gain(best[cell].correct, trial.correct, examples))
        rows.append(row)
    return rows


def examples_of(network: Network) -> Array:
    """Return the number of the example that each answer belongs to ``(n_answers,)``."""
    return np.repeat(np.arange(len(network.labels)), network.n_answers.numpy())


def _curve(trials: Sequence[Trial], level: float | None) -> Mapping[float, Array]:
    """Return what ``uniform`` gets right at a level by what it spends; at the ends it is all or nothing."""
    return {trial.spent: trial.correct for trial in trials if trial.level == level and trial.name in (UNIFORM, *LIMITS)}


def gain_columns(own: IntervalEstimate | None, guided: IntervalEstimate | None) -> Row:
    """Return the columns of a gain over uniform, and its share of the truth's gain where that is decided."""
    if own is None:
        return {}
    share = None
    if guided is not None and guided.mean > DECIDED * guided.standard_error:
        share = own.mean / guided.mean
    error = None if math.isnan(own.low) else own.standard_error
    return _columns("gain", own) | {"gain_error": error, "truth_guided_share": share}


def _columns(name: str, estimate: IntervalEstimate) -> Row:
    ends = (None, None) if math.isnan(estimate.low) else (estimate.low, estimate.high)
    return {name: estimate.mean, f"{name}_low": ends[0], f"{name}_high": ends[1]}


def allocation_rows(shown: Sequence[Trial], network: Network) -> Iterator[Row]:
    """Yield the rows of ``budget_allocations``; those of the first level: only of the best known they depend on it."""
    for trial in shown:
        if trial.level == shown[0].level:
            named = {"criterion": trial.name, "track": trial.track, "budget": trial.budget}
            for layer, amount in zip(network.layers, trial.amounts, strict=True):
                yield named | {"layer": layer.name, "amount": float(amount)}
