"""Boards -> what may be told of a truth that stays secret: means over networks and families, to two digits; no I/O."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from io import StringIO

from safer_bench.evaluation.board import Board
from safer_bench.registry import TRACKS

MIN_NETWORKS = 3  # of a board: the mean of one is its value, and who knows one of two subtracts it
DIGITS = 2  # finer ones would tell networks apart in the difference of two means


@dataclass(frozen=True, slots=True)
class Aggregate:
    """What a criterion reached on one board.

    Attributes:
        dataset, split: of the board's networks.
        layers: ``10 or more`` or ``fewer than 10``, of each of them.
        criterion, track: its name, and what it sees.
        submission: that brought it; empty of a control or criterion of the truth's own.
        mean: over families of the Spearman correlation with the true area, undefined ones counted as 0.
        low, high: ends of its 95 % interval; None where families are too few, or too nearly alike to support one.
        networks, families: how many the mean is over.
    """

    dataset: str
    split: str
    layers: str
    criterion: str
    track: str
    submission: str
    mean: float
    low: float | None
    high: float | None
    networks: int
    families: int

    @property
    def board(self) -> tuple[str, str, str]:
        """What tells its board from others."""
        return self.dataset, self.split, self.layers


def aggregates(boards: Sequence[Board], submissions: Mapping[str, str]) -> list[Aggregate]:
    """Return the means of each board of enough networks: by track, within it by falling mean as it is told, then by name.

    A criterion that did not score all of a board has no mean and is left out.

    Args:
        boards: of Spearman's correlation, in area.
        submissions: the submission of each criterion that one brought.
    """
    return [row for board in boards if len(board.families) >= MIN_NETWORKS for row in _of_board(board, submissions)]


def _of_board(board: Board, submissions: Mapping[str, str]) -> list[Aggregate]:
    found = []
    for row in board.rows:
        if row.value is not None:
            low, high = row.interval or (None, None)
            found.append(
                Aggregate(
                    dataset=board.dataset,
                    split=board.split,
                    layers="10 or more" if board.headline else "fewer than 10",
                    criterion=row.criterion,
                    track=row.track,
                    submission=submissions.get(row.criterion, ""),
                    mean=_coarse(row.value),
                    low=None if low is None else _coarse(low),
                    high=None if high is None else _coarse(high),
                    networks=len(board.families),
                    families=len(set(board.families.values())),
                )
            )
    return sorted(found, key=lambda row: (TRACKS.index(row.track), -row.mean, row.criterion))


def _coarse(value: float) -> float:
    return round(value, DIGITS) + 0.0  # no negative zero


def csv_text(rows: Sequence[Aggregate], revision: str) -> str:
    """Return aggregates as CSV; by the truth's revision, the last column, it is known again once published."""
    sink = StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow([*(field.name for field in fields(Aggregate)), "truth_revision"])
    writer.writerows([*asdict(row).values(), revision] for row in rows)
    return sink.getvalue()
