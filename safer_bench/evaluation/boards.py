"""Results -> boards: one number a criterion, averaged over variants, perturbations, networks and families; no I/O.

With six families or more a board also has intervals, rank intervals, and the comparisons that were declared before any
result was seen: every criterion that is no control against ``parameters``, and on test networks also against the winner
among them on the validation networks of the same dataset, all corrected together.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from safer_bench.errors import BadInput
from safer_bench.evaluation.aggregation import MIN_LAYERS, Cells, averaged, group_weights
from safer_bench.evaluation.board import Board, BoardRow, Difference, Entry
from safer_bench.evaluation.bootstrap import intervals, rank_intervals, simultaneous_intervals
from safer_bench.evaluation.cell_values import CellValues, read_values
from safer_bench.evaluation.scope import Scope, at_rank, in_scope, reliable
from safer_bench.registry import TRACKS, look_up, suggestion
from safer_bench.tables import controls
from safer_bench.tables.facts import TruthFacts, read_facts
from safer_bench.tables.grouping import grouped
from safer_bench.tables.schema import METRIC_NAMES

Array = np.ndarray
BASELINE = ("parameters", "blind")


def boards(
    results: pa.Table,
    truth: Mapping[str, pa.Table],
    metric: str = "spearman",
    *,
    perturbation_family: str | None = None,
    perturbation: str | None = None,
    level_rank: int | None = None,
    gate: float = 0.0,
    reported: Collection[str] = (),
) -> tuple[Board, ...]:
    """Return one board for each dataset, split and size class; datasets are never pooled.

    Args:
        results: what ``evaluate`` returns.
        truth: tables ``networks``, ``perturbations`` and, for a gate, ``cells``.
        metric: name of a metric.
        perturbation_family: only perturbations of this family; by default all.
        perturbation: only this perturbation; by default all.
        level_rank: 1 (mildest) and up: one level of each perturbation; by default the areas over all levels.
        gate: only cells of at least this reliability; by default all.
        reported: criteria whose scores are their authors' word alone: shown after the others, and not ranked.

    Raises:
        UnknownName: no metric or perturbation of the truth has that name.
        BadInput: a gate without the table ``cells``, or a family or level rank that no perturbation has.
    """
    look_up(dict.fromkeys(METRIC_NAMES), metric, "metric")
    if gate > 0.0 and "cells" not in truth:
        raise BadInput(f"gate {gate:g}: the truth has no table 'cells', which holds reliabilities; give the whole truth")
    facts = read_facts(truth)
    if perturbation is not None:
        look_up(facts.perturbation_families, perturbation, "perturbation")
    if perturbation_family is not None and perturbation_family not in facts.perturbation_families.values():
        known = sorted(set(facts.perturbation_families.values()))
        raise BadInput(
            f"no perturbation is of family {perturbation_family!r}.{suggestion(perturbation_family, known)} The families: "
            f"{', '.join(known)}"
        )
    scope = Scope(metric, perturbation_family, perturbation, level_rank, gate, reported=frozenset(reported))
    return boards_of(at_rank(read_values(results)[metric], facts, level_rank), facts, scope)


def boards_of(values: CellValues, facts: TruthFacts, scope: Scope) -> tuple[Board, ...]:
    """Return the boards of a scope from values that were read before.

    Args:
        values: what ``at_rank`` returns for the scope's metric and level rank.
        facts: of the truth.
        scope: which of them.
    """
    inside = in_scope(facts, scope, values.cells)
    passed = inside & reliable(facts, scope.gate, values.cells)
    groups = [(cell.dataset, cell.split, cell.n_layers >= MIN_LAYERS) for cell in values.cells]
    made = []
    for key in sorted(set(groups), key=lambda key: (key[0], key[1], not key[2])):
        mine = np.array([group == key for group in groups])
        if (mine & passed).any():
            made.append(_board(key, values.part(mine & passed), facts, scope, int((mine & inside).sum())))
    if not scope.statistics:
        return tuple(made)
    winners = {board.dataset: _winner(board) for board in made if board.split == "validation" and board.headline}
    return tuple(
        replace(board, rows=_with_intervals(board, winners.get(board.dataset))) if board.has_intervals else board
        for board in made
    )


def _board(key: tuple[str, str, bool], values: CellValues, facts: TruthFacts, scope: Scope, n_ungated: int) -> Board:
    dataset, split, headline = key
    cells = values.numbers(facts)
    families = {name: cells.families[family] for name, family in zip(cells.networks, cells.family.tolist(), strict=True)}
    rows = _rows(values.entries, values.values, values.known, values.limits, cells, scope.reported)
    stated, n_cells = np.isfinite(values.ceilings), len(values.cells)
    no_limits, every = np.zeros((2, 1, int(stated.sum()))), stated[None, stated]
    (ceiling,) = _rows([("ceiling", "")], values.ceilings[None, stated], every, no_limits, cells.part(stated))
    if 2 * ceiling.n_cells < n_cells:  # of other cells than the criteria's means, it would bound none of them
        ceiling = replace(ceiling, value=None, by_network={}, by_family={})
    ordered = tuple(sorted(rows, key=_place))
    n_left_out = n_ungated - n_cells
    return Board(dataset, split, scope.metric, headline, families, ordered, ceiling, scope.gate, n_cells, n_left_out)


def _place(row: BoardRow) -> tuple[bool, int, bool, float, str]:
    """Return what rows are sorted by."""
    return row.reported, TRACKS.index(row.track), row.value is None, -round(row.value or 0.0, 9), row.criterion


def _rows(
    entries: Sequence[Entry], values: Array, known: Array, limits: Array, cells: Cells, reported: Collection[str] = ()
) -> list[BoardRow]:
    """Average what criteria reached in the cells that they scored.

    Arrays are ``(n_entries, n_cells)``, limits two of these.
    """
    rows = []
    for alike in grouped(range(len(entries)), key=lambda i: known[i].tobytes()).values():
        scored = known[alike[0]]
        part = values[alike][:, scored], limits[:, alike][:, :, scored], cells.part(scored)
        rows += _rows_of_alike(
            [entries[i] for i in alike], *part, whole=bool(scored.size and scored.all()), reported=reported
        )
    return rows


def _rows_of_alike(
    entries: Sequence[Entry], values: Array, limits: Array, cells: Cells, *, whole: bool, reported: Collection[str]
) -> list[BoardRow]:
    """Return the rows of criteria that scored the same cells, these; ``whole``: they are the whole board."""
    numbers = np.where(np.isfinite(values), values, 0.0)
    by_network, by_family = group_weights(cells, np.arange(len(cells.networks))), group_weights(cells, cells.family)
    networks = [cells.networks[i] for i in np.unique(cells.network)]
    families = [cells.families[i] for i in np.unique(cells.family[cells.network])]
    of_families = averaged(by_family, numbers)
    columns = (
        *(of_families.mean(axis=1), averaged(by_network, numbers), of_families),
        *(averaged(by_family, limits).swapaxes(0, 1), np.isnan(values).sum(axis=1)),
    )
    return [
        BoardRow(
            *entry,
            value=mean if whole else None,
            by_network=dict(zip(networks, means, strict=True)),
            by_family=dict(zip(families, family_means, strict=True)),
            limits=(lowest, highest),
            n_undefined=undefined,
            n_cells=values.shape[1],
            reported=entry[0] in reported,
        )
        for entry, mean, means, family_means, (lowest, highest), undefined in zip(
            entries, *(column.tolist() for column in columns), strict=True
        )
    ]


def _is_ranked(row: BoardRow) -> bool:
    return row.value is not None and not row.reported


def _winner(board: Board) -> Entry | None:
    """Return the highest criterion of a board that is no control; the first by name among equals."""
    ranked = [row for row in board.rows if _is_ranked(row) and row.criterion not in controls.CONTROLS]
    best = min(ranked, key=lambda row: (-round(row.value or 0.0, 9), row.criterion), default=None)
    return (best.criterion, best.track) if best else None


def _with_intervals(board: Board, winner: Entry | None) -> tuple[BoardRow, ...]:
    """Return the rows of a board with enough families, with all that they support."""
    ranked = {(row.criterion, row.track): row for row in board.rows if _is_ranked(row)}
    if not ranked:
        return board.rows
    ends = _pairs(*intervals(_values(ranked.values()), _limits(ranked.values())))
    full = {entry: replace(ranked[entry], interval=interval) for entry, interval in zip(ranked, ends, strict=True)}
    for track in TRACKS:
        rivals = [entry for entry in ranked if entry[1] == track and entry[0] not in controls.REPLICATES]
        if rivals:
            best, worst = rank_intervals(_values(ranked[entry] for entry in rivals))
            for entry, ranks in zip(rivals, zip(best.tolist(), worst.tolist(), strict=True), strict=True):
                full[entry] = replace(full[entry], ranks=ranks)
    for entry, against in _declared_comparisons(ranked, winner if board.split == "test" else None).items():
        full[entry] = replace(full[entry], against=against)
    return tuple(full.get((row.criterion, row.track), row) for row in board.rows)


def _declared_comparisons(ranked: Mapping[Entry, BoardRow], winner: Entry | None) -> dict[Entry, dict[str, Difference]]:
    pairs = [
        (entry, other)
        for entry in ranked
        for other in dict.fromkeys((BASELINE, winner))
        if other and entry[0] not in controls.CONTROLS and other in ranked and other != entry
    ]
    if not pairs:
        return {}
    first, second = ([ranked[pair[side]] for pair in pairs] for side in (0, 1))
    differences = _values(first) - _values(second)
    (lowest, highest), (least, most) = _limits(first), _limits(second)
    ends = _pairs(*simultaneous_intervals(differences, (lowest - most, highest - least)))
    declared: dict[Entry, dict[str, Difference]] = {}
    for (entry, other), mean, interval in zip(pairs, differences.mean(1).tolist(), ends, strict=True):
        declared.setdefault(entry, {})[other[0]] = Difference(mean, interval)
    return declared


def _values(rows: Iterable[BoardRow]) -> Array:
    """Return the family means ``(n_rows, n_families)``."""
    return np.array([list(row.by_family.values()) for row in rows])


def _limits(rows: Iterable[BoardRow]) -> tuple[Array, Array]:
    """Return the least and the greatest possible family means, ``(n_rows, n_families)`` each."""
    lowest, highest = np.array([row.limits for row in rows]).swapaxes(0, 1)
    return lowest, highest


def _pairs(low: Array, high: Array) -> list[tuple[float, float] | None]:
    """Return the ends of intervals; None where there is none."""
    return [None if math.isnan(pair[0]) else pair for pair in zip(low.tolist(), high.tolist(), strict=True)]
