"""Results -> boards: one number a criterion, averaged over variants, perturbations, networks and families; no I/O.

With six families or more a board also has intervals, rank intervals, and the comparisons that were declared before any
result was seen: every criterion that is no control against ``parameters``, and on test networks also against the winner
among them on the validation networks of the same dataset, all corrected together.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

import numpy as np
import pyarrow as pa

from safer_bench import controls
from safer_bench.aggregation import MIN_LAYERS, by_family, by_network
from safer_bench.bootstrap import MIN_FAMILIES, intervals, rank_intervals, simultaneous_intervals
from safer_bench.errors import BadInput
from safer_bench.scope import Facts, Scope, in_scope, read_facts, reliable, result_rows
from safer_bench.score_table import TRACKS

Entry = tuple[str, str]  # (criterion, track)
BASELINE = ("parameters", "blind")


@dataclass(frozen=True, slots=True)
class Difference:
    """A criterion's mean minus another's, with the interval that holds for all differences of the board at once."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class BoardRow:
    """One criterion on one board.

    Attributes:
        criterion: its name.
        track: what it sees.
        value: mean over families; None where it did not score every network and perturbation.
        by_network: mean over perturbations for each network it scored.
        by_family: mean over networks for each family it scored.
        n_undefined: cells without a value (a constant score or truth), counted as 0.
        n_cells: all cells.
        interval: 95 % interval of ``value``; None where too few families support one.
        ranks: best and worst rank within the track that the data allow; None likewise, and for replicates.
        against: ``{criterion: difference}``, the declared comparisons; empty likewise.
    """

    criterion: str
    track: str
    value: float | None
    by_network: dict[str, float]
    by_family: dict[str, float]
    n_undefined: int
    n_cells: int
    interval: tuple[float, float] | None = None
    ranks: tuple[int, int] | None = None
    against: dict[str, Difference] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Board:
    """One board: a dataset, a split, a metric, a size class of networks, and the cells of a scope.

    Attributes:
        dataset, split, metric: what it is about.
        headline: its networks have ten layers or more.
        families: family of each network.
        rows: by track, within it by falling value, unranked ones last.
        ceiling: what the noise-free truth would reach, averaged like a criterion.
        gate: reliability that its cells reach; 0: all.
        n_cells: networks under perturbations that it averages.
        n_left_out: those whose reliability is under the gate.
    """

    dataset: str
    split: str
    metric: str
    headline: bool
    families: dict[str, str]
    rows: tuple[BoardRow, ...]
    ceiling: BoardRow
    gate: float = 0.0
    n_cells: int = 0
    n_left_out: int = 0

    @property
    def has_intervals(self) -> bool:
        """Whether there are families enough for intervals and ranks."""
        return len(set(self.families.values())) >= MIN_FAMILIES

    @property
    def note(self) -> str:
        """What the board can and cannot tell."""
        n_families, n_networks = len(set(self.families.values())), len(self.families)
        if self.has_intervals:
            return (
                f"{n_networks} networks of {n_families} families. Intervals: 95 %, each by itself. Ranks within a track and "
                f"differences: 95 % for all at once.{self._gated}"
            )
        return (
            f"{n_networks} network{'s' * (n_networks > 1)} of {n_families} famil{'ies' if n_families > 1 else 'y'}: too few "
            f"for an interval (at least {MIN_FAMILIES} families), so the order of the rows is no ranking of "
            f"criteria.{self._gated}"
        )

    @property
    def _gated(self) -> str:
        if self.gate <= 0.0:
            return ""
        return (
            f" {self.n_left_out} of {self.n_cells + self.n_left_out} cells (network, perturbation) are left out: their "
            f"reliability is under {self.gate:g} or unknown."
        )


def boards(
    results: pa.Table,
    truth: Mapping[str, pa.Table],
    metric: str = "spearman",
    *,
    perturbation_family: str | None = None,
    perturbation: str | None = None,
    level_rank: int | None = None,
    gate: float = 0.0,
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

    Raises:
        BadInput: a gate without the table ``cells``, or a level rank that no perturbation has.
    """
    if gate > 0.0 and "cells" not in truth:
        raise BadInput(f"gate {gate:g}: the truth has no table 'cells', which holds reliabilities; give the whole truth")
    facts = read_facts(truth)
    scope = Scope(metric, perturbation_family, perturbation, level_rank, gate)
    return boards_of(result_rows(results, facts, metric, level_rank), facts, scope)


def boards_of(rows: Sequence[dict[str, Any]], facts: Facts, scope: Scope) -> tuple[Board, ...]:
    """Return the boards of a scope from rows that were read before.

    Args:
        rows: what ``result_rows`` returns for the scope's metric and level rank.
        facts: of the truth.
        scope: which of them.
    """
    groups: dict[tuple[str, str, bool], list[dict[str, Any]]] = {}
    for row in in_scope(rows, facts, scope):
        groups.setdefault(_group(row), []).append(row)
    found = []
    for key in sorted(groups, key=lambda key: (key[0], key[1], not key[2])):
        chosen = list(reliable(groups[key], facts, scope.gate))
        if chosen:
            found.append(_board(key, chosen, facts, scope, _n_cells(groups[key])))
    if not scope.statistics:
        return tuple(found)
    winners = {board.dataset: _winner(board) for board in found if board.split == "validation" and board.headline}
    return tuple(
        replace(board, rows=_with_intervals(board, winners.get(board.dataset))) if board.has_intervals else board
        for board in found
    )


def _board(
    key: tuple[str, str, bool], rows: Sequence[Mapping[str, Any]], facts: Facts, scope: Scope, n_ungated: int
) -> Board:
    dataset, split, headline = key
    families = {name: facts.families[name] for name in sorted({row["network"] for row in rows})}
    ceilings, n_cells = _ceilings(rows), _n_cells(rows)
    ceiling = _row(("ceiling", ""), ceilings, families, facts.kinds, len(ceilings))
    found = _rows(rows, families, facts.kinds)
    return Board(dataset, split, scope.metric, headline, families, found, ceiling, scope.gate, n_cells, n_ungated - n_cells)


def _n_cells(rows: Sequence[Mapping[str, Any]]) -> int:
    return len({(row["network"], row["perturbation"]) for row in rows})


def _group(row: Mapping[str, Any]) -> tuple[str, str, bool]:
    return row["dataset"], row["split"], row["n_layers"] >= MIN_LAYERS


def _rows(
    results: Sequence[Mapping[str, Any]], families: Mapping[str, str], family_of: Mapping[str, str]
) -> tuple[BoardRow, ...]:
    groups: dict[Entry, list[Mapping[str, Any]]] = {}
    for row in results:
        groups.setdefault((row["criterion"], row["track"]), []).append(row)
    n_cells = _n_cells(results)
    rows = [_row(key, chosen, families, family_of, n_cells) for key, chosen in groups.items()]
    return tuple(
        sorted(rows, key=lambda row: (TRACKS.index(row.track), row.value is None, -(row.value or 0.0), row.criterion))
    )


def _ceilings(results: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return one row a cell whose value is the cell's ceiling; cells without one are left out."""
    with_ceiling = [row for row in results if row["ceiling"] is not None]
    return list({(row["network"], row["perturbation"]): {**row, "value": row["ceiling"]} for row in with_ceiling}.values())


def _row(
    entry: Entry,
    results: Sequence[Mapping[str, Any]],
    families: Mapping[str, str],
    family_of: Mapping[str, str],
    n_cells: int,
) -> BoardRow:
    network_means = by_network(results, family_of)
    means = by_family(network_means, families)
    value = fmean(means.values()) if len(results) == n_cells and means else None
    n_undefined = sum(row["value"] is None for row in results)
    return BoardRow(*entry, value, network_means, means, n_undefined, len(results))


def _winner(board: Board) -> Entry | None:
    """Return the highest criterion of a board that is no control; the first by name among equals."""
    ranked = [row for row in board.rows if row.value is not None and row.criterion not in controls.CONTROLS]
    best = min(ranked, key=lambda row: (-(row.value or 0.0), row.criterion), default=None)
    return (best.criterion, best.track) if best else None


def _with_intervals(board: Board, winner: Entry | None) -> tuple[BoardRow, ...]:
    """Return the rows of a board with enough families, with all that they support."""
    ranked = {(row.criterion, row.track): row for row in board.rows if row.value is not None}
    if not ranked:
        return board.rows
    low, high = _rounded(*intervals(_values(ranked.values())))
    found = {entry: replace(ranked[entry], interval=(low[i], high[i])) for i, entry in enumerate(ranked)}
    for track in TRACKS:
        rivals = [entry for entry in ranked if entry[1] == track and entry[0] not in controls.REPLICATES]
        if rivals:
            best, worst = rank_intervals(_values(ranked[entry] for entry in rivals))
            for entry, ranks in zip(rivals, zip(best.tolist(), worst.tolist(), strict=True), strict=True):
                found[entry] = replace(found[entry], ranks=ranks)
    for entry, against in _declared_comparisons(ranked, winner if board.split == "test" else None).items():
        found[entry] = replace(found[entry], against=against)
    return tuple(found.get((row.criterion, row.track), row) for row in board.rows)


def _declared_comparisons(ranked: Mapping[Entry, BoardRow], winner: Entry | None) -> dict[Entry, dict[str, Difference]]:
    pairs = [
        (entry, other)
        for entry in ranked
        for other in dict.fromkeys((BASELINE, winner))
        if other and entry[0] not in controls.CONTROLS and other in ranked and other != entry
    ]
    if not pairs:
        return {}
    first, second = (_values(ranked[pair[side]] for pair in pairs) for side in (0, 1))
    means, (low, high) = (first - second).mean(1), _rounded(*simultaneous_intervals(first - second))
    found: dict[Entry, dict[str, Difference]] = {}
    for i, (entry, other) in enumerate(pairs):
        found.setdefault(entry, {})[other[0]] = Difference(float(means[i]), low[i], high[i])
    return found


def _values(rows: Iterable[BoardRow]) -> np.ndarray:
    """Return the family means ``(n_rows, n_families)``."""
    return np.array([list(row.by_family.values()) for row in rows])


def _rounded(*ends: np.ndarray) -> tuple[list[float], ...]:
    """Return plain numbers without the last digits, which are the machine's."""
    return tuple([round(value, 6) for value in end.tolist()] for end in ends)
