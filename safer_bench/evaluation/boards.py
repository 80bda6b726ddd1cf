"""Results -> boards: one number a criterion, averaged over perturbations, use cases, networks and families; no I/O.

With six families or more a board also has intervals, rank intervals, and the comparisons that were declared before any
result was seen: every criterion that is no control against the best trivial control of the validation networks of the same
dataset, and on test networks also against the winner of its own track there, all corrected together.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from safer_bench.errors import BadInput
from safer_bench.evaluation.aggregation import MIN_LAYERS, Cells
from safer_bench.evaluation.board import Board, BoardRow, Standings
from safer_bench.evaluation.cell_values import CellValues, read_values
from safer_bench.evaluation.kinds import kinds_of
from safer_bench.evaluation.scope import Scope, at_rank, in_scope, reliable
from safer_bench.evaluation.single_ranking import ceilings as single_rankings
from safer_bench.evaluation.single_ranking import read_halves
from safer_bench.evaluation.standings import BASELINE, averages, best_trivial, winners, with_intervals
from safer_bench.registry import TRACKS, look_up, suggestion
from safer_bench.tables.facts import Cell, TruthFacts, read_facts
from safer_bench.tables.schema import METRIC_NAMES

Array = np.ndarray
SPEARMAN = METRIC_NAMES[0]


def boards(
    results: pa.Table,
    truth: Mapping[str, pa.Table],
    metric: str = "spearman",
    *,
    use_case: str | None = None,
    perturbation: str | None = None,
    level_rank: int | None = None,
    gate: float = 0.0,
    reported: Collection[str] = (),
) -> tuple[Board, ...]:
    """Return one board for each dataset, split and size class; datasets are never pooled.

    Args:
        results: what ``evaluate`` returns.
        truth: tables ``networks``, ``perturbations``, for a gate ``cells``, and for the ceiling of blind criteria
            ``layer_sensitivity`` too.
        metric: name of a metric.
        use_case: only its perturbations; by default those of all use cases.
        perturbation: only this perturbation; by default all.
        level_rank: 1 (mildest) and up: one level of each perturbation; by default the areas over all levels.
        gate: only cells of at least this reliability; by default all.
        reported: criteria whose scores are their authors' word alone: shown after the others, and not ranked.

    Raises:
        UnknownName: no metric or perturbation of the truth has that name.
        BadInput: a gate without the table ``cells``, or a use case or level rank that no perturbation has.
    """
    look_up(dict.fromkeys(METRIC_NAMES), metric, "metric")
    if gate > 0.0 and "cells" not in truth:
        raise BadInput(f"gate {gate:g}: the truth has no table 'cells', which holds reliabilities; give the whole truth")
    facts = read_facts(truth)
    if perturbation is not None:
        look_up(facts.use_cases, perturbation, "perturbation")
    if use_case is not None and use_case not in facts.use_cases.values():
        known = sorted(set(facts.use_cases.values()) - {""})
        raise BadInput(
            f"no perturbation is of use case {use_case!r}.{suggestion(use_case, known)} The use cases: {', '.join(known)}"
        )
    scope = Scope(metric, use_case, perturbation, level_rank, gate, reported=frozenset(reported))
    return boards_of(at_rank(read_values(results)[metric], facts, level_rank), facts, scope, read_halves(truth))


def boards_of(
    values: CellValues, facts: TruthFacts, scope: Scope, halves: Mapping[Cell, Array] | None = None
) -> tuple[Board, ...]:
    """Return the boards of a scope from values that were read before.

    Args:
        values: what ``at_rank`` returns for the scope's metric and level rank.
        facts: of the truth.
        scope: which of them.
        halves: what ``read_halves`` returns; without them there is no ceiling of a single ranking.
    """
    inside = in_scope(facts, scope, values.cells)
    passed = inside & reliable(facts, scope.gate, values.cells)
    groups = [(cell.dataset, cell.split, cell.n_layers >= MIN_LAYERS) for cell in values.cells]
    made = []
    for key in sorted(set(groups), key=lambda key: (key[0], key[1], not key[2])):
        mine = np.array([group == key for group in groups])
        if (mine & passed).any():
            made.append(_board(key, values.part(mine & passed), facts, scope, int((mine & inside).sum()), halves or {}))
    if not scope.statistics:
        return tuple(made)
    validation = {board.dataset: board.standings for board in made if board.split == "validation" and board.headline}
    return tuple(_with_intervals(board, validation.get(board.dataset), facts) for board in made)


def _with_intervals(board: Board, validation: Standings | None, facts: TruthFacts) -> Board:
    if not board.has_intervals:
        return board
    trivial = best_trivial(validation) if validation else BASELINE
    rivals = winners(validation) if validation and board.split == "test" else {}
    kinds = kinds_of(board.standings.families, facts)
    return replace(board, standings=with_intervals(board.standings, kinds, rivals, trivial))


def _board(
    key: tuple[str, str, bool],
    values: CellValues,
    facts: TruthFacts,
    scope: Scope,
    n_ungated: int,
    halves: Mapping[Cell, Array],
) -> Board:
    dataset, split, headline = key
    cells, n_cells = values.numbers(facts), len(values.cells)
    families = {name: cells.families[family] for name, family in zip(cells.networks, cells.family.tolist(), strict=True)}
    standings = averages(values.entries, values.values, values.known, values.limits, cells, scope.reported)
    ceiling = _ceiling(values.ceilings, cells)
    of_track: dict[str, BoardRow] = dict.fromkeys(TRACKS, ceiling)
    if scope.metric == SPEARMAN:  # by others what one ranking could reach is not known: at most what the true one does
        of_track["blind"] = _ceiling(single_rankings(values.cells, cells, halves, values.ceilings, facts), cells)
    return Board(
        dataset,
        split,
        scope.metric,
        headline,
        families,
        standings,
        of_track,
        scope.gate,
        n_cells,
        n_ungated - n_cells,
        {facts.families[network]: facts.kinds.get(network, "") for network in families},
    )


def _ceiling(values: Array, cells: Cells) -> BoardRow:
    """Average the ceilings of cells, nan where there is none."""
    stated = np.isfinite(values)
    no_limits, every = np.zeros((2, 1, int(stated.sum()))), stated[None, stated]
    ceiling = averages([("ceiling", TRACKS[0])], values[None, stated], every, no_limits, cells.part(stated)).row(0)
    if 2 * ceiling.n_cells < len(values):  # of other cells than the criteria's means, it would bound none of them
        return replace(ceiling, value=None, by_network={}, by_family={})
    return ceiling
