"""The page's numbers beside the boards: true areas, scores as ranks, costs, budget tasks; no I/O.

Everything is plain lists for JSON. Layers are in order of first use, perturbations in the order of their table.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from statistics import fmean

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.evaluation.board import Entry
from safer_bench.evaluation.leaderboard.numbers import Json, thousandths
from safer_bench.evaluation.scores import ScoreArrays
from safer_bench.ranks import mean_ranks
from safer_bench.tables.facts import TruthFacts
from safer_bench.tables.grouping import grouped

AWARE_LIMIT = 250_000  # ranks of criteria that see the perturbation: about 0.7 MB of the page
BUDGET_VALUES = (
    *("budget", "spent", "accuracy", "low", "high", "gain", "gain_low", "gain_high"),
    *("regret", "regret_low", "regret_high", "truth_guided_share"),
)


def true_areas(truth: Mapping[str, pa.Table], facts: TruthFacts) -> Json:
    """Return for each network its layers, true areas (a list of layers for each perturbation) and reliabilities."""
    rows = truth["layer_sensitivity"].filter(pc.field("summary") == "area")
    rows = rows.select(["network", "perturbation", "layer", "value"]).to_pylist()
    cells = grouped(rows, key=itemgetter("network", "perturbation"))
    areas = {cell: {row["layer"]: row["value"] for row in of_layers} for cell, of_layers in cells.items()}
    return {
        network: {
            "board": f"{facts.datasets[network]}, {facts.splits[network]}",
            "layers": list(layers),
            "areas": [
                [thousandths(areas[network, name].get(layer)) for layer in layers] if (network, name) in areas else None
                for name in facts.levels
            ],
            "reliability": [thousandths(facts.reliability.get((network, name, None))) for name in facts.levels],
        }
        for network, layers in sorted(facts.layers.items(), key=lambda item: (facts.datasets[item[0]], item[0]))
    }


def mean_costs(costs: pa.Table | None, networks: Iterable[str]) -> dict[str, float]:
    """Return each criterion's mean forward-equivalents over networks, of those that have one for every network."""
    wanted, costs_of = set(networks), dict[str, dict[str, float]]()
    for row in costs.to_pylist() if costs is not None else []:
        if row["network"] in wanted and row["forward_equivalents"] is not None:
            costs_of.setdefault(row["criterion"], {})[row["network"]] = row["forward_equivalents"]
    return {name: round(fmean(of.values()), 1) for name, of in sorted(costs_of.items()) if len(of) == len(wanted)}


def score_ranks(
    scores: pa.Table, facts: TruthFacts, entries: Sequence[Entry], *, limit: int = AWARE_LIMIT
) -> tuple[Json, list[str]]:
    """Return the scores, as they are judged in area, as ranks within each network: 1 the lowest, ties at their mean rank.

    Args:
        scores: of schema ``scores``.
        facts: of the truth.
        entries: the criteria wanted; a position in this list names one in the result.
        limit: how many ranks of criteria that see the perturbation; whoever does not fit is left out.

    Returns:
        ``{network: {position: {perturbation's position, or "all" for blind ones: ranks (n_layers,)}}}`` and the names left
        out.
    """
    shown = _within(limit, scores, facts, entries)
    names = pa.array([name for name, _ in shown], pa.string())
    arrays = ScoreArrays(scores.filter(pc.is_in(scores["criterion"], names)), facts)
    cells = [(name, "area", None) for name in facts.levels]
    ranks: Json = {}
    for network, layers in facts.layers.items():
        of_network: Json = {}
        for members, values in arrays.of_network(network, layers, cells):
            for entry, of_entry in zip((arrays.entries[i] for i in members), _ranked(values), strict=True):
                if entry in shown:
                    of_network[str(shown[entry])] = of_entry
        if of_network:
            ranks[network] = {at: of_network[at] for at in sorted(of_network, key=int)}
    return ranks, [entry[0] for entry in entries if entry not in shown]


def _within(limit: int, scores: pa.Table, facts: TruthFacts, entries: Sequence[Entry]) -> dict[Entry, int]:
    """Return the criteria whose ranks fit, with their positions; an aware one takes a rank for each score in area."""
    shown = {}
    counts = scores.group_by(["criterion", "track"]).aggregate([([], "count_all")]).to_pylist()
    n_rows = {(row["criterion"], row["track"]): row["count_all"] for row in counts}
    n_levels = max(1, round(fmean(len(levels) for levels in facts.levels.values())))
    for i, entry in enumerate(entries):
        per_rank = n_levels if entry[1] == "level_aware" else 1
        size = 0 if entry[1] == "blind" else n_rows.get(entry, 0) // per_rank
        if size <= limit:
            limit -= size
            shown[entry] = i
    return shown


def _ranked(values: np.ndarray) -> Iterator[dict[str, list[int | float]]]:
    """Yield the ranks of each entry by the perturbation's position, or "all" for a blind one."""
    known = ~np.isnan(values).any(axis=-1)
    for of_entry, of_cells in zip(mean_ranks(values).tolist(), known.tolist(), strict=True):
        if values.ndim == 2:
            yield {"all": _plain(of_entry)}
        else:
            yield {str(i): _plain(ranks) for i, ranks in enumerate(of_entry) if of_cells[i]}


def _plain(ranks: list[float]) -> list[int | float]:
    return [int(rank) if rank.is_integer() else rank for rank in ranks]


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
