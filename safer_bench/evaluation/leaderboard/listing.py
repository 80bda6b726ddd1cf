"""The boards as one flat table, for spreadsheets; no I/O."""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from safer_bench.evaluation.board import Board, BoardRow
from safer_bench.evaluation.bootstrap import LIMIT_DIGITS
from safer_bench.evaluation.leaderboard.numbers import Json, entries_of, group_of
from safer_bench.evaluation.leaderboard.page import Page, title_of
from safer_bench.tables import schema
from safer_bench.tables.text import spreadsheet

COLUMNS = {
    **dict.fromkeys(("board", "metric", "criterion", "track", "kind", "scores"), pa.string()),
    **dict.fromkeys(("value", "low", "high", "ceiling"), pa.float64()),
    "ceiling_note": pa.string(),
    **dict.fromkeys(("best_rank", "worst_rank", "undefined_cells"), pa.int64()),
}


def listing(page: Page) -> pa.Table:
    """Return a row for each board, metric and criterion: areas, over all use cases, whatever the reliability.

    Values have nine decimals, ends of intervals six: what differs beyond is the machine's. Intervals and ranks are null
    where families are too few, intervals also where they are too nearly alike. The note says which part of the cells a
    ceiling is of; null where it is of all. Criteria are in the order of the page, reported ones last and without ranks.
    No text is a formula.
    """
    rows = [
        row
        for board in page.boards
        for metric in schema.METRIC_NAMES
        if (metric, group_of(board)) in page.areas
        for row in _rows(page.areas[metric, group_of(board)], board, page.data["criteria"])
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema(COLUMNS.items()))


def _rows(board: Board, headline: Board, criteria: Mapping[str, Json]) -> Iterator[dict[str, Any]]:
    """Yield the criteria of the headline board as another metric's board, of the same networks, has them."""
    by_entry = {(row.criterion, row.track): row for row in board.rows}
    for criterion, track in entries_of(headline):
        yield {
            "board": spreadsheet(title_of(board)),
            "metric": board.metric,
            "criterion": spreadsheet(criterion),
            "track": track,
            "kind": "control" if "control" in criteria[criterion] else "criterion",
            "scores": criteria[criterion].get("mark"),
            "ceiling": _rounded(board.ceilings[track].value),
            "ceiling_note": board.ceiling_note(track) or None,
            **_reached(by_entry.get((criterion, track))),
        }


def _reached(row: BoardRow | None) -> dict[str, float | None]:
    if row is None:
        return {"undefined_cells": 0}
    low, high = row.interval or (None, None)
    best, worst = row.ranks or (None, None)
    reached = {"value": row.value, "low": low, "high": high}
    rounded = {name: _rounded(value) for name, value in reached.items()}
    return {**rounded, "best_rank": best, "worst_rank": worst, "undefined_cells": row.n_undefined}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, LIMIT_DIGITS) + 0.0  # no negative zero
