"""(truth, scores) -> results: how well each criterion ranks the layers of each network; no I/O."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from safer_bench import schema, score_table
from safer_bench.area import area_weights
from safer_bench.metrics import METRICS, Metric

Array = np.ndarray
Row = dict[str, Any]
EXACT_EXPECTATION = "random"  # this criterion enters with its expectation, 0 for every chance-corrected metric


def evaluate(truth: Mapping[str, pa.Table], entries: Mapping[str, Mapping[score_table.Key, float]] | pa.Table) -> pa.Table:
    """Score criteria against the truth.

    Args:
        truth: tables ``layers``, ``layer_sensitivity``, ``cells``, ``perturbations`` and, where there is one, the revision
            ``truth.revision``; what ``load_tree`` returns.
        entries: a ``scores`` table, or ``{name: {(network, layer[, perturbation[, level]]): score}}``.

    Returns:
        Table ``results``: one row for each criterion, network, perturbation, summary, level and metric. ``value`` is null
        where the metric is undefined; ``low`` and ``high`` are null where there are too few families for an interval.

    Raises:
        BadInput: unknown, missing, duplicate or non-finite scores.
    """
    layers = truth["layers"]
    if isinstance(entries, pa.Table):
        score_table.check(entries.to_pylist(), truth, "scores")
        table = entries
    else:
        parts = [score_table.from_mapping(name, mapping, truth) for name, mapping in entries.items()]
        table = pa.concat_tables(parts) if parts else schema.build("scores", [])
    lookup = _Scores(table, truth["perturbations"])
    revision = getattr(truth, "revision", None)
    cells = {_cell_key(row): row for row in truth["cells"].to_pylist()}
    rows = [
        row | {"truth_revision": revision}
        for key, cell in _cells_of_truth(truth["layer_sensitivity"], layers)
        for row in _cell_results(key, cell, cells.get(key, {}), lookup)
    ]
    return schema.build("results", rows)


def _cell_key(row: Mapping[str, Any]) -> tuple[str, str, str, float | None]:
    return row["network"], row["perturbation"], row["summary"], row["level"]


def _cells_of_truth(sensitivity: pa.Table, layers: pa.Table) -> Iterator[tuple[Any, tuple[list[str], Array, Row]]]:
    """Yield each cell's key with (layer names, values, any row); layers in the order of the ``layers`` table."""
    position = {(row["network"], row["layer"]): row["layer_index"] for row in layers.to_pylist()}
    cells: dict[Any, list[Row]] = {}
    for row in sensitivity.to_pylist():
        if row["summary"] != "tolerated_level":
            cells.setdefault(_cell_key(row), []).append(row)
    for key, rows in cells.items():
        rows.sort(key=lambda row: position[row["network"], row["layer"]])
        yield key, ([row["layer"] for row in rows], np.array([row["value"] for row in rows]), rows[0])


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


def _cell_results(key: Any, cell: tuple[list[str], Array, Row], facts: Row, lookup: _Scores) -> Iterator[Row]:
    network, perturbation, summary, level = key
    names, values, any_row = cell
    for criterion, track in lookup.criteria.get(network, []):
        found = lookup.of_cell(criterion, track, key, names)
        if found is None:
            continue
        for metric in METRICS:
            yield {
                "criterion": criterion,
                "track": track,
                "network": network,
                "dataset": any_row["dataset"],
                "split": any_row["split"],
                "perturbation": perturbation,
                "summary": summary,
                "level": level,
                "metric": metric.name,
                "value": _value(metric, criterion, values, found),
                "ceiling": facts.get(f"ceiling_{metric.name}"),
                "n_layers": len(names),
            }


def _value(metric: Metric, criterion: str, truth: Array, found: Array) -> float | None:
    value = metric(truth, found)
    if criterion == EXACT_EXPECTATION:
        value = 0.0 if math.isfinite(metric(truth, np.arange(len(truth), dtype=np.float64))) else value
    return value if math.isfinite(value) else None
