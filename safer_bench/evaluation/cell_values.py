"""A ``results`` table as arrays, one column a cell: read once for all the boards that average them; no I/O.

A cell is a network under a perturbation, in area or at a level.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa

from safer_bench.evaluation.aggregation import Cells, number_cells
from safer_bench.evaluation.board import Entry
from safer_bench.tables.coding import coded, numbered
from safer_bench.tables.facts import TruthFacts
from safer_bench.tables.schema import METRIC_NAMES

Array = np.ndarray


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
class CellValues:
    """What every criterion reached by one metric in cells.

    Attributes:
        entries: (criterion, track) of each, sorted.
        cells: of each, sorted.
        values: ``(n_entries, n_cells)``; nan where undefined or not scored.
        known: likewise, which were scored.
        ceilings: ``(n_cells,)``; nan where there is none.
        limits: least and greatest possible values ``(2, n_entries, n_cells)``; 0 where not scored.
    """

    entries: list[Entry]
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
            self.values[:, wanted][entries],
            self.known[:, wanted][entries],
            self.ceilings[wanted],
            self.limits[:, :, wanted][:, entries],
        )

    def numbers(self, facts: TruthFacts) -> Cells:
        """Return the cells by number; those of one area or rank of levels, where no network and perturbation comes twice."""
        pairs = [(cell.network, cell.perturbation) for cell in self.cells]
        return number_cells(pairs, facts.families, facts.use_cases)


def read_values(results: pa.Table) -> dict[str, CellValues]:
    """Return what was reached in the cells of single networks by each metric, all of the same criteria and cells.

    Args:
        results: what ``evaluate`` returns.
    """
    entries, entry = _distinct(results, ["criterion", "track"])
    cells, cell = _distinct(results, [each.name for each in fields(BoardCell)])
    names, code = coded(results["metric"])
    metric = np.array([METRIC_NAMES.index(name) for name in names], dtype=np.int64)[code]
    single = np.array([network is not None for _, _, network, *_ in cells], dtype=bool)  # the others are means

    def filled(of_row: Array | bool, absent: float | bool) -> Array:
        array = np.full((len(METRIC_NAMES), len(entries), len(cells)), absent)
        array[metric, entry, cell] = of_row
        return array[..., single]

    values, known = filled(results["value"].to_numpy(), np.nan), filled(True, False)
    limits = np.stack([filled(results[name].to_numpy(), 0.0) for name in ("lowest", "highest")])
    ceilings, ceiling = np.full((len(METRIC_NAMES), len(cells)), np.nan), results["ceiling"].to_numpy()
    stated = np.isfinite(ceiling)
    ceilings[metric[stated], cell[stated]] = ceiling[stated]
    board_cells = [BoardCell(*each) for each, wanted in zip(cells, single, strict=True) if wanted]
    return {
        name: CellValues(entries, board_cells, values[m], known[m], ceilings[m, single], limits[:, m])
        for m, name in enumerate(METRIC_NAMES)
    }


def _distinct(table: pa.Table, names: Sequence[str]) -> tuple[list[tuple[Any, ...]], Array]:
    """Return the distinct rows of some columns, sorted, nulls last, and which of them each row is."""
    number = np.zeros(table.num_rows, dtype=np.int64)
    for name in names:
        values, codes = coded(table[name])
        distinct, number = numbered(number * len(values) + codes)
    one = np.zeros(len(distinct), dtype=np.int64)
    one[number] = np.arange(table.num_rows)
    return list(zip(*table.select(names).take(pa.array(one)).to_pydict().values(), strict=True)), number
