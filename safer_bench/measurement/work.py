"""What every process of a run does: units of work, one by one, each to the bytes of its part."""

import time
from collections import Counter
from collections.abc import Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, field, replace

import torch

from safer_bench.errors import BadInput
from safer_bench.measurement.design import Design, Protocol
from safer_bench.measurement.engine import Engine
from safer_bench.measurement.identity import Identity, files_of_perturbation
from safer_bench.networks.devices import CPU, card_of
from safer_bench.networks.loading import load_network
from safer_bench.networks.network import Network
from safer_bench.truth.run_folder import Unit, part_of


@dataclass(frozen=True, slots=True)
class Job:
    """What a process has to know to measure any unit of a run; it can be pickled.

    Attributes:
        sources: of the networks, by name: what each process loads them from, or themselves where nothing is known.
        identities: what each network was known by where the job began, by name.
        protocol: what is measured.
        files: of each perturbation of a user's file, by name, the SHA-256 of the files that make it, where the job began.
        fast: try bfloat16 first.
        devices: where each network runs, by name, as it was named; ``cuda`` is any card.
        folded: names of the networks whose batch norms are folded once they are loaded.
    """

    sources: dict[str, str | Network]
    identities: dict[str, Identity]
    protocol: Protocol
    files: dict[str, dict[str, str]]
    fast: bool = False
    devices: dict[str, str] = field(default_factory=dict)
    folded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Measured:
    """One finished unit.

    Attributes:
        unit: which.
        part: the bytes of its part.
        seconds: that it took, with what had to be prepared for it.
        settled: number of examples settled by each arithmetic.
        reasons: why layers, or under ``""`` the network, were measured by whole passes; those not yet reported.
    """

    unit: Unit
    part: bytes
    seconds: float
    settled: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, str] = field(default_factory=dict)


def job_of(networks: Sequence[Network], protocol: Protocol, *, fast: bool) -> Job:
    """Return the job of measuring networks."""
    sources = {network.name: network.spec or network for network in networks}
    identities = {network.name: Identity.of(network) for network in networks}
    devices = {network.name: str(network.placed or network.device) for network in networks}
    folded = frozenset(network.name for network in networks if network.folding is not None)
    return Job(sources, identities, protocol, _files(protocol), fast, devices, folded)


def portable(job: Job) -> Job:
    """Return a job that any process can take: networks without a file travel in main memory, and are placed there anew."""
    return replace(job, sources={name: _in_main_memory(source) for name, source in job.sources.items()})


def _in_main_memory(source: str | Network) -> str | Network:
    if isinstance(source, str) or source.device == CPU:
        return source
    other = copy(source)
    other.model = deepcopy(source.model)
    return other.to(CPU)


def _files(protocol: Protocol) -> dict[str, dict[str, str]]:
    """Return the files that make each perturbation which another process loads from a user's file or a package."""
    pairs = zip(protocol.specs, protocol.perturbations, strict=True)
    return {entry.name: files_of_perturbation(entry) for spec, (entry, _) in pairs if isinstance(spec, str)}


class Worker:
    """Measures units of a job.

    Args:
        job: what is measured.
        networks: those that are loaded already.
        number: of the worker, from 0; it chooses the card.

    Raises:
        BadInput: the file of a perturbation is another one in this process.
    """

    def __init__(self, job: Job, networks: Sequence[Network] = (), number: int = 0) -> None:
        self.job, self.number = job, number
        _check_perturbations(job)
        self._loaded = {network.name: network for network in networks}
        self._engines: dict[str, Engine] = {}
        self._design: Design | None = None  # of the network at work
        self._told: set[tuple[str, str]] = set()  # networks and layers whose reason for whole passes was given

    def measure(self, unit: Unit) -> Measured:
        """Measure one unit.

        Raises:
            BadInput: a perturbation failed, or the network is another one in this process.
        """
        started = time.perf_counter()
        engine = self.engine(unit.network)
        if self._design is None or self._design.network is not engine.network:
            if self._design is not None:
                del self._engines[self._design.network.name]  # units come network by network: frees the last one
            self._design = Design(engine.network, self.job.protocol)
        settled = engine.settled.copy()
        work = self._design.unit(unit.slice, engine.network.layers[unit.layer_index])
        part = part_of(list(engine.measure(work.probes)))
        new = {layer: text for layer, text in engine.reasons.items() if (unit.network, layer) not in self._told}
        self._told |= {(unit.network, layer) for layer in new}
        return Measured(unit, part, time.perf_counter() - started, engine.settled - settled, new)

    def engine(self, name: str) -> Engine:
        """Return the engine of a network, made when first asked for.

        Raises:
            BadInput: the network's file builds another one in this process.
        """
        if name not in self._engines:
            self._engines[name] = Engine(self._network(name), self.job.protocol.seed, fast=self.job.fast)
        return self._engines[name]

    def _network(self, name: str) -> Network:
        source = self.job.sources[name]
        if name not in self._loaded:
            network = load_network(source, fold=name in self.job.folded) if isinstance(source, str) else source
            card = card_of(torch.device(self.job.devices[name]), self.number)
            self._loaded[name] = network if network.device == card else network.to(card)
        network = self._loaded[name]
        found = self.job.identities[name].difference(Identity.of(network))
        if found is not None:
            raise BadInput(
                f"network {name!r}: {source} {found} in another process; build the same each time, "
                "for example by loading weights from a file or setting the seed, and edit no file meanwhile"
            )
        return network


def _check_perturbations(job: Job) -> None:
    """Refuse what a process loaded from files that were edited after the job began."""
    for name, now in _files(job.protocol).items():
        files = job.files[name].keys() | now.keys()
        other = min((file for file in files if job.files[name].get(file) != now.get(file)), default=None)
        if other is not None:
            raise BadInput(
                f"perturbation {name!r} is made by another {other} in another process; edit no file meanwhile, and "
                "restore it to finish the run"
            )
