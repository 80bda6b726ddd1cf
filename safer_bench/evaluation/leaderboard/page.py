"""What the page holds: one JSON value that its script draws, and the boards that its template renders; no I/O."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from safer_bench.errors import BadInput
from safer_bench.evaluation.board import Board
from safer_bench.evaluation.leaderboard import panels
from safer_bench.evaluation.leaderboard.citation import citation
from safer_bench.evaluation.leaderboard.numbers import (
    Group,
    Json,
    Tables,
    entries_of,
    group_of,
    make_cells,
    make_tables,
    thousandths,
)
from safer_bench.evaluation.leaderboard.overview import Overview, overviews
from safer_bench.evaluation.scope import GATES, LEVEL_RANKS
from safer_bench.evaluation.single_ranking import read_halves
from safer_bench.judging import METRICS
from safer_bench.tables import controls
from safer_bench.tables.facts import TruthFacts, read_facts

MARKS = (RECOMPUTED, REPORTED) = ("recomputed", "reported")
BUDGET_COLUMNS = (
    *("criterion", "track", "network", "dataset", "split", "task", "perturbation", "budget", "level"),
    *("spent", "accuracy", "low", "high", "n_examples", "gain", "gain_low", "gain_high", "verdict"),
    *("regret", "regret_low", "regret_high", "truth_guided_share"),
)


@dataclass(frozen=True, slots=True)
class Extras:
    """What the page shows where it is given.

    Attributes:
        scores: of schema ``scores``: predicted against true.
        costs: of schema ``costs``: quality against cost.
        marks: ``{criterion: "recomputed" or "reported"}``: who computed its scores.
        budget: measured accuracy at budgets, with the columns ``BUDGET_COLUMNS``.
    """

    scores: pa.Table | None = None
    costs: pa.Table | None = None
    marks: Mapping[str, str] = field(default_factory=dict)
    budget: pa.Table | None = None

    def __post_init__(self) -> None:
        """Refuse unknown marks and a budget table without its columns."""
        for name, mark in self.marks.items():
            if mark not in MARKS:
                raise BadInput(f"marks: {name!r} is marked {mark!r}; expected one of {', '.join(MARKS)}")
        missing = [] if self.budget is None else [name for name in BUDGET_COLUMNS if name not in self.budget.schema.names]
        if missing:
            raise BadInput(f"budget: column {missing[0]!r} is missing; expected {', '.join(BUDGET_COLUMNS)}")


@dataclass(frozen=True, slots=True)
class Page:
    """A page before it is rendered: what the template shows, boards by every metric for the list, data for the script."""

    overviews: Sequence[Overview]
    boards: tuple[Board, ...]
    areas: Mapping[tuple[str, Group], Board]
    data: Json


def make_page(results: pa.Table, truth: Mapping[str, pa.Table], extras: Extras) -> Page:
    """Return what the page shows.

    Args:
        results: what ``evaluate`` returns.
        truth: the tables that it was evaluated against.
        extras: what else there is.
    """
    facts = read_facts(truth)
    reported = frozenset(name for name, mark in extras.marks.items() if mark == REPORTED)
    tables = make_tables(results, facts, read_halves(truth), reported)
    data: Json = {
        "revision": facts.revision or "",
        "metrics": [[metric.name, metric.description] for metric in METRICS],
        "places": tables.places,
        "summaries": ["area over levels", *_level_names(facts)],
        "gates": GATES,
        "notes": tables.notes,
        "perturbations": list(facts.use_cases),
        "use_cases": list(facts.use_cases.values()),
        "criteria": _criteria(tables, truth, extras),
        "boards": _boards(facts, tables, extras),
        "truth": panels.true_areas(truth, facts),
    }
    if extras.scores is not None:
        ranked = list(dict.fromkeys(entry for board in tables.headline for entry in entries_of(board)))
        data["scored"] = ranked
        data["scores"], data["unshown"] = panels.score_ranks(extras.scores, facts, ranked)
    if extras.budget is not None and extras.budget.num_rows:
        data["budget"] = panels.budget_rows(extras.budget.select(BUDGET_COLUMNS))
    return Page(overviews(tables.by_case), tables.headline, tables.areas, data)


def _level_names(facts: TruthFacts) -> list[str]:
    names = LEVEL_RANKS if facts.deepest == len(LEVEL_RANKS) else ("",) * facts.deepest
    return [f"level {rank}{f', {name}' if name else ''}" for rank, name in enumerate(names, start=1)]


def _criteria(tables: Tables, truth: Mapping[str, pa.Table], extras: Extras) -> Json:
    """Return what is known of each criterion: whether it is a control, its mark, needs, formula, source, short citation."""
    known = {row["criterion"]: row for row in truth["criteria"].to_pylist()} if "criteria" in truth else {}
    names = sorted({name for board in tables.headline for name, _ in entries_of(board)})
    facts = {
        name: {
            "control": name in controls.CONTROLS,
            "mark": extras.marks.get(name),
            **{key: known.get(name, {}).get(key) for key in ("needs", "formula", "source")},
            **citation(known.get(name, {}).get("source")),
        }
        for name in names
    }
    return {name: {key: value for key, value in of.items() if value} for name, of in facts.items()}


def _boards(facts: TruthFacts, tables: Tables, extras: Extras) -> list[Json]:
    return [
        {
            "title": title_of(board),
            "split": board.split,
            "headline": board.headline,
            "networks": list(board.families.items()),
            "entries": entries_of(board),
            "tables": tables.numbers[group_of(board)],
            "cells": make_cells(tables.values, facts, board),
            "against": _differences(board),
            "costs": panels.mean_costs(extras.costs, board.families),
        }
        for board in headline_first(tables.headline)
    ]


def headline_first(boards: Iterable[Board]) -> list[Board]:
    """Return boards as the page shows them: test networks first, then large networks, then many of them."""
    return sorted(boards, key=lambda board: (board.split != "test", not board.headline, -len(board.families)))


def _differences(board: Board) -> list[list[Sequence[Any]]]:
    """Return each row's declared comparisons: name of the other, difference, ends of the interval or null."""
    return [
        [
            [other, thousandths(each.value), *map(thousandths, each.interval or (None, None))]
            for other, each in row.against.items()
        ]
        for row in board.rows
    ]


def title_of(board: Board) -> str:
    """Return a board's name for people."""
    return f"{board.dataset}, {board.split}{'' if board.headline else ' (networks of fewer than ten layers)'}"


def script_json(value: Any) -> str:
    r"""Return a value as JSON that may stand in a script element: no name can end the element or open a comment.

    >>> script_json(["</script><!--"])
    '["\\u003c/script\\u003e\\u003c!--"]'
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
