"""Who is given a budget: each criterion's scores of a network's layers, and the measured truth as one more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.errors import BadInput
from safer_bench.networks.network import Network
from safer_bench.registry import suggestion
from safer_bench.scoring.score import score
from safer_bench.truth.area import area_of

Array = np.ndarray
TRUTH_GUIDED, TRUTH_PER_WEIGHT = "truth_guided", "truth_per_weight"
SCORED_HERE = ("parameters", "depth", "random")  # where the tables do not have them


@dataclass(frozen=True, slots=True)
class Entrant:
    """A name, what it sees (a track), and its scores of the layers ``(n_layers,)`` in order of first use."""

    name: str
    track: str
    scores: Array


def entrants(
    network: Network, perturbation: str, truth: Mapping[str, pa.Table], scores: pa.Table, wanted: Sequence[str] = ()
) -> list[Entrant]:
    """Return who scores a network, by name; the trivial controls always, the truth last where it was measured.

    An aware criterion enters with its scores under the perturbation, a level-aware one with their mean, as in the area.

    Args:
        network: whose layers are scored.
        perturbation: what its layers will get.
        truth: tables ``layer_sensitivity`` and ``perturbations``.
        scores: a ``scores`` table.
        wanted: names of criteria; all where there is none.

    Raises:
        BadInput: a wanted criterion does not score the network under the perturbation, or has the name of the truth.
    """
    values_of: dict[tuple[str, str], dict[tuple[float | None, str], float]] = {}
    for row in scores.filter(pc.field("network") == network.name).to_pylist():
        if row["perturbation"] in (None, perturbation):
            values_of.setdefault((row["criterion"], row["track"]), {})[row["level"], row["layer"]] = row["score"]
    known = {name for name, _ in values_of}
    _check(wanted, known, network.name, perturbation)
    layers = [layer.name for layer in network.layers]
    kinds = {row["perturbation"]: row for row in truth["perturbations"].to_pylist()}
    scored = [
        Entrant(name, track, _averaged(values, layers, kinds.get(perturbation, {})))
        for (name, track), values in sorted(values_of.items())
        if not wanted or name in (*wanted, *SCORED_HERE)
    ]
    missing = [Entrant(name, "blind", _computed(name, network, layers)) for name in SCORED_HERE if name not in known]
    return scored + missing + _truth(network, perturbation, truth)


def _check(wanted: Sequence[str], known: set[str], network: str, perturbation: str) -> None:
    for name in wanted:
        if name not in known and name not in SCORED_HERE:
            raise BadInput(
                f"criterion {name!r} has no scores of network {network!r} under {perturbation}.{suggestion(name, known)} "
                f"Those that have: {', '.join(sorted(known)) or 'none'}; give further ones by --submission DIR"
            )


def _averaged(values: Mapping[tuple[float | None, str], float], layers: Sequence[str], kind: Mapping[str, Any]) -> Array:
    """Return scores ``(n_layers,)``; ``kind`` has the perturbation's levels, all of which a level-aware criterion scored."""
    if (None, layers[0]) in values:
        return np.array([values[None, layer] for layer in layers])
    each = np.array([[values[level, layer] for layer in layers] for level in kind["levels"]])
    return area_of(each, kind["levels"], kind["scale"])


def _computed(name: str, network: Network, layers: Sequence[str]) -> Array:
    found = score(name, network, network.images[:1], network.labels[:1])  # controls see no values
    return np.array([found[layer] for layer in layers])


def _truth(network: Network, perturbation: str, truth: Mapping[str, pa.Table]) -> list[Entrant]:
    """Return the measured areas as scores, as they are and by what a layer costs; nothing where there are none."""
    rows: list[dict[str, Any]] = truth["layer_sensitivity"].to_pylist()
    areas = {
        row["layer"]: row["value"]
        for row in rows
        if (row["network"], row["perturbation"], row["summary"]) == (network.name, perturbation, "area")
    }
    if not areas:
        return []
    scores = np.array([areas[layer.name] for layer in network.layers], dtype=np.float64)
    sizes = np.array([layer.parameters for layer in network.layers])
    return [
        Entrant(TRUTH_GUIDED, "perturbation_aware", scores),
        Entrant(TRUTH_PER_WEIGHT, "perturbation_aware", scores / sizes),
    ]
