"""Where criteria stand on boards: their neighbours, and the controls that they pass; no I/O."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from safer_bench.evaluation.board import Board, BoardRow, Difference
from safer_bench.tables.controls import CONTROLS, REPLICATES

TOP = 5  # criteria of each track that an excerpt shows


@dataclass(frozen=True, slots=True)
class Place:
    """Where one criterion stands on one board.

    Attributes:
        criterion, track: of the row.
        dataset, split: of the board.
        networks, families: how many the board has.
        value: mean over families; None where it did not score all of the board.
        interval, ranks: 95 % interval of the mean, best and worst rank within the track; None as in ``BoardRow``.
        n_ranked: rows of its track that have a mean; half measurements are not among them.
        n_cells, n_all_cells: networks under perturbations that it scored, and those of the board.
        above, below: the nearest rows of its track by mean, ``(criterion, mean)``; None at either end.
        passed, not_passed: controls of any track with a lower mean, and the others.
        against: the declared comparisons, as in ``BoardRow``.
    """

    criterion: str
    track: str
    dataset: str
    split: str
    networks: int
    families: int
    value: float | None
    interval: tuple[float, float] | None
    ranks: tuple[int, int] | None
    n_ranked: int
    n_cells: int
    n_all_cells: int
    above: tuple[str, float] | None
    below: tuple[str, float] | None
    passed: tuple[str, ...]
    not_passed: tuple[str, ...]
    against: dict[str, Difference]


def places(boards: Sequence[Board], criteria: Collection[str]) -> list[Place]:
    """Return where criteria stand, criterion by criterion; boards that have intervals come first.

    Args:
        boards: of one metric.
        criteria: names, in the order of the result; those that a board does not show have no place on it.
    """
    in_order = sorted(boards, key=lambda board: not board.has_intervals)
    rows = [(board, board.rows) for board in in_order]
    return [
        _place(row, board, of_board)
        for name in criteria
        for board, of_board in rows
        for row in of_board
        if row.criterion == name
    ]


def _place(row: BoardRow, board: Board, rows: Sequence[BoardRow]) -> Place:
    ranked = [each for each in rows if each.value is not None and not each.reported]
    rivals = [each for each in ranked if each.track == row.track and each.criterion not in REPLICATES]
    at = rivals.index(row) if row in rivals else None
    controls = [each for each in rows if each.criterion in CONTROLS and each.value is not None and each is not row]
    passed = {each.criterion for each in controls if row.value is not None and (each.value or 0.0) < row.value}
    return Place(
        criterion=row.criterion,
        track=row.track,
        dataset=board.dataset,
        split=board.split,
        networks=len(board.families),
        families=len(set(board.families.values())),
        value=row.value,
        interval=row.interval,
        ranks=row.ranks,
        n_ranked=len(rivals),
        n_cells=row.n_cells,
        n_all_cells=board.n_cells,
        above=_named(rivals[at - 1]) if at else None,
        below=_named(rivals[at + 1]) if at is not None and at + 1 < len(rivals) else None,
        passed=tuple(each.criterion for each in controls if each.criterion in passed),
        not_passed=tuple(each.criterion for each in controls if each.criterion not in passed),
        against=row.against,
    )


def _named(row: BoardRow) -> tuple[str, float]:
    return row.criterion, row.value or 0.0


def excerpt(board: Board, own: Collection[str] = ()) -> list[BoardRow]:
    """Return the rows of a board that are its controls, the ``TOP`` highest others of each track, or one's own."""
    shown, n_of_track = [], dict.fromkeys(board.tracks, 0)
    for row in board.rows:
        is_top = row.value is not None and not row.reported and row.criterion not in CONTROLS
        n_of_track[row.track] += is_top
        if row.criterion in (*CONTROLS, *own) or (is_top and n_of_track[row.track] <= TOP):
            shown.append(row)
    return shown
