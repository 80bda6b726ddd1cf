"""Criteria that are chosen on validation networks, and what they reach on others."""

from collections.abc import Callable, Collection

from safer_bench.evaluation.board import Board, BoardRow, Entry
from safer_bench.evaluation.standings import DIGITS


def row_of(board: Board, criterion: str) -> BoardRow | None:
    """Return a criterion's row; None where it did not score every network of the board."""
    return next((row for row in board.rows if row.criterion == criterion and row.value is not None), None)


def best(validation: Board | None, wanted: Callable[[Entry], bool], test: Board) -> str | None:
    """Return the criterion that is best on validation networks of those that are wanted; None where there is none.

    Args:
        validation: their board.
        wanted: tells of (criterion, track); controls never are.
        test: where it is to be judged: it has to be there too.
    """
    rows = candidates(validation, wanted) if validation else []
    there = {row.criterion for row in test.rows if row.value is not None}
    return next((row.criterion for row in rows if row.criterion in there), None)  # the highest of a track comes first


def candidates(board: Board, wanted: Callable[[Entry], bool]) -> list[BoardRow]:
    """Return the rows of a board's criteria that are wanted, highest first."""
    rows = (row for row in board.criteria if wanted((row.criterion, row.track)))
    return sorted(rows, key=lambda row: -round(row.value or 0.0, DIGITS))


def is_blind(entry: Entry) -> bool:
    """Tell whether a criterion does not see the perturbation."""
    return entry[1] == "blind"


def is_aware(entry: Entry) -> bool:
    """Tell whether a criterion sees the perturbation."""
    return entry[1] != "blind"


def listed(names: Collection[str], none: str = "none") -> str:
    """Return names as a sentence has them.

    >>> listed(["pruning", "removal", "int8 faults"]), listed([])
    ('pruning, removal and int8 faults', 'none')
    """
    *first, last = names or [none]
    return f"{', '.join(first)} and {last}" if first else last
