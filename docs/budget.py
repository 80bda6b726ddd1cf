"""What some budgets keep of each network, as a table of docs/budget.md: ``python -m docs.budget``."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from docs.markdown import filled, table
from safer_bench.budget.entrants import TRUTH_GUIDED, TRUTH_PER_WEIGHT
from safer_bench.budget.trials import FIRST_AND_LAST, HAWQ, MIXED, PLAN, PRUNE_BASELINES, UNIFORM
from safer_bench.dataset.budgets import read_budgets
from safer_bench.tables.grouping import grouped
from safer_bench.tables.verdicts import BEATS, HARMS

PAGE = Path(__file__).with_suffix(".md")
BUDGETS = PAGE.with_name("budgets")
CRITERIA = ("ggn_diagonal", "fisher_l2", "mean_magnitude", "snip", "depth")
SHOWN = (UNIFORM, TRUTH_GUIDED, TRUTH_PER_WEIGHT, PLAN, HAWQ, *CRITERIA)
BASELINES = (FIRST_AND_LAST, MIXED, *PRUNE_BASELINES)  # the best of them has a column
TOLD = {  # by (task, perturbation): the budgets that have a row, and how it is called
    ("prune", "magnitude_prune"): ((0.5, 0.7), "{:.0%} pruned"),
    ("quantize", "quantize"): ((4.0, 3.0), "{:g} bits a weight"),
    ("quantize", "quantize_per_channel"): ((3.0,), "{:g} bits a weight, a scale a channel"),
    ("protect", "int8_bit_flip"): ((0.1,), "{:.0%} protected"),
}
MARKS = {BEATS: " +", HARMS: " -"}
Row = Mapping[str, Any]
Condition = tuple[float | None, float]  # (level, budget)


def rows(budgets: Sequence[Row]) -> Iterable[Sequence[str]]:
    """Yield network, budget and what each of ``SHOWN`` and the best of ``BASELINES`` keep, network by network.

    Args:
        budgets: rows of ``budget_results``.
    """
    for network, of_network in sorted(grouped(budgets, key=lambda row: row["network"]).items()):
        for what, (amounts, words) in TOLD.items():
            of_task = [row for row in of_network if (row["task"], row["perturbation"]) == what]
            for (level, amount), alternatives in _conditions(of_task, amounts):
                rate = "" if level is None else f", rate {level:g}"
                yield network, words.format(amount).replace("%", " %") + rate, *_kept(alternatives)


def _conditions(of_task: Sequence[Row], amounts: Sequence[float]) -> Iterable[tuple[Condition, Sequence[Row]]]:
    found = grouped([row for row in of_task if row["budget"] in amounts], key=lambda row: (row["level"], row["budget"]))
    return sorted(found.items(), key=lambda item: (item[0][0] or 0.0, amounts.index(item[0][1])))


def _kept(alternatives: Sequence[Row]) -> Iterable[str]:
    by_name = {row["criterion"]: row for row in alternatives}
    for name in SHOWN:
        yield _told(by_name[name]) if name in by_name else "-"
    known = [by_name[name] for name in BASELINES if name in by_name]
    best = max(known, key=lambda row: row["accuracy"], default=None)
    yield "-" if best is None else f"{_told(best)} (`{best['criterion']}`)"


def _told(row: Row) -> str:
    return f"{100 * row['accuracy']:.1f}{MARKS.get(row['verdict'], '')}"


def render(budgets: Sequence[Row], page: str) -> str:
    """Return the page with the table of these budgets."""
    header = ("network", "budget", *(f"`{name}`" for name in SHOWN), "best other baseline")
    return filled(page, table(header, rows(budgets)))


if __name__ == "__main__":
    made = render(read_budgets(BUDGETS).to_pylist(), PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(made, encoding="utf-8")
