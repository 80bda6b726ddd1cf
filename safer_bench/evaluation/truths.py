"""The truth of each network as arrays, one row a cell: a perturbation in area or at a level; no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.errors import BadInput
from safer_bench.judging import CellTruth
from safer_bench.tables.coding import coded, numbered
from safer_bench.tables.facts import TruthFacts, by_first_use
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
        reliability: ``(n_cells,)``; nan where it is unknown.
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
    reliability: Array


def network_truths(truth: Mapping[str, pa.Table], facts: TruthFacts) -> list[NetworkTruth]:
    """Return the truth of each network, by name.

    Args:
        truth: tables ``layers``, ``layer_sensitivity`` and ``cells``.
        facts: of the truth.

    Raises:
        BadInput: a cell lacks layers.
    """
    layers = by_first_use(truth["layers"].to_pylist())
    sensitivity = truth["layer_sensitivity"].filter(pc.field("summary") != "tolerated_level")
    ceilings = {(row["network"], *_cell(row)): row for row in truth["cells"].to_pylist()}
    networks, network = coded(sensitivity["network"])
    rows = [np.flatnonzero(network == number) for number in range(len(networks))]
    return [
        _network(facts.families[name], layers[name], sensitivity.take(pa.array(own)), ceilings)
        for name, own in zip(networks, rows, strict=True)
    ]


def _cell(row: Mapping[str, Any]) -> CellKey:
    return row["perturbation"], row["summary"], row["level"]


def _network(
    family: str, layers: list[Row], rows: pa.Table, ceilings: Mapping[tuple[Any, ...], Mapping[str, Any]]
) -> NetworkTruth:
    name, names = layers[0]["network"], [row["layer"] for row in layers]
    cells, cell = _cells(rows)
    for key, n_rows in zip(cells, np.bincount(cell).tolist(), strict=True):
        if n_rows != len(names):
            raise BadInput(f"truth of {name!r}, {key[0]!r}: {n_rows} layers; expected all {len(names)}")
    found, layer = coded(rows["layer"])
    position = {layer: i for i, layer in enumerate(names)}
    columns = [rows[column].to_numpy() for column in ("value", "half_a", "half_b", "standard_error")]
    arrays = np.full((len(columns), len(cells), len(names)), np.nan)
    arrays[:, cell, np.array([position[each] for each in found])[layer]] = columns
    values, half_a, half_b, errors = arrays
    sizes = np.array([[row[column] for row in layers] for column in ("parameters", "layer_index", "macs")], dtype=np.float64)
    known = [ceilings.get((name, *each), {}) for each in cells]
    return NetworkTruth(
        network=name,
        dataset=layers[0]["dataset"],
        split=layers[0]["split"],
        family=family,
        layers=names,
        macs=sizes[2],
        cells=cells,
        truth=CellTruth(values, half_a, half_b, errors, sizes[:2]),
        ceilings=np.array([[row.get(f"ceiling_{metric}") for metric in METRIC_NAMES] for row in known], dtype=np.float64),
        reliability=np.array([row.get("reliability") for row in known], dtype=np.float64),
    )


def _cells(rows: pa.Table) -> tuple[list[CellKey], np.ndarray]:
    """Return the cells that there are, sorted, and which of them each row is of."""
    columns = [coded(rows[name]) for name in ("perturbation", "summary", "level")]
    shape = [len(values) for values, _ in columns]
    keys, cell = numbered(np.ravel_multi_index([codes for _, codes in columns], shape))
    numbers = np.transpose(np.unravel_index(keys, shape)).tolist()
    return [tuple(values[i] for (values, _), i in zip(columns, each, strict=True)) for each in numbers], cell
