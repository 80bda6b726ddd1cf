"""(truth, scores) -> results: how well each criterion ranks the layers of each network; no I/O."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from safer_bench import controls, schema, score_table
from safer_bench.aggregation import family_means
from safer_bench.area import area_weights
from safer_bench.errors import BadInput
from safer_bench.metrics import CELL_METRICS, METRICS, CellMetric, CellTruth, Metric
from safer_bench.perturbations.stream import Stream

Array = np.ndarray
Row = dict[str, Any]
EXACT_EXPECTATION = "random"  # this criterion enters with its expectation, 0 for every chance-corrected metric


def evaluate(truth: Mapping[str, pa.Table], entries: Mapping[str, Mapping[score_table.Key, float]] | pa.Table) -> pa.Table:
    """Score criteria, and the controls that only the truth can give, against the truth.

    Args:
        truth: tables ``networks``, ``layers``, ``layer_sensitivity``, ``cells``, ``perturbations`` and, where there is one,
            the revision ``truth.revision``; what ``load_tree`` returns.
        entries: a ``scores`` table, or ``{name: {(network, layer[, perturbation[, level]]): score}}``.

    Returns:
        Table ``results``: one row for each criterion, network, perturbation, summary, level and metric, ``value`` null
        where the metric is undefined. Where six families or more support an interval, also their means with ``low`` and
        ``high`` (``aggregation.family_means``), ``network`` null. The controls of ``controls`` are among the criteria.

    Raises:
        BadInput: unknown, missing, duplicate or non-finite scores, or the name of a control that is added here.
    """
    if isinstance(entries, pa.Table):
        score_table.check(entries.to_pylist(), truth, "scores")
        table = entries
    else:
        parts = [score_table.from_mapping(name, mapping, truth) for name, mapping in entries.items()]
        table = pa.concat_tables(parts) if parts else schema.build("scores", [])
    taken = sorted(set(table["criterion"].to_pylist()) & set(controls.ADDED))
    if taken:
        raise BadInput(
            f"scores: {taken[0]!r} is the name of a control that evaluation adds; give the criterion another name"
        )
    cells = list(_cells_of_truth(truth))
    lookup = _Scores(pa.concat_tables([table, _size_depth(cells, truth)]), truth["perturbations"])
    revision = getattr(truth, "revision", None)
    rows = [row | {"truth_revision": revision} for cell in cells for row in _cell_results(cell, lookup)]
    families = {row["network"]: row["family"] for row in truth["networks"].to_pylist()}
    kinds = {row["perturbation"]: row["perturbation_family"] for row in truth["perturbations"].to_pylist()}
    return schema.build("results", rows + family_means(rows, families, kinds))


@dataclass(frozen=True, slots=True)
class _Cell:
    """The truth of one network under one perturbation, in area or at a level; layers in order of first use."""

    key: tuple[str, str, str, float | None]
    dataset: str
    split: str
    layers: list[str]
    truth: CellTruth
    ceilings: Row


def _cell_key(row: Mapping[str, Any]) -> tuple[str, str, str, float | None]:
    return row["network"], row["perturbation"], row["summary"], row["level"]


def _cells_of_truth(truth: Mapping[str, pa.Table]) -> Iterator[_Cell]:
    layers = {(row["network"], row["layer"]): row for row in truth["layers"].to_pylist()}
    ceilings = {_cell_key(row): row for row in truth["cells"].to_pylist()}
    groups: dict[Any, list[Row]] = {}
    for row in truth["layer_sensitivity"].to_pylist():
        if row["summary"] != "tolerated_level":
            groups.setdefault(_cell_key(row), []).append(row)
    for key, rows in groups.items():
        rows.sort(key=lambda row: layers[row["network"], row["layer"]]["layer_index"])
        facts = [layers[row["network"], row["layer"]] for row in rows]
        value, half_a, half_b, error = (
            np.array([row[name] for row in rows], dtype=np.float64)  # a null becomes nan
            for name in ("value", "half_a", "half_b", "standard_error")
        )
        size_and_depth = np.array([[row[name] for row in facts] for name in ("parameters", "layer_index")], dtype=np.float64)
        cell_truth = CellTruth(value, half_a, half_b, error, size_and_depth)
        names = [row["layer"] for row in rows]
        yield _Cell(key, rows[0]["dataset"], rows[0]["split"], names, cell_truth, ceilings.get(key, {}))


def _size_depth(cells: list[_Cell], truth: Mapping[str, pa.Table]) -> pa.Table:
    """Return scores of the control ``size_depth``, of the networks that there is something to learn from for."""
    families = {row["network"]: row["family"] for row in truth["networks"].to_pylist()}
    macs = {(row["network"], row["layer"]): row["macs"] for row in truth["layers"].to_pylist()}
    areas: dict[str, list[_Cell]] = {}
    for cell in cells:
        if cell.key[2] == "area":
            areas.setdefault(cell.key[0], []).append(cell)
    networks = {
        name: controls.NetworkTruth(
            found[0].dataset,
            found[0].split,
            families[name],
            np.vstack([found[0].truth.size_and_depth, [macs[name, layer] for layer in found[0].layers]]),
            np.stack([cell.truth.values for cell in found]),
        )
        for name, found in areas.items()
    }
    scores = {
        (name, layer): float(score)
        for name, found in controls.size_depth(networks).items()
        for layer, score in zip(areas[name][0].layers, found, strict=True)
    }
    return score_table.from_mapping(controls.SIZE_DEPTH, scores, truth) if scores else schema.build("scores", [])


class _Scores:
    """Finds the scores that a criterion gives the layers of one cell."""

    def __init__(self, table: pa.Table, perturbations: pa.Table) -> None:
        self.values: dict[Any, float] = {}
        self.criteria: dict[str, list[tuple[str, str]]] = {}
        for row in table.to_pylist():
            key = (row["criterion"], row["track"], row["network"], row["perturbation"], row["level"], row["layer"])
            self.values[key] = row["score"]
            pairs = self.criteria.setdefault(row["network"], [])
            if (row["criterion"], row["track"]) not in pairs:
                pairs.append((row["criterion"], row["track"]))
        self.weights = {
            row["perturbation"]: dict(zip(row["levels"], area_weights(row["levels"], row["scale"]), strict=True))
            for row in perturbations.to_pylist()
        }

    def of_cell(self, criterion: str, track: str, key: Any, layers: list[str]) -> Array | None:
        """Return scores ``(n_layers,)``, or None where the criterion says nothing of this cell."""
        network, perturbation, summary, level = key
        if track == "level_aware" and summary == "area":
            parts = self.weights[perturbation].items()
            each = [self._row(criterion, track, network, perturbation, at, layers) for at, _ in parts]
            if any(part is None for part in each):
                return None
            return np.average(np.stack([part for part in each if part is not None]), axis=0, weights=[w for _, w in parts])
        return self._row(
            criterion,
            track,
            network,
            None if track == "blind" else perturbation,
            level if track == "level_aware" else None,
            layers,
        )

    def _row(self, criterion: str, track: str, network: str, perturbation: Any, level: Any, layers: list[str]):  # type: ignore[no-untyped-def]
        keys = [(criterion, track, network, perturbation, level, layer) for layer in layers]
        return np.array([self.values[key] for key in keys]) if keys[0] in self.values else None


def _cell_results(cell: _Cell, lookup: _Scores) -> Iterator[Row]:
    for criterion, track in lookup.criteria.get(cell.key[0], []):
        found = lookup.of_cell(criterion, track, cell.key, cell.layers)
        if found is not None:
            yield from _criterion_results(cell, criterion, track, cell.truth, found)
    if np.all(np.isfinite(cell.truth.half_a)) and np.all(np.isfinite(cell.truth.half_b)):
        half = replace(cell.truth, values=cell.truth.half_a)
        for criterion, sign in controls.REPLICATES.items():
            for row in _criterion_results(cell, criterion, "level_aware", half, sign * cell.truth.half_b):
                if not row["metric"].startswith("protected_gain"):  # its best choice is the replicate's own
                    yield row | {"ceiling": None}  # ceilings are of the whole truth


def _criterion_results(cell: _Cell, criterion: str, track: str, truth: CellTruth, found: Array) -> Iterator[Row]:
    network, perturbation, summary, level = cell.key
    for metric in (*METRICS, *CELL_METRICS):
        yield {
            "criterion": criterion,
            "track": track,
            "network": network,
            "dataset": cell.dataset,
            "split": cell.split,
            "perturbation": perturbation,
            "summary": summary,
            "level": level,
            "metric": metric.name,
            "value": _value(metric, criterion, truth, found),
            "ceiling": cell.ceilings.get(f"ceiling_{metric.name}"),
            "n_layers": len(cell.layers),
        }


def _value(metric: Metric | CellMetric, criterion: str, truth: CellTruth, found: Array) -> float | None:
    """Return the metric, or None where it is undefined; of random scores the expectation, where others are defined."""
    if criterion == EXACT_EXPECTATION:
        found = Stream("defined", len(found)).uniform((len(found),))
    value = metric(truth.values, found) if isinstance(metric, Metric) else metric(truth, found)
    if not math.isfinite(value):
        return None
    return 0.0 if criterion == EXACT_EXPECTATION else value
