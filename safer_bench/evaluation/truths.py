"""The truth of each network as arrays, one row a cell: a perturbation in area or at a level; no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from safer_bench.errors import BadInput
from safer_bench.judging import CellTruth
from safer_bench.tables.schema import METRIC_NAMES

Array = np.ndarray
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


def network_truths(truth: Mapping[str, pa.Table]) -> list[NetworkTruth]:
    """Return the truth of each network, by name.

    Args:
        truth: tables ``networks``, ``layers``, ``layer_sensitivity`` and ``cells``.

    Raises:
        BadInput: a cell lacks layers.
    """
    families = {row["network"]: row["family"] for row in truth["networks"].to_pylist()}
    layers: dict[str, list[dict[str, Any]]] = {}
    for row in truth["layers"].to_pylist():
        layers.setdefault(row["network"], []).append(row)
    values: dict[str, dict[CellKey, list[dict[str, Any]]]] = {}
    for row in truth["layer_sensitivity"].to_pylist():
        if row["summary"] != "tolerated_level":
            values.setdefault(row["network"], {}).setdefault(_cell(row), []).append(row)
    ceilings = {(row["network"], *_cell(row)): row for row in truth["cells"].to_pylist()}
    return [
        _network(families[name], sorted(layers[name], key=lambda row: row["layer_index"]), cells, ceilings)
        for name, cells in sorted(values.items())
    ]


def _cell(row: Mapping[str, Any]) -> CellKey:
    return row["perturbation"], row["summary"], row["level"]


def _network(
    family: str,
    layers: list[dict[str, Any]],
    cells: dict[CellKey, list[dict[str, Any]]],
    ceilings: Mapping[tuple[Any, ...], Mapping[str, Any]],
) -> NetworkTruth:
    name, names = layers[0]["network"], [row["layer"] for row in layers]
    order = sorted(cells, key=lambda cell: (*cell[:2], -1.0 if cell[2] is None else cell[2]))
    columns = ("value", "half_a", "half_b", "standard_error")
    found = np.full((len(columns), len(order), len(names)), np.nan)
    place = {layer: i for i, layer in enumerate(names)}
    for i, cell in enumerate(order):
        if len(cells[cell]) != len(names):
            raise BadInput(f"truth of {name!r}, {cell[0]!r}: {len(cells[cell])} layers; expected all {len(names)}")
        for row in cells[cell]:
            found[:, i, place[row["layer"]]] = [np.nan if row[column] is None else row[column] for column in columns]
    facts = np.array([[row[column] for row in layers] for column in ("parameters", "layer_index", "macs")], dtype=np.float64)
    known = [ceilings.get((name, *cell), {}) for cell in order]
    return NetworkTruth(
        network=name,
        dataset=layers[0]["dataset"],
        split=layers[0]["split"],
        family=family,
        layers=names,
        macs=facts[2],
        cells=order,
        truth=CellTruth(found[0], found[1], found[2], found[3], facts[:2]),
        ceilings=np.array([[row.get(f"ceiling_{metric}") for metric in METRIC_NAMES] for row in known], dtype=np.float64),
    )
