"""Results -> means over variants, perturbations, networks and families, in this order; no I/O.

Undefined values count as 0.
"""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from safer_bench.bootstrap import MIN_FAMILIES, intervals

Row = Mapping[str, Any]
MIN_LAYERS = 10  # networks with fewer are shown apart
_GROUP = ("criterion", "track", "dataset", "split", "metric", "truth_revision")


def by_network(results: Sequence[Row], perturbation_families: Mapping[str, str]) -> dict[str, float]:
    """Return ``{network: mean}`` of one criterion's results, variants of a perturbation family first averaged."""
    variants: dict[str, dict[str, list[float]]] = {}
    for row in results:
        of_network = variants.setdefault(row["network"], {})
        of_network.setdefault(perturbation_families[row["perturbation"]], []).append(row["value"] or 0.0)
    return {network: fmean(fmean(values) for values in found.values()) for network, found in sorted(variants.items())}


def by_family(network_means: Mapping[str, float], families: Mapping[str, str]) -> dict[str, float]:
    """Return ``{family: mean over its networks}``; ``families`` names each network's."""
    groups: dict[str, list[float]] = {}
    for network, value in network_means.items():
        groups.setdefault(families[network], []).append(value)
    return {family: fmean(values) for family, values in sorted(groups.items())}


def family_means(
    results: Sequence[Row], families: Mapping[str, str], perturbation_families: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return rows of ``results`` that are means over families with 95 % intervals, their ``network`` null.

    There is one for each criterion, metric and perturbation at each level and in area, and one over all perturbations
    (``perturbation`` null, in area), of the networks of one dataset and split with ten layers or more. Where a criterion
    did not score them all, or their families are fewer than six, there is none.

    Args:
        results: rows of single networks.
        families: family of each network.
        perturbation_families: family of each perturbation.
    """
    rows, values = [], []
    for row, of_family in _complete_groups(results, families, perturbation_families):
        if len(of_family) >= MIN_FAMILIES:
            rows.append({**row, "value": fmean(of_family.values())})
            values.append(tuple(of_family.values()))
    for n_families in sorted({len(each) for each in values}):
        chosen = [i for i, each in enumerate(values) if len(each) == n_families]
        low, high = intervals(np.array([values[i] for i in chosen]))
        for i, ends in zip(chosen, zip(low.tolist(), high.tolist(), strict=True), strict=True):
            rows[i] |= {"low": round(ends[0], 6), "high": round(ends[1], 6)}  # the last digits are the machine's
    return rows


def _complete_groups(
    results: Sequence[Row], families: Mapping[str, str], perturbation_families: Mapping[str, str]
) -> Iterator[tuple[dict[str, Any], dict[str, float]]]:
    """Yield each mean's identity with ``{family: mean}``, for criteria that scored every cell it is over."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    cells: dict[tuple[Any, ...], set[tuple[str, str]]] = {}
    for row in results:
        if row["n_layers"] < MIN_LAYERS:
            continue
        places = [(row["perturbation"], row["summary"], row["level"])]
        places += [(None, "area", None)] if row["summary"] == "area" else []
        for place in places:
            groups.setdefault((*(row.get(name) for name in _GROUP), *place), []).append(row)
            cells.setdefault((row["dataset"], row["split"], *place), set()).add((row["network"], row["perturbation"]))
    for key, rows in groups.items():
        found = dict(zip((*_GROUP, "perturbation", "summary", "level"), key, strict=True))
        scope = (found["dataset"], found["split"], found["perturbation"], found["summary"], found["level"])
        if len(rows) == len(cells[scope]):
            yield found, by_family(by_network(rows, perturbation_families), families)
