"""What is asked of a truth's tables again and again, read once: its networks, layers, perturbations and reliabilities."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import pyarrow as pa

from safer_bench.tables.grouping import grouped

Row = dict[str, Any]
Cell = tuple[str, str, float | None]  # (network, perturbation, level or None for the area)


@dataclass(frozen=True, slots=True, eq=False)
class TruthFacts:
    """What a truth is about; of a table that it lacks there is nothing.

    Attributes:
        layers: of each network, in order of first use.
        families, kinds, datasets, splits: of each network; a kind that is not known is empty.
        use_cases: of each perturbation; empty where it stands for none.
        levels: of each perturbation, from mild to severe.
        scales: of each perturbation, ``linear`` or ``log10``: the axis along which the area is taken.
        reliability: of each cell, in area or at a level; absent where unknown.
        revision: names the truth; None where the tables have none.
    """

    layers: Mapping[str, tuple[str, ...]]
    families: Mapping[str, str]
    kinds: Mapping[str, str]
    datasets: Mapping[str, str]
    splits: Mapping[str, str]
    use_cases: Mapping[str, str]
    levels: Mapping[str, list[float]]
    scales: Mapping[str, str]
    reliability: Mapping[Cell, float]
    revision: str | None

    @property
    def deepest(self) -> int:
        """The most levels of a perturbation; 0 where each has one, which is neither mild nor severe."""
        deepest = max((len(levels) for levels in self.levels.values()), default=0)
        return deepest if deepest > 1 else 0


def read_facts(truth: Mapping[str, pa.Table]) -> TruthFacts:
    """Return the facts of a truth.

    Args:
        truth: tables ``networks``, ``layers``, ``perturbations`` and ``cells``, such of them as the caller asks about, and
            ``truth.revision`` where there is one; what ``load_tree`` returns.
    """
    layers = _rows(truth, "layers", "network", "dataset", "split", "layer", "layer_index")
    networks = _rows(truth, "networks", "network", "dataset", "split", "family", "kind")
    perturbations = _rows(truth, "perturbations", "perturbation", "use_case", "levels", "scale")
    cells = _rows(truth, "cells", "network", "perturbation", "summary", "level", "reliability")
    return TruthFacts(
        layers={network: tuple(row["layer"] for row in rows) for network, rows in by_first_use(layers).items()},
        families=_by("network", networks, "family"),
        kinds={row["network"]: row["kind"] or "" for row in networks},
        datasets=_by("network", [*layers, *networks], "dataset"),
        splits=_by("network", [*layers, *networks], "split"),
        use_cases={row["perturbation"]: row["use_case"] or "" for row in perturbations},
        levels=_by("perturbation", perturbations, "levels"),
        scales=_by("perturbation", perturbations, "scale"),
        reliability={
            (row["network"], row["perturbation"], row["level"]): row["reliability"]
            for row in cells
            if row["summary"] != "tolerated_level" and row["reliability"] is not None
        },
        revision=getattr(truth, "revision", None),
    )


def by_first_use(layers: Iterable[Row]) -> dict[str, list[Row]]:
    """Return the rows of each network's layers, in order of first use.

    Args:
        layers: rows of the table ``layers`` with ``network`` and ``layer_index``.
    """
    networks = grouped(layers, key=itemgetter("network"))
    return {network: sorted(rows, key=itemgetter("layer_index")) for network, rows in networks.items()}


def _rows(truth: Mapping[str, pa.Table], name: str, *columns: str) -> list[Row]:
    return truth[name].select(columns).to_pylist() if name in truth else []  # a network's outcomes are long: not read


def _by(key: str, rows: Iterable[Row], column: str) -> dict[str, Any]:
    return {row[key]: row[column] for row in rows}
