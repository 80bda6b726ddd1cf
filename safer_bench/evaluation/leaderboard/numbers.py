"""Results -> the numbers of every board that the page can show, as plain lists for JSON; no I/O.

Values are integers in thousandths, null where there is none: a page of 300 criteria has to stay small.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite, isnan
from typing import Any

import numpy as np
import pyarrow as pa

from safer_bench.evaluation.board import Board, Entry
from safer_bench.evaluation.boards import boards_of
from safer_bench.evaluation.cell_values import CellValues, read_values
from safer_bench.evaluation.scope import GATES, Scope, at_rank
from safer_bench.registry import TRACKS
from safer_bench.tables import schema
from safer_bench.tables.facts import Cell, TruthFacts

Json = dict[str, Any]
BoardsOf = Callable[..., tuple[Board, ...]]  # of values and a scope
Group = tuple[str, str, bool]  # (dataset, split, ten layers or more)
UNDEFINED = "u"  # a cell without a value, which counts as 0; null is a cell that was not scored


@dataclass(frozen=True, slots=True)
class Tables:
    """All that the page shows of boards.

    Attributes:
        headline: the boards over all use cases in area by Spearman, with everything.
        by_case: those of each use case; None: ``headline``.
        areas: ``{(metric, group): board}``, the boards over all use cases in area, ungated, by every metric.
        numbers: ``{group: {key: table}}``; a key is "metric.place.summary.gate", each a position in its list.
        notes: what boards can tell, named by number in the tables.
        places: (use case, perturbation), each or both None: which perturbations a table is of.
        values: of single networks in area by Spearman.
    """

    headline: tuple[Board, ...]
    by_case: dict[str | None, tuple[Board, ...]]
    areas: dict[tuple[str, Group], Board]
    numbers: dict[Group, Json]
    notes: list[str]
    places: list[tuple[str | None, str | None]]
    values: CellValues


def thousandths(value: float | None) -> int | None:
    """Return a number in thousandths, such that its two decimals, halves rounded up, are those of the number itself.

    >>> [thousandths(value) for value in (0.6746, 0.6752, -0.125, 0.1, -1e-9)]
    [674, 675, -124, 100, 0]
    """
    if value is None:
        return None
    size = round(abs(value) * 1000.0)
    if size % 10 == 5 and (size + 5) // 10 > round(round(abs(value), 2) * 100.0):
        size -= 1  # else 0.6746 would be shown as 0.68
    return size if value > 0 else -size


def group_of(board: Board) -> Group:
    """Return what tells a board from others of its scope."""
    return board.dataset, board.split, board.headline


def make_places(facts: TruthFacts) -> list[tuple[str | None, str | None]]:
    """Return all use cases, each of them, and each perturbation that is not the whole of its own."""
    members = Counter(filter(None, facts.use_cases.values()))
    single = [(case or None, name) for name, case in sorted(facts.use_cases.items()) if members[case] != 1]
    return [(None, None), *((case, None) for case in sorted(members)), *single]


def make_tables(
    results: pa.Table,
    facts: TruthFacts,
    halves: Mapping[Cell, np.ndarray] | None = None,
    reported: frozenset[str] = frozenset(),
) -> Tables:
    """Return the numbers of the declared boards, and plain values of many others; the rest is in results.parquet.

    Declared, with intervals and ranks: Spearman in area over all use cases or one at the three gates, and of single
    perturbations; Spearman at each rank of levels, and every other metric in area, over all use cases at the three gates.
    Values alone: Spearman of a use case at levels, and every other metric of one. Reported criteria are not ranked.
    """
    spearman, *others = schema.METRIC_NAMES
    everything = Scope(spearman, reported=reported)
    by_metric = read_values(results)
    values = at_rank(by_metric[spearman], facts)
    of_scope = partial(boards_of, facts=facts, halves=halves)
    headline = of_scope(values, scope=everything)
    tables = Tables(headline, {None: headline}, {}, {}, [], make_places(facts), values)
    for p, (case, perturbation) in enumerate(tables.places):
        gates = len(GATES) if perturbation is None else 1
        scope = replace(everything, use_case=case, perturbation=perturbation)
        _add_gates(tables, values, of_scope, f"0.{p}.0", scope, gates)
    for m, metric in enumerate(others, start=1):
        of_metric = at_rank(by_metric[metric], facts)
        _add_summary(tables, of_metric, of_scope, f"{m}.{{}}.0", replace(everything, metric=metric))
    for rank in range(1, 1 + facts.deepest):
        of_rank = at_rank(by_metric[spearman], facts, rank)
        _add_summary(tables, of_rank, of_scope, f"0.{{}}.{rank}", replace(everything, level_rank=rank))
    return tables


def _add_summary(tables: Tables, values: CellValues, of_scope: BoardsOf, key: str, scope: Scope) -> None:
    """Add all use cases with everything, and single ones with values alone; ``key`` has a gap for the place."""
    for p, (case, perturbation) in enumerate(tables.places):
        if case is None and perturbation is None:
            _add_gates(tables, values, of_scope, key.format(p), scope, len(GATES))
        elif perturbation is None:
            only = replace(scope, use_case=case, statistics=False)
            _add_gates(tables, values, of_scope, key.format(p), only, 1)


def _add_gates(tables: Tables, values: CellValues, of_scope: BoardsOf, key: str, scope: Scope, n_gates: int) -> None:
    everything = Scope(reported=scope.reported)
    for g, gate in enumerate(GATES[:n_gates]):
        gated = replace(scope, gate=gate)
        boards = tables.headline if gated == everything else of_scope(values, scope=gated)
        if gated == replace(everything, use_case=scope.use_case):
            tables.by_case[scope.use_case] = boards
        _add(tables, f"{key}.{g}", boards, whole=gated == replace(everything, metric=scope.metric))


def _add(tables: Tables, key: str, boards: Sequence[Board], *, whole: bool) -> None:
    """Add boards of a scope; ``whole``: over all use cases in area, ungated."""
    entries = {group_of(board): entries_of(board) for board in tables.headline}
    for board in boards:
        group = group_of(board)
        if group in entries:  # all groups but those without any area
            if board.note not in tables.notes:
                tables.notes.append(board.note)
            table = _table(board, entries[group], tables.notes.index(board.note))
            if whole:
                tables.areas[board.metric, group] = board
                table["n"] = _by_network(board, entries[group])
            tables.numbers.setdefault(group, {})[key] = table


def entries_of(board: Board) -> list[Entry]:
    """Return the criteria of a board with their tracks, in its order."""
    return board.standings.entries


def _table(board: Board, entries: Sequence[Entry], note: int) -> Json:
    found = board.standings
    at = _places(board, entries)
    table: Json = {"v": _shown_at(found.values, at), "t": note}
    undefined = {i: int(found.n_undefined[j]) for i, j in enumerate(at) if j is not None and found.n_undefined[j]}
    if undefined:
        table["u"] = undefined
    tracks = board.tracks
    ceilings = {track: thousandths(board.ceilings[track].value) for track in TRACKS if track in tracks}
    notes = {track: board.ceiling_note(track) for track in ceilings}
    for key, of_tracks in (("c", ceilings), ("o", notes)):
        if there := {track: each for track, each in of_tracks.items() if each not in (None, "")}:
            table[key] = there
    if np.isfinite(found.intervals).any():
        table["l"], table["h"] = (_shown_at(found.intervals[:, side], at) for side in (0, 1))
        ranks = found.ranks.tolist()
        table["a"], table["b"] = ([None if j is None else ranks[j][side] or None for j in at] for side in (0, 1))
    return table


def _places(board: Board, entries: Sequence[Entry]) -> list[int | None]:
    """Return the rows of criteria on a board; None where one has none."""
    place = {entry: i for i, entry in enumerate(entries_of(board))}
    return [place.get(entry) for entry in entries]


def _shown_at(values: np.ndarray, places: Sequence[int | None]) -> list[int | None]:
    shown = [None if isnan(value) else thousandths(value) for value in values.tolist()]
    return [None if place is None else shown[place] for place in places]


def _by_network(board: Board, entries: Sequence[Entry]) -> list[list[int | None]]:
    columns = [_shown_at(of_one, _places(board, entries)) for of_one in board.standings.by_network.T]
    return [list(row) for row in zip(*columns, strict=True)]


def make_cells(values: CellValues, facts: TruthFacts, board: Board) -> list[list[int | str | None]]:
    """Return each criterion's values on a board: networks x perturbations, one network after another.

    Args:
        values: of single networks by one metric, in area.
        facts: of the truth.
        board: names the criteria and the networks.
    """
    columns = {(cell.network, cell.perturbation): i for i, cell in enumerate(values.cells)}
    wanted = [columns.get((network, perturbation)) for network in board.families for perturbation in facts.use_cases]
    row_of = {entry: i for i, entry in enumerate(values.entries)}
    rows = [row_of[entry] for entry in entries_of(board)]
    return [[None if column is None else _shown(values, row, column) for column in wanted] for row in rows]


def _shown(values: CellValues, row: int, column: int) -> int | str | None:
    if not values.known[row, column]:
        return None
    value = float(values.values[row, column])
    return thousandths(value) if isfinite(value) else UNDEFINED
