"""The truth of each network as arrays, one row a cell: a perturbation in area or at a level; no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa

from safer_bench.errors import BadInput
from safer_bench.judging import CellTruth
from safer_bench.tables.facts import TruthFacts, by_first_use
from safer_bench.tables.grouping import grouped
from safer_bench.tables.schema import METRIC_NAMES

Array = np.ndarray
Row = dict[str, Any]
CellKey = tuple[str, str, float | None]  # (perturbation, summary, level)


@dataclass(frozen=True, slots=True)
class NetworkTruth:
    """The truth of one network; layers in order of first use.

    Attributes:
        network, dataset, split, family: what it is.
        layers: names ``(n_layers,)``.
        macs: multiply-accumulates of each ``(n_layers,)``.
        cells: (perturbation, summary, level) of each row, sorted.
        truth: arrays ``(n_cells, n_layers)``.
        ceilings: of each metric ``(n_cells, n_metrics)``; nan where there is none.
    """

    network: str
    dataset: str
    split: str
    family: str
    layers: list[str]
    macs: Array
    cells: list[CellKey]
    truth: CellTruth
    ceilings: Array


def network_truths(truth: Mapping[str, pa.Table], facts: TruthFacts) -> list[NetworkTruth]:
    """Return the truth of each network, by name.

    Args:
        truth: tables ``layers``, ``layer_sensitivity`` and ``cells``.
        facts: of the truth.

    Raises:
        BadInput: a cell lacks layers.
    """
    layers = by_first_use(truth["layers"].to_pylist())
    measured = grouped(_judged_rows(truth["layer_sensitivity"]), key=itemgetter("network"))
    ceilings = {(row["network"], *_cell(row)): row for row in truth["cells"].to_pylist()}
    return [
        _network(facts.families[name], layers[name], grouped(rows, key=_cell), ceilings)
        for name, rows in sorted(measured.items())
    ]


def _judged_rows(sensitivity: pa.Table) -> list[Row]:
    return [row for row in sensitivity.to_pylist() if row["summary"] != "tolerated_level"]


def _cell(row: Mapping[str, Any]) -> CellKey:
    return row["perturbation"], row["summary"], row["level"]


def _network(
    family: str,
    layers: list[Row],
    cells: dict[CellKey, list[Row]],
    ceilings: Mapping[tuple[Any, ...], Mapping[str, Any]],
) -> NetworkTruth:
    name, names = layers[0]["network"], [row["layer"] for row in layers]
    order = sorted(cells, key=lambda cell: (*cell[:2], -1.0 if cell[2] is None else cell[2]))
    columns = ("value", "half_a", "half_b", "standard_error")
    arrays = np.full((len(columns), len(order), len(names)), np.nan)
    position = {layer: i for i, layer in enumerate(names)}
    for i, cell in enumerate(order):
        if len(cells[cell]) != len(names):
            raise BadInput(f"truth of {name!r}, {cell[0]!r}: {len(cells[cell])} layers; expected all {len(names)}")
        for row in cells[cell]:
            arrays[:, i, position[row["layer"]]] = [np.nan if row[column] is None else row[column] for column in columns]
    sizes = np.array([[row[column] for row in layers] for column in ("parameters", "layer_index", "macs")], dtype=np.float64)
    values, half_a, half_b, errors = arrays
    known = [ceilings.get((name, *cell), {}) for cell in order]
    return NetworkTruth(
        network=name,
        dataset=layers[0]["dataset"],
        split=layers[0]["split"],
        family=family,
        layers=names,
        macs=sizes[2],
        cells=order,
        truth=CellTruth(values, half_a, half_b, errors, sizes[:2]),
        ceilings=np.array([[row.get(f"ceiling_{metric}") for metric in METRIC_NAMES] for row in known], dtype=np.float64),
    )
