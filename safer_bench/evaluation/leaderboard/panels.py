"""The page's numbers beside the boards: true areas, scores as ranks, costs, budget tasks; no I/O.

Everything is plain lists for JSON. Layers are in order of first use, perturbations in the order of their table.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats

from safer_bench.evaluation.boards import Entry
from safer_bench.evaluation.leaderboard.numbers import Json, thousandths
from safer_bench.truth.area import area_of

AWARE_LIMIT = 250_000  # ranks of criteria that see the perturbation: about 0.7 MB of the page
BUDGET_VALUES = ("budget", "accuracy", "low", "high", "truth_guided_share")


def layers_of(truth: Mapping[str, pa.Table]) -> dict[str, list[str]]:
    """Return ``{network: layers in order of first use}``, networks by dataset and name."""
    found: dict[str, list[str]] = {}
    rows = truth["layers"].to_pylist()
    for row in sorted(rows, key=lambda row: (row["dataset"], row["network"], row["layer_index"])):
        found.setdefault(row["network"], []).append(row["layer"])
    return found


def true_areas(truth: Mapping[str, pa.Table], perturbations: Sequence[str]) -> Json:
    """Return for each network its layers, true areas (a list of layers for each perturbation) and reliabilities."""
    areas: dict[tuple[str, str], dict[str, float]] = {}
    for row in truth["layer_sensitivity"].filter(pc.field("summary") == "area").to_pylist():
        areas.setdefault((row["network"], row["perturbation"]), {})[row["layer"]] = row["value"]
    reliability = {
        (row["network"], row["perturbation"]): row["reliability"]
        for row in truth["cells"].filter(pc.field("summary") == "area").to_pylist()
    }
    datasets = {row["network"]: f"{row['dataset']}, {row['split']}" for row in truth["networks"].to_pylist()}
    return {
        network: {
            "board": datasets[network],
            "layers": layers,
            "areas": [
                [thousandths(areas[network, name].get(layer)) for layer in layers] if (network, name) in areas else None
                for name in perturbations
            ],
            "reliability": [thousandths(reliability.get((network, name))) for name in perturbations],
        }
        for network, layers in layers_of(truth).items()
    }


def mean_costs(costs: pa.Table | None, networks: Iterable[str]) -> dict[str, float]:
    """Return each criterion's mean forward-equivalents over networks, of those that have one for every network."""
    wanted, found = set(networks), dict[str, dict[str, float]]()
    for row in costs.to_pylist() if costs is not None else []:
        if row["network"] in wanted and row["forward_equivalents"] is not None:
            found.setdefault(row["criterion"], {})[row["network"]] = row["forward_equivalents"]
    return {name: round(fmean(of.values()), 1) for name, of in sorted(found.items()) if len(of) == len(wanted)}


def score_ranks(
    scores: pa.Table, truth: Mapping[str, pa.Table], entries: Sequence[Entry], *, limit: int = AWARE_LIMIT
) -> tuple[Json, list[str]]:
    """Return the scores as ranks within each network, 1 the lowest, ties at their mean rank.

    Args:
        scores: of schema ``scores``.
        truth: tables ``layers`` and ``perturbations``.
        entries: the criteria wanted; a position in this list names one in the result.
        limit: how many ranks of criteria that see the perturbation; whoever does not fit is left out.

    Returns:
        ``{network: {position: {perturbation's position, or "all" for blind ones: ranks (n_layers,)}}}`` and the names left
        out. Scores at levels are averaged as in the area.
    """
    layers, names = layers_of(truth), truth["perturbations"]["perturbation"].to_pylist()
    found: Json = {}
    left_out, room = [], limit
    for i, (criterion, track) in enumerate(entries):
        table = scores.filter((pc.field("criterion") == criterion) & (pc.field("track") == track))
        size = 0 if track == "blind" else table.num_rows // (1 if track == "perturbation_aware" else _mean_levels(truth))
        if size > room:
            left_out.append(criterion)
            continue
        room -= size
        for (network, perturbation), values in _of_area(table, truth, layers).items():
            place = "all" if perturbation is None else str(names.index(perturbation))
            ranks = [int(r) if r == int(r) else float(r) for r in stats.rankdata(values)]
            found.setdefault(network, {}).setdefault(str(i), {})[place] = ranks
    return found, left_out


def _mean_levels(truth: Mapping[str, pa.Table]) -> int:
    return max(1, round(fmean(len(levels) for levels in truth["perturbations"]["levels"].to_pylist())))


def _of_area(
    table: pa.Table, truth: Mapping[str, pa.Table], layers: Mapping[str, list[str]]
) -> dict[tuple[str, str | None], np.ndarray]:
    """Return ``{(network, perturbation or None): scores (n_layers,)}`` of one criterion, levels averaged as in the area."""
    kinds = {row["perturbation"]: row for row in truth["perturbations"].to_pylist()}
    places = {network: {layer: i for i, layer in enumerate(names)} for network, names in layers.items()}
    given: dict[tuple[str, str | None], dict[float | None, np.ndarray]] = {}
    for row in table.to_pylist():
        network, of_levels = row["network"], given.setdefault((row["network"], row["perturbation"]), {})
        values = of_levels.setdefault(row["level"], np.zeros(len(places[network])))
        values[places[network][row["layer"]]] = row["score"]
    found: dict[tuple[str, str | None], np.ndarray] = {}
    for (network, perturbation), of_levels in given.items():
        if perturbation is None:
            found[network, perturbation] = of_levels[None]
        elif None in of_levels:
            found[network, perturbation] = _without_last_digits(of_levels[None])
        else:
            levels, scale = kinds[perturbation]["levels"], kinds[perturbation]["scale"]
            each = np.stack([of_levels[level] for level in levels])
            found[network, perturbation] = area_of(each, levels, scale)
    return found


def _without_last_digits(values: np.ndarray) -> np.ndarray:
    """Return what ranks as averages over levels do without rounding errors: 12 decimals, of the largest if under 1."""
    unit, small = min(1.0, float(np.abs(values).max())) or 1.0, np.abs(values) < 1.0e3
    return np.where(small, np.round(np.where(small, values, 0.0) / unit, 12), values / unit)


def budget_rows(budget: pa.Table) -> Json:
    """Return a table of budget tasks by column, shares of 1 in thousandths, its rows in the order that they are drawn."""
    keys = [
        (name, "ascending")
        for name in ("dataset", "network", "task", "perturbation", "level", "criterion", "track", "budget")
    ]
    table = budget.sort_by(keys).to_pydict()
    return {
        name: [thousandths(value) if name in BUDGET_VALUES else value for value in values] for name, values in table.items()
    }
