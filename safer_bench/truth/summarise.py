"""From probes to what criteria are judged by: layer_sensitivity and cells."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from safer_bench.judging import CellTruth
from safer_bench.stream import Stream
from safer_bench.tables import schema
from safer_bench.truth.answers import drop_by_draw, mean_drop
from safer_bench.truth.area import area_weights, tolerated_level
from safer_bench.truth.cells import Cell, Row, cells_of, size_and_depth
from safer_bench.truth.reliability import can_be_halved, ceilings, random_halves, split_half_reliability
from safer_bench.truth.standard_errors import StandardErrors

Array = np.ndarray
N_SPLITS = 50
RESOLVED = 0.8
DIGITS = 12  # equal counts are equal values: the last digits, the machine's, would break ties


def summarise(probes: pa.Table, networks: pa.Table, layers: pa.Table, perturbations: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return the tables ``layer_sensitivity`` and ``cells``.

    Args:
        probes: rows of layer_drops with the ``flips`` of outcomes.
        networks, layers, perturbations: tables of those names.

    Raises:
        BadInput: probes are missing: levels or draws differ between the layers of a network.
    """
    sensitivity, cells, facts = [], [], size_and_depth(layers)
    for cell in cells_of(probes, networks, perturbations):
        for rows, summary_row in _summaries(cell, facts[cell.identity["network"]]):
            sensitivity += rows
            if summary_row:
                cells.append(summary_row)
    return schema.build("layer_sensitivity", sensitivity), schema.build("cells", cells)


def _summaries(cell: Cell, facts: Array) -> Iterator[tuple[list[Row], Row | None]]:
    """Yield (layer rows, cell row) of each level, of the area, and of the tolerated level (which has no cell row)."""
    n_levels = len(cell.levels)
    drops = np.stack([mean_drop(level, cell.answers) for level in cell.changes])  # (n_levels, n_layers)
    halves = (np.full((1, n_levels, len(cell.layers)), np.nan),) * 2
    if can_be_halved(cell.changes, deterministic=cell.deterministic):
        stream = Stream("halves", cell.identity["network"], cell.identity["perturbation"])
        halves = random_halves(cell.changes, cell.slices, stream, N_SPLITS, cell.answers)
    errors = StandardErrors(cell.changes, cell.slices, deterministic=cell.deterministic, answers=cell.answers)
    for i, level in enumerate(cell.levels):
        over_5 = (drop_by_draw(cell.changes[i], cell.answers) > 0.05).mean(0)
        rows, summary_row = _summary(cell, "level", float(level), np.eye(n_levels)[i], drops, halves, errors, facts)
        yield [row | {"p_drop_over_5": float(over_5[j])} for j, row in enumerate(rows)], summary_row
    weights = area_weights(cell.levels, cell.scale) / cell.above_chance
    yield _summary(cell, "area", None, weights, drops, halves, errors, facts)
    yield _tolerated(cell, drops), None


def _summary(
    cell: Cell,
    summary: str,
    level: float | None,
    weights: Array,
    drops: Array,
    halves: tuple[Array, Array],
    standard_errors: StandardErrors,
    facts: Array,
) -> tuple[list[Row], Row]:
    values = np.round(_weighted(weights, drops), DIGITS)
    errors = standard_errors.of(weights)
    half_a, half_b = (np.round(_weighted(weights, half), DIGITS) for half in halves)  # (n_splits, n_layers)
    truth = CellTruth(values, half_a[0], half_b[0], errors, facts)
    used = [len(found) for found, weight in zip(cell.changes, weights, strict=True) if weight]
    common = cell.identity | {"summary": summary, "level": level, "draws": min(used)}
    rows = [
        common
        | {
            "layer": layer,
            "value": float(values[i]),
            "standard_error": _finite(errors[i]),
            "half_a": _finite(half_a[0, i]),
            "half_b": _finite(half_b[0, i]),
        }
        for i, layer in enumerate(cell.layers)
    ]
    return rows, common | _cell_facts(common, truth, split_half_reliability(half_a, half_b))


def _weighted(weights: Array, values: Array) -> Array:
    """Return means over levels of ``(..., n_levels, n_layers)``, level by level: a matrix library's order is its own."""
    return np.asarray(np.sum(weights[:, None] * values, axis=-2))


def _cell_facts(common: Row, truth: CellTruth, reliability: float) -> Row:
    stream = Stream("ceiling", common["network"], common["perturbation"], common["summary"], common["level"])
    found = ceilings(truth, reliability, stream)
    return {
        "n_layers": len(truth.values),
        "reliability": _finite(reliability),
        "resolved": reliability >= RESOLVED if np.isfinite(reliability) else None,
    } | {f"ceiling_{name}": _finite(value) for name, value in found.items()}


def _tolerated(cell: Cell, drops: Array) -> list[Row]:
    common = cell.identity | {"summary": "tolerated_level", "level": None, "draws": min(map(len, cell.changes))}
    rows = []
    for i, layer in enumerate(cell.layers):
        value, censored = tolerated_level(cell.levels, cell.scale, drops[:, i])
        rows.append(common | {"layer": layer, "value": value, "censored": censored})
    return rows


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
