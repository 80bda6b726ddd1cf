"""What each use case is best served by: the table that the page opens with; no I/O."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import mean

from safer_bench.evaluation.board import Board, BoardRow
from safer_bench.tables.controls import LEARNED, MEASURING, SIZE_DEPTH, TRIVIAL

MEAN = "mean over use cases"
SIMPLE = (*TRIVIAL, SIZE_DEPTH)  # controls that know sizes and positions alone


@dataclass(frozen=True, slots=True)
class UseCase:
    """One line: the best of each sort on a board, by Spearman's correlation in area; None where there is none.

    Attributes:
        name: of the use case, or ``MEAN``.
        blind, aware: criteria that see nothing of the perturbation, and those that do.
        trivial: a control that knows sizes and positions alone.
        measuring: a short measurement.
        ceilings: of a blind and of an aware criterion.
        control: the trivial control that all are compared with; None where there is no comparison.
        certain: whether some blind criterion is above it, after correction for all comparisons of the board.
    """

    name: str
    blind: BoardRow | None
    aware: BoardRow | None
    trivial: BoardRow | None
    measuring: BoardRow | None
    ceilings: tuple[float | None, float | None]
    control: str | None
    certain: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """The use cases of a dataset's networks.

    Attributes:
        board: over all use cases.
        lines: one a use case, by name, and the mean over them last.
    """

    board: Board
    lines: tuple[UseCase, ...]

    @property
    def told(self) -> str:
        """One sentence of what can be told."""
        cases = [line for line in self.lines[:-1] if line.control is not None]
        certain = [line.name.replace("_", " ") for line in cases if line.certain]
        if not cases:
            return "No blind criterion is compared with a trivial control."
        better = "surely better than the trivial control that validation networks chose"
        if not certain:
            return f"In no use case is a blind criterion {better}."
        rest = "" if len(certain) == len(cases) else " In the others none is."
        return f"In {len(certain)} of {len(cases)} use cases ({', '.join(certain)}) a blind criterion is {better}.{rest}"

    @property
    def learnt(self) -> str:
        """What a learned criterion reaches; empty where none is compared with what won on other networks."""
        learned = next((row for row in self.board.criteria if row.criterion in LEARNED), None)
        winner = next((name for name in (learned.against if learned else ()) if name not in SIMPLE), None)
        ceiling = self.lines[-1].ceilings[0]
        if learned is None or winner is None or ceiling is None:
            return ""
        difference = learned.against[winner]
        ends = " ({:.2f} to {:.2f}, 95 %, corrected)".format(*difference.interval) if difference.interval else ""
        return (
            f"{learned.criterion}, learnt on validation networks, reaches {learned.value:.2f} in the mean over use cases. "
            f"One ranking for all perturbations could reach {ceiling:.2f}. The best other blind criterion on validation "
            f"networks is {winner}: the difference from it is {difference.value:.2f}{ends}."
        )

    @property
    def kinds(self) -> dict[str, int]:
        """How many of the board's families each kind has, most first; those of no kind are left out."""
        counts = Counter(kind for kind in self.board.kinds.values() if kind)
        return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))

    @property
    def by_kind(self) -> list[tuple[BoardRow, list[float]]]:
        """What the best of each sort reach over all use cases with each kind of network: means over its families."""
        last = self.lines[-1]
        rows = [row for row in (last.blind, last.aware, last.trivial, last.measuring) if row is not None]
        members = [[name for name, of in self.board.kinds.items() if of == kind] for kind in self.kinds]
        return [(row, [mean(row.by_family[name] for name in names) for names in members]) for row in rows]


def overviews(boards: Mapping[str | None, Iterable[Board]]) -> list[Overview]:
    """Return the use cases of each dataset and split with intervals, test networks first.

    Args:
        boards: by Spearman's correlation in area, ungated, of each use case; None: over all of them.
    """
    by_place = {(case, _about(board)): board for case, of_case in boards.items() for board in of_case}
    whole = [board for (case, _), board in by_place.items() if case is None and board.has_intervals]
    cases = sorted(case for case in boards if case is not None)
    made = []
    for board in sorted(whole, key=lambda board: (board.split != "test", board.dataset)):
        there = [(case, by_place[case, _about(board)]) for case in cases if (case, _about(board)) in by_place]
        made.append(Overview(board, tuple(_line(name, each) for name, each in [*there, (MEAN, board)])))
    return made


def _about(board: Board) -> tuple[str, str, bool]:
    return board.dataset, board.split, board.headline


def _line(name: str, board: Board) -> UseCase:
    criteria = board.criteria
    ranked = [row for row in board.rows if row.value is not None and not row.reported]
    return UseCase(
        name,
        blind=_best(row for row in criteria if row.track == "blind"),
        aware=_best(row for row in criteria if row.track != "blind"),
        trivial=_best(row for row in ranked if row.criterion in SIMPLE),
        measuring=_best(row for row in ranked if row.criterion in MEASURING),
        ceilings=(board.ceilings["blind"].value, board.ceilings["level_aware"].value),
        control=next((name for row in criteria if row.track == "blind" for name in row.against if name in SIMPLE), None),
        certain=any(_surely_above(row) for row in criteria if row.track == "blind"),
    )


def _best(rows: Iterable[BoardRow]) -> BoardRow | None:
    return max(rows, key=lambda row: row.value or 0.0, default=None)


def _surely_above(row: BoardRow) -> bool:
    ends = [each.interval for name, each in row.against.items() if name in SIMPLE]
    return any(interval is not None and interval[0] > 0 for interval in ends)
