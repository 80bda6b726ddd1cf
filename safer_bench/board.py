"""Results -> boards: one number a criterion, averaged over variants, perturbations, networks and families; no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import pyarrow as pa

from safer_bench.score_table import TRACKS

MIN_LAYERS = 10  # networks with fewer are shown apart
MIN_FAMILIES = 6  # fewer: per-network values, no interval, no ranking


@dataclass(frozen=True, slots=True)
class BoardRow:
    """One criterion on one board.

    Attributes:
        criterion: its name.
        track: what it sees.
        value: mean over families; None where it did not score every network and perturbation.
        by_network: mean over perturbations for each network it scored.
        n_undefined: cells without a value (a constant score or truth), counted as 0.
        n_cells: all cells.
    """

    criterion: str
    track: str
    value: float | None
    by_network: dict[str, float]
    n_undefined: int
    n_cells: int


@dataclass(frozen=True, slots=True)
class Board:
    """One board: a dataset, a split, a metric, a size class of networks.

    Attributes:
        dataset, split, metric: what it is about.
        headline: its networks have ten layers or more.
        families: family of each network.
        rows: by track, within it by falling value, unranked ones last.
        ceiling: what the noise-free truth would reach, averaged like a criterion.
    """

    dataset: str
    split: str
    metric: str
    headline: bool
    families: dict[str, str]
    rows: tuple[BoardRow, ...]
    ceiling: BoardRow

    @property
    def note(self) -> str:
        """What the board can and cannot tell."""
        n_families, n_networks = len(set(self.families.values())), len(self.families)
        if n_families >= MIN_FAMILIES:
            return f"{n_networks} networks of {n_families} families."
        return (
            f"{n_networks} network{'s' * (n_networks > 1)} of {n_families} famil{'ies' if n_families > 1 else 'y'}: too few "
            f"for an interval (at least {MIN_FAMILIES} families), so the order of the rows is no ranking of criteria."
        )


def boards(results: pa.Table, truth: Mapping[str, pa.Table], metric: str = "spearman") -> tuple[Board, ...]:
    """Return one board for each dataset, split and size class; datasets are never pooled.

    Args:
        results: what ``evaluate`` returns.
        truth: tables ``networks`` and ``perturbations``.
        metric: name of a metric.
    """
    networks = {row["network"]: row for row in truth["networks"].to_pylist()}
    family_of = {row["perturbation"]: row["perturbation_family"] for row in truth["perturbations"].to_pylist()}
    rows = [row for row in results.to_pylist() if row["summary"] == "area" and row["metric"] == metric]
    found = []
    for dataset, split, headline in sorted({_group(row) for row in rows}, key=lambda key: (key[0], key[1], not key[2])):
        chosen = [row for row in rows if _group(row) == (dataset, split, headline)]
        families = {name: networks[name]["family"] for name in sorted({row["network"] for row in chosen})}
        ceilings = _ceilings(chosen)
        ceiling = _row("ceiling", "", ceilings, families, family_of, len(ceilings))
        found.append(Board(dataset, split, metric, headline, families, _rows(chosen, families, family_of), ceiling))
    return tuple(found)


def _group(row: Mapping[str, Any]) -> tuple[str, str, bool]:
    return row["dataset"], row["split"], row["n_layers"] >= MIN_LAYERS


def _rows(
    results: Sequence[Mapping[str, Any]], families: Mapping[str, str], family_of: Mapping[str, str]
) -> tuple[BoardRow, ...]:
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in results:
        groups.setdefault((row["criterion"], row["track"]), []).append(row)
    n_cells = len({(row["network"], row["perturbation"]) for row in results})
    rows = [_row(*key, chosen, families, family_of, n_cells) for key, chosen in groups.items()]
    return tuple(
        sorted(rows, key=lambda row: (TRACKS.index(row.track), row.value is None, -(row.value or 0.0), row.criterion))
    )


def _ceilings(results: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return one row a cell whose value is the cell's ceiling; cells without one are left out."""
    cells = {(row["network"], row["perturbation"]): {**row, "value": row["ceiling"]} for row in results}
    return [row for row in cells.values() if row["value"] is not None]


def _row(
    criterion: str,
    track: str,
    results: Sequence[Mapping[str, Any]],
    families: Mapping[str, str],
    family_of: Mapping[str, str],
    n_cells: int,
) -> BoardRow:
    by_network = {
        network: _by_perturbation([row for row in results if row["network"] == network], family_of)
        for network in families
        if any(row["network"] == network for row in results)
    }
    complete = len(results) == n_cells
    per_family = [
        fmean(value for network, value in by_network.items() if families[network] == family)
        for family in sorted({families[network] for network in by_network})
    ]
    n_undefined = sum(row["value"] is None for row in results)
    return BoardRow(
        criterion, track, fmean(per_family) if complete and per_family else None, by_network, n_undefined, len(results)
    )


def _by_perturbation(results: Sequence[Mapping[str, Any]], family_of: Mapping[str, str]) -> float:
    variants: dict[str, list[float]] = {}
    for row in results:
        variants.setdefault(family_of[row["perturbation"]], []).append(row["value"] or 0.0)
    return fmean(fmean(values) for values in variants.values())
