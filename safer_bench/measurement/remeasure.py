"""Measures rows of a published truth again and compares them integer for integer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from safer_bench.errors import MissingData, UnknownName
from safer_bench.measurement.design import Probe
from safer_bench.measurement.plain import PlainEngine
from safer_bench.networks.loading import load_network
from safer_bench.networks.network import Network
from safer_bench.packages import BrokenPackage
from safer_bench.perturbations.loading import perturbation_called
from safer_bench.perturbations.perturbation import Perturbation

Row = dict[str, Any]
COUNTS = ("n_answers", "correct_clean", "broken", "fixed", "predictions_changed")
WEIGHTS = ("weight_digest", "changed_entries")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one row: ``equal``, ``weights differ``, ``counts differ``, ``inputs differ`` or ``absent``."""

    row: Row
    outcome: str
    detail: str = ""


def remeasure(
    rows: Sequence[Row],
    networks: Mapping[str, Row],
    seed: int,
    own: Sequence[Network] = (),
    own_perturbations: Sequence[Perturbation] = (),
    device: str | None = None,
) -> Iterator[Verdict]:
    """Measure rows of ``layer_drops`` again and yield one verdict a row.

    Args:
        rows: of ``layer_drops``.
        networks: rows of ``networks`` by name; weights and inputs must have their digests.
        seed: of the truth's random streams.
        own: networks that cannot be loaded by their names; those of the zoo they take the place of.
        own_perturbations: likewise.
        device: where networks of the zoo are measured, as ``load_network`` takes it.

    Yields:
        Verdicts, network by network; ``absent`` where weights, images or a perturbation are not on this machine.
    """
    engines: dict[str, PlainEngine | Verdict] = {}
    own_by_name = {network.name: network for network in own}
    entries = {entry.name: entry for entry in own_perturbations}
    for row in sorted(rows, key=lambda row: (row["network"], row["layer_index"])):
        name = row["network"]
        if name not in engines:
            engines[name] = _engine(row, own_by_name.get(name), networks[name], seed, device)
        engine = engines[name]
        yield Verdict(row, engine.outcome, engine.detail) if isinstance(engine, Verdict) else _compare(row, engine, entries)


def _engine(row: Row, network: Network | None, facts: Row, seed: int, device: str | None) -> PlainEngine | Verdict:
    try:
        network = network or load_network(row["network"], device)
    except UnknownName:
        return Verdict(row, "absent", f"network {row['network']!r} is not of the zoo; name what builds it by --network")
    except (MissingData, BrokenPackage) as error:
        return Verdict(row, "absent", str(error))
    for key in ("weights_sha256", "inputs_sha256"):
        if getattr(network, key) != facts[key]:
            return Verdict(row, "inputs differ", f"{key} is {getattr(network, key)[:16]}, the truth has {facts[key][:16]}")
    return PlainEngine(network, seed)


def _compare(row: Row, engine: PlainEngine, entries: Mapping[str, Perturbation]) -> Verdict:
    try:
        perturbation = entries.get(row["perturbation"]) or perturbation_called(row["perturbation"])
    except (UnknownName, BrokenPackage) as error:
        return Verdict(row, "absent", str(error))
    probe = Probe(
        engine.network.layer(row["layer"]),
        perturbation,
        row["level"],
        row["draw"],
        row["example_start"],
        row["n_examples"],
    )
    again = next(engine.measure([probe]))
    for outcome, keys in (("weights differ", WEIGHTS), ("counts differ", COUNTS)):
        differing = [key for key in keys if again[key] != row[key]]
        if differing:
            return Verdict(row, outcome, f"{differing[0]} is {again[differing[0]]}, the truth has {row[differing[0]]}")
    return Verdict(row, "equal")
