"""Which cells of the results a board averages over, and what belongs to them; no I/O.

A cell is a network under a perturbation, in area or at a level.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import reduce
from operator import or_
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.errors import BadInput
from safer_bench.tables.facts import TruthFacts

Array = np.ndarray
GATES = (0.0, 0.5, 0.8)  # published boards are repeated at these
LEVEL_RANKS = ("mild", "mild to middle", "middle", "middle to severe", "severe")


@dataclass(frozen=True, slots=True)
class BoardCell:
    """A network under a perturbation, in area or at a level, and what tells its board."""

    dataset: str
    split: str
    network: str
    perturbation: str
    level: float | None
    n_layers: int


@dataclass(frozen=True, slots=True)
class Scope:
    """The cells of a board.

    Attributes:
        metric: name of a metric.
        perturbation_family: only perturbations of this family; None: all.
        perturbation: only this perturbation; None: all.
        level_rank: only the perturbations' levels of this rank, 1 the mildest (a single level has none); None: areas over
            levels.
        gate: only cells of at least this reliability; 0: all, also those whose reliability is unknown.
        statistics: intervals, ranks and comparisons are wanted where families support them.
        reported: criteria whose scores are their authors' word alone: shown, but not ranked.
    """

    metric: str = "spearman"
    perturbation_family: str | None = None
    perturbation: str | None = None
    level_rank: int | None = None
    gate: float = 0.0
    statistics: bool = True
    reported: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CellValues:
    """What every criterion reached by one metric in the cells of single networks.

    Attributes:
        entries: (criterion, track) of each, sorted.
        cells: of each.
        values: ``(n_entries, n_cells)``; nan where undefined or not scored.
        known: likewise, which were scored.
        ceilings: ``(n_cells,)``; nan where there is none.
        limits: least and greatest possible values ``(2, n_entries, n_cells)``; 0 where not scored.
    """

    entries: list[tuple[str, str]]
    cells: list[BoardCell]
    values: Array
    known: Array
    ceilings: Array
    limits: Array

    def part(self, wanted: Array) -> "CellValues":
        """Return some of the cells, and the criteria that scored any of them; ``wanted`` is ``(n_cells,)``."""
        entries = np.asarray(self.known[:, wanted].any(axis=1))
        return CellValues(
            [entry for entry, inside in zip(self.entries, entries, strict=True) if inside],
            [cell for cell, inside in zip(self.cells, wanted, strict=True) if inside],
            self.values[np.ix_(entries, wanted)],
            self.known[np.ix_(entries, wanted)],
            self.ceilings[wanted],
            self.limits[:, entries][:, :, wanted],
        )


def cell_values(results: pa.Table, facts: TruthFacts, metric: str, level_rank: int | None = None) -> CellValues:
    """Return the results of single networks by a metric, in area or at the levels of a rank.

    Raises:
        BadInput: no perturbation has a level of that rank.
    """
    wanted = (pc.field("metric") == metric) & pc.field("network").is_valid()
    if level_rank is None:
        wanted &= pc.field("summary") == "area"
    else:
        if not 1 <= level_rank <= facts.deepest:
            raise BadInput(f"level rank {level_rank}; expected 1, the mildest, to {facts.deepest}")
        ranked = {name: levels for name, levels in facts.levels.items() if 1 < len(levels) >= level_rank}
        levels = {name: levels[level_rank - 1] for name, levels in ranked.items()}
        of_rank = [(pc.field("perturbation") == name) & (pc.field("level") == level) for name, level in levels.items()]
        wanted &= (pc.field("summary") == "level") & reduce(or_, of_rank)
    table = results.filter(wanted)
    entries, entry = _distinct(table, ["criterion", "track"])
    cells, cell = _distinct(table, [each.name for each in fields(BoardCell)])
    values, ceilings = np.full((len(entries), len(cells)), np.nan), np.full(len(cells), np.nan)
    known = np.zeros(values.shape, dtype=bool)
    values[entry, cell], known[entry, cell] = table["value"].to_numpy(), True
    limits = np.zeros((2, *values.shape))
    for end, name in enumerate(("lowest", "highest")):
        limits[end, entry, cell] = table[name].to_numpy()
    ceiling = table["ceiling"].to_numpy()
    stated = np.isfinite(ceiling)
    ceilings[cell[stated]] = ceiling[stated]
    return CellValues(entries, [BoardCell(*each) for each in cells], values, known, ceilings, limits)


def _distinct(table: pa.Table, names: Sequence[str]) -> tuple[list[tuple[Any, ...]], Array]:
    """Return the distinct rows of some columns, sorted, and the number of each row among them."""
    numbers = pa.array(np.arange(table.num_rows))
    groups = table.select(names).append_column("row", numbers).group_by(names).aggregate([("row", "list")])
    distinct = list(zip(*(groups[name].to_pylist() for name in names), strict=True))
    order = sorted(range(len(distinct)), key=lambda i: tuple((value is None, value) for value in distinct[i]))
    rows, index = groups["row_list"].combine_chunks(), np.zeros(table.num_rows, dtype=np.int64)
    for number, i in enumerate(order):
        index[rows[i].values.to_numpy()] = number
    return [distinct[i] for i in order], index


def in_scope(facts: TruthFacts, scope: Scope, cells: Sequence[BoardCell]) -> Array:
    """Tell which cells are of a scope's perturbations ``(n_cells,)``; the gate is left to ``reliable``."""
    if scope.perturbation is not None:
        inside = [cell.perturbation == scope.perturbation for cell in cells]
    elif scope.perturbation_family is not None:
        inside = [facts.perturbation_families[cell.perturbation] == scope.perturbation_family for cell in cells]
    else:
        inside = [True for _ in cells]
    return np.array(inside, dtype=bool)


def reliable(facts: TruthFacts, gate: float, cells: Sequence[BoardCell]) -> Array:
    """Tell which cells' reliability reaches a gate ``(n_cells,)``; one that is unknown reaches none but 0."""
    known = [facts.reliability.get((cell.network, cell.perturbation, cell.level), -1.0) for cell in cells]
    return np.array([gate <= 0.0 or reliability >= gate for reliability in known], dtype=bool)
