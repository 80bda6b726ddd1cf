"""Who is given a budget: each criterion's scores of a network's layers, and the measured truth as one more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.errors import BadInput
from safer_bench.evaluation.scores import ScoreArrays
from safer_bench.networks.network import Network
from safer_bench.registry import suggestion
from safer_bench.scoring.score import score
from safer_bench.tables.facts import TruthFacts

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
    network: Network,
    perturbation: str,
    truth: Mapping[str, pa.Table],
    facts: TruthFacts,
    scores: pa.Table,
    wanted: Sequence[str] = (),
) -> list[Entrant]:
    """Return who scores a network, by name; the trivial controls always, the truth last where it was measured.

    A criterion enters with the scores that it is judged by in area.

    Args:
        network: whose layers are scored.
        perturbation: what its layers will get.
        truth: table ``layer_sensitivity``.
        facts: of the truth.
        scores: a ``scores`` table.
        wanted: names of criteria; all where there is none.

    Raises:
        BadInput: a wanted criterion does not score the network under the perturbation, or has the name of the truth.
    """
    layers = [layer.name for layer in network.layers]
    here = pc.field("perturbation").is_null() | (pc.field("perturbation") == perturbation)
    arrays = ScoreArrays(scores.filter(here & (pc.field("network") == network.name)), facts)
    known = {name for name, _ in arrays.entries}
    _check(wanted, known, network.name, perturbation)
    scored = [
        Entrant(*arrays.entries[i], each)
        for members, values in arrays.of_network(network.name, layers, [(perturbation, "area", None)])
        for i, each in zip(members, values.reshape(len(members), len(layers)), strict=True)
        if not wanted or arrays.entries[i][0] in (*wanted, *SCORED_HERE)
    ]
    scored.sort(key=lambda entrant: (entrant.name, entrant.track))
    missing = [Entrant(name, "blind", _computed(name, network, layers)) for name in SCORED_HERE if name not in known]
    return scored + missing + _truth(network, perturbation, truth)


def _check(wanted: Sequence[str], known: set[str], network: str, perturbation: str) -> None:
    for name in wanted:
        if name not in known and name not in SCORED_HERE:
            raise BadInput(
                f"criterion {name!r} has no scores of network {network!r} under {perturbation}.{suggestion(name, known)} "
                f"Those that have: {', '.join(sorted(known)) or 'none'}; give further ones by --submission DIR"
            )


def _computed(name: str, network: Network, layers: Sequence[str]) -> Array:
    scores = score(name, network, network.inputs[:1], network.labels[:1])  # controls see no values
    return np.array([scores[layer] for layer in layers])


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
