"""From probes to what criteria are judged by: layer_sensitivity and cells."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from safer_bench import schema
from safer_bench.area import area_weights, tolerated_level
from safer_bench.errors import BadInput
from safer_bench.perturbations.stream import Stream
from safer_bench.reliability import can_be_halved, ceilings, random_halves, split_half_reliability, standard_errors

Array = np.ndarray
Row = dict[str, Any]
N_SPLITS = 50
RESOLVED = 0.8


@dataclass(frozen=True, slots=True)
class Cell:
    """All probes of one network under one perturbation.

    Attributes:
        identity: network, dataset, split and perturbation.
        layers: layer names in order.
        levels: mild to severe.
        scale: ``linear`` or ``log10``.
        deterministic: one draw is enough.
        changes: int8 ``(n_levels, n_draws, n_layers, n_examples)``, 1 broken, -1 fixed.
        slices: first example of each draw ``(n_draws,)``.
        above_chance: clean accuracy minus chance.
    """

    identity: Row
    layers: list[str]
    levels: Array
    scale: str
    deterministic: bool
    changes: Array
    slices: Array
    above_chance: float


def summarise(probes: pa.Table, networks: pa.Table, perturbations: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return the tables ``layer_sensitivity`` and ``cells``.

    Args:
        probes: rows of layer_drops with the ``flips`` of outcomes.
        networks, perturbations: tables of those names.

    Raises:
        BadInput: probes are missing: levels or draws differ between the layers of a network.
    """
    sensitivity, cells = [], []
    for cell in _cells(probes, networks, perturbations):
        for rows, summary_row in _summaries(cell):
            sensitivity += rows
            if summary_row:
                cells.append(summary_row)
    return schema.build("layer_sensitivity", sensitivity), schema.build("cells", cells)


def _cells(probes: pa.Table, networks: pa.Table, perturbations: pa.Table) -> Iterator[Cell]:
    network_rows = {row["network"]: row for row in networks.to_pylist()}
    perturbation_rows = {row["perturbation"]: row for row in perturbations.to_pylist()}
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in probes.to_pylist():
        groups.setdefault((row["network"], row["perturbation"]), []).append(row)
    for (network, perturbation), rows in groups.items():
        yield _cell(rows, network_rows[network], perturbation_rows[perturbation])


def _cell(rows: list[Row], network: Row, perturbation: Row) -> Cell:
    layers = sorted({(row["layer_index"], row["layer"]) for row in rows})
    levels = [level for level in perturbation["levels"] if any(row["level"] == level for row in rows)]
    starts = dict(sorted({row["draw"]: row["example_start"] for row in rows}.items()))
    n_examples = rows[0]["n_examples"]
    shape = (len(levels), len(starts), len(layers), n_examples)
    _check_complete(rows, network, shape)
    clean = _bits(network["clean_outcomes"], network["n_examples"])
    changes = np.zeros(shape, dtype=np.int8)
    places = {layer: i for i, (_, layer) in enumerate(layers)}
    draws = {draw: i for i, draw in enumerate(starts)}
    for row in rows:
        right = clean[row["example_start"] : row["example_start"] + n_examples]
        signed = np.where(right, 1, -1) * _bits(row["flips"], n_examples)
        changes[levels.index(row["level"]), draws[row["draw"]], places[row["layer"]]] = signed
    return Cell(
        identity={key: rows[0][key] for key in ("network", "dataset", "split", "perturbation")},
        layers=[layer for _, layer in layers],
        levels=np.array(levels),
        scale=perturbation["scale"],
        deterministic=perturbation["deterministic"],
        changes=changes,
        slices=np.array(list(starts.values())),
        above_chance=network["clean_correct"] / network["n_examples"] - network["chance_accuracy"],
    )


def _check_complete(rows: list[Row], network: Row, shape: tuple[int, ...]) -> None:
    where = f"network {network['network']!r}, perturbation {rows[0]['perturbation']!r}"
    if len(rows) != np.prod(shape[:3]):
        raise BadInput(f"{where}: {len(rows)} probes; expected {shape[0]} levels x {shape[1]} draws x {shape[2]} layers")
    sizes = sorted({row["n_examples"] for row in rows})
    if len(sizes) > 1:
        raise BadInput(f"{where}: probes of {sizes[0]} and of {sizes[-1]} examples; measure all with the same --examples")
    if network["clean_correct"] <= network["chance_accuracy"] * network["n_examples"]:
        raise BadInput(
            f"{where}: right on {network['clean_correct']} of {network['n_examples']} examples, no better than chance: it "
            "has no accuracy to lose"
        )


def _bits(packed: bytes, n: int) -> Array:
    return np.unpackbits(np.frombuffer(packed, dtype=np.uint8), count=n).astype(np.int8)


def _summaries(cell: Cell) -> Iterator[tuple[list[Row], Row | None]]:
    """Yield (layer rows, cell row) of each level, of the area, and of the tolerated level (which has no cell row)."""
    n_levels, n_draws = cell.changes.shape[:2]
    halves = None
    if can_be_halved(n_draws, deterministic=cell.deterministic):
        stream = Stream("halves", cell.identity["network"], cell.identity["perturbation"])
        halves = random_halves(cell.changes, cell.slices, stream, N_SPLITS)
    for i, level in enumerate(cell.levels):
        yield _summary(cell, "level", float(level), np.eye(n_levels)[i], halves)
    weights = area_weights(cell.levels, cell.scale) / cell.above_chance
    yield _summary(cell, "area", None, weights, halves)
    yield _tolerated(cell), None


def _summary(cell: Cell, summary: str, level: float | None, weights: Array, halves: Any) -> tuple[list[Row], Row]:
    drops = cell.changes.mean(axis=(1, 3))  # (n_levels, n_layers)
    values = weights @ drops
    errors = standard_errors(cell.changes, weights, cell.slices, deterministic=cell.deterministic)
    half_a, half_b = (None, None) if halves is None else (weights @ half for half in halves)
    over_5 = (cell.changes.mean(axis=-1) > 0.05).mean(axis=1)
    common = cell.identity | {"summary": summary, "level": level, "draws": cell.changes.shape[1]}
    rows = [
        common
        | {
            "layer": layer,
            "value": float(values[i]),
            "standard_error": _finite(errors[i]),
            "half_a": None if half_a is None else float(half_a[0, i]),
            "half_b": None if half_b is None else float(half_b[0, i]),
            "p_drop_over_5": float(over_5[list(cell.levels).index(level), i]) if level is not None else None,
        }
        for i, layer in enumerate(cell.layers)
    ]
    return rows, common | _cell_facts(cell, common, values, errors, half_a, half_b)


def _cell_facts(cell: Cell, common: Row, values: Array, errors: Array, half_a: Any, half_b: Any) -> Row:
    reliability = None if half_a is None else split_half_reliability(half_a, half_b)
    stream = Stream("ceiling", common["network"], common["perturbation"], common["summary"], common["level"])
    found = ceilings(values, errors, stream)
    return {
        "n_layers": len(cell.layers),
        "reliability": reliability,
        "resolved": None if reliability is None else reliability >= RESOLVED,
    } | {f"ceiling_{name}": _finite(value) for name, value in found.items()}


def _tolerated(cell: Cell) -> list[Row]:
    drops = cell.changes.mean(axis=(1, 3))
    common = cell.identity | {"summary": "tolerated_level", "level": None, "draws": cell.changes.shape[1]}
    rows = []
    for i, layer in enumerate(cell.layers):
        value, censored = tolerated_level(cell.levels, cell.scale, drops[:, i])
        rows.append(common | {"layer": layer, "value": value, "censored": censored})
    return rows


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
