"""Boards as text: excerpts of them, where submitted criteria stand, means of a secret truth."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from safer_bench.cli.console import table
from safer_bench.tables.grouping import grouped
from safer_bench.tables.text import number_of, visible

if TYPE_CHECKING:
    from safer_bench.evaluation.board import Board, BoardRow, Difference
    from safer_bench.evaluation.held_out_means import Aggregate
    from safer_bench.evaluation.place import Place


def board_text(board: "Board") -> str:
    """Return a whole board as text, with its note."""
    header = ["criterion", "mean", *(("95 % interval", "ranks") if board.has_intervals else ()), *board.families]
    return f"{_title(board)}\n\n{table(header, [_cells(row, board) for row in board.rows])}{_starred(board.rows)}"


def _starred(rows: "Sequence[BoardRow]") -> str:
    return "\n* undefined (constant) somewhere, counted as 0" if any(row.n_undefined for row in rows) else ""


def _title(board: "Board") -> str:
    size = "" if board.headline else ", fewer than ten layers"
    return f"{board.dataset}, {board.split}{size}: Spearman correlation with the true area\n{board.note}"


def excerpt_text(board: "Board", own: Collection[str]) -> str:
    """Return the controls of a board, its highest other criteria of each track and one's own as text; cuts are marked."""
    from safer_bench.evaluation.place import TOP, excerpt

    shown = excerpt(board, own)
    header = ["criterion", "track", "mean", *(("95 % interval", "ranks") if board.has_intervals else ())]
    cells = [_cells(row, board)[: len(header) - 1] for row in shown]
    names = [f"{visible(row.criterion)}{' (reported)' * row.reported}" for row in shown]
    rows = [[name, row.track, *of_row[1:]] for name, row, of_row in zip(names, shown, cells, strict=True)]
    left_out = len(board.rows) - len(shown)
    rest = f"\n... {left_out} more; shown are the {TOP} highest of each track and all controls" if left_out else ""
    return f"{_title(board)}\n\n{table(header, rows)}{_starred(shown)}{rest}"


def place_text(place: "Place", *, in_full: bool) -> str:
    """Return where a criterion stands on one board, as a line; in full also its neighbours, controls and comparisons."""
    board = f"{place.dataset}, {place.split}"
    if place.value is None:
        part = f"{place.n_cells} of {place.n_all_cells} cells (networks under perturbations)"
        return f"  {board}: no mean, as it scores {part}"
    interval = f" ({_ends(*place.interval)})" if place.interval else ""
    ranks = f", ranks {place.ranks[0]} to {place.ranks[1]} of {place.n_ranked} {place.track}" if place.ranks else ""
    families = f"{place.families} famil{'ies are' if place.families > 1 else 'y is'}"
    few = "" if place.interval or ranks else f"; {families} too few for an interval or ranks"
    lines = [f"  {board}: {place.value:z.2f}{interval}{ranks}{few}"]
    if not in_full:
        return lines[0]
    near = (("next higher", place.above), ("next lower", place.below))
    told = [f"{where} {visible(found[0])} ({found[1]:z.2f})" for where, found in near if found]
    lines.append(f"    neighbours: {', '.join(told) or 'none'}")
    lines.append(f"    mean above the controls {_names(place.passed)}; not above {_names(place.not_passed)}")
    lines += [f"    {_against(name, difference)}" for name, difference in place.against.items()]
    return "\n".join(lines)


def _names(names: Sequence[str]) -> str:
    return ", ".join(map(visible, names)) or "-"


def _against(name: str, difference: "Difference") -> str:
    if difference.interval is None:
        return f"minus {visible(name)}: {difference.value:+z.2f}, without an interval"
    low, high = difference.interval
    verdict = "surely higher" if low > 0 else "surely lower" if high < 0 else "not surely different"
    return f"minus {visible(name)}: {difference.value:+z.2f} ({low:z.2f} to {high:z.2f}), {verdict}"


def aggregates_text(rows: "Sequence[Aggregate]") -> str:
    """Return means over networks as text, a table for each board."""
    parts = []
    for of_board in grouped(rows, key=lambda row: row.board).values():
        first = of_board[0]
        size = "" if first.layers == "10 or more" else ", fewer than ten layers"
        title = (
            f"{first.dataset}, {first.split}{size}: Spearman correlation with the true area, mean of "
            f"{number_of(first.networks, 'network')} of {number_of(first.families, 'family', 'families')}"
        )
        header = ["criterion", "submission", "track", "mean", "95 % interval"]
        cells = [
            [row.criterion, row.submission or "-", row.track, f"{row.mean:z.2f}", _ends(row.low, row.high)]
            for row in of_board
        ]
        parts.append(f"{title}\n\n{table(header, cells)}")
    return "\n\n".join(parts)


def _ends(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{low:z.2f} to {high:z.2f}"


def _cells(row: "BoardRow", board: "Board") -> list[str]:
    """Return a row of a board as text."""
    return [
        visible(row.criterion),
        "not ranked" if row.value is None else f"{row.value:z.2f}" + "*" * bool(row.n_undefined),
        *(_uncertainty(row) if board.has_intervals else ()),
        *(f"{row.by_network[name]:z.2f}" if name in row.by_network else "-" for name in board.families),
    ]


def _uncertainty(row: "BoardRow") -> tuple[str, str]:
    """Return a row's interval and ranks as text."""
    interval = "-" if row.interval is None else f"{row.interval[0]:z.2f} to {row.interval[1]:z.2f}"
    return interval, "-" if row.ranks is None else f"{row.ranks[0]} to {row.ranks[1]}"
