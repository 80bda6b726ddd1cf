"""The page's boards as one flat table, for spreadsheets; no I/O."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from safer_bench.evaluation.leaderboard.page import Page
from safer_bench.tables import schema

COLUMNS = {
    **dict.fromkeys(("board", "metric", "criterion", "track", "kind", "scores"), pa.string()),
    **dict.fromkeys(("value", "low", "high", "ceiling"), pa.float64()),
    "ceiling_note": pa.string(),
    **dict.fromkeys(("best_rank", "worst_rank", "undefined_cells"), pa.int64()),
}


def listing(page: Page) -> pa.Table:
    """Return a row for each board, metric and criterion: areas, over all perturbations, as the page shows them.

    Values have three decimals; intervals and ranks are null where families are too few, intervals also where they are too
    nearly alike. The note says which part of the
    cells a ceiling is of; null where it is of all.
    """
    rows = [row for board in page.data["boards"] for row in _rows(board, page.data["criteria"])]
    return pa.Table.from_pylist(rows, schema=pa.schema(COLUMNS.items()))


def _rows(board: dict[str, Any], criteria: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for m, metric in enumerate(schema.METRIC_NAMES):
        table = board["tables"].get(f"{m}.0.0.0")  # all perturbations, in area, whatever the reliability
        for i, (criterion, track) in enumerate(board["entries"] if table else []):
            numbers = {name: _entry(table, key, i) for name, key in (("value", "v"), ("low", "l"), ("high", "h"))}
            yield {
                "board": board["title"],
                "metric": metric,
                "criterion": criterion,
                "track": track,
                "kind": "control" if "control" in criteria[criterion] else "criterion",
                "scores": criteria[criterion].get("mark"),
                **{name: None if value is None else value / 1000 for name, value in numbers.items()},
                "ceiling": table["c"] / 1000 if "c" in table else None,
                "ceiling_note": table.get("o"),
                "best_rank": _entry(table, "a", i),
                "worst_rank": _entry(table, "b", i),
                "undefined_cells": table.get("u", {}).get(i, 0),
            }


def _entry(table: dict[str, Any], key: str, i: int) -> int | None:
    found: int | None = table[key][i] if key in table else None
    return found
