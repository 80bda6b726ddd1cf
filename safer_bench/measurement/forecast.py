"""What a run will cost, from a small sample of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from safer_bench.measurement.answers.tuning import room_on
from safer_bench.measurement.design import Design, Probe, Protocol, most_draws
from safer_bench.measurement.engine import Engine
from safer_bench.measurement.fast_answers import HELD
from safer_bench.measurement.fast_choice import first_arithmetic
from safer_bench.measurement.sample import (
    Clock,
    Sample,
    Times,
    counts_of,
    extended,
    sample_of,
    sampled_layers,
    shares,
    times_of,
)
from safer_bench.networks.network import Network
from safer_bench.processes import peak_memory
from safer_bench.truth.run_folder import part_of

SAMPLED_SECONDS = 30.0  # of measuring, about and at most, for each network
DRAWS = (1, 2, 4, 8, 16, 32)  # what else a run could ask for


@dataclass(frozen=True, slots=True)
class Forecast:
    """What one network will cost.

    Attributes:
        network: its name.
        n_probes: to measure.
        seconds: with all workers, where no other process disturbs them, without what is there already.
        disk_bytes: of the parts, at most.
        memory_bytes: of all processes.
        seconds_by_draws: what other numbers of draws a level would take; empty where levels differ in draws already.
    """

    network: str
    n_probes: int
    seconds: float
    disk_bytes: int
    memory_bytes: int
    seconds_by_draws: dict[int, float]


def forecast(
    network: Network,
    protocol: Protocol,
    *,
    fast: bool = False,
    workers: int = 1,
    tell: Callable[[str], None] = lambda _: None,
) -> Forecast:
    """Measure a sample of a run, in about ``SAMPLED_SECONDS`` beside what tracing takes, and extend it to the whole.

    Three layers (the first, one in the middle and the last by the work that follows them) are measured at every
    perturbation's mildest, middle and severest level, on slices of two sizes, the larger as large as the run's where time
    allows it. Random and deterministic perturbations, which see slices of different sizes, are sampled each by themselves.
    What is done once a network, a layer, a slice, a layer on a slice and a probe is extended each by itself, by the line
    through both sizes. Times are of the processor, so that other processes do not disturb them.

    Args:
        network: to measure.
        protocol: what would be measured.
        fast: as in ``measure``.
        workers: processes that would share this machine.
        tell: called with ``fast``, as soon as it is known, with which arithmetic comes first and why.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // workers))
    try:
        return _forecast(network, protocol, fast, workers, tell)
    finally:
        torch.set_num_threads(threads)


def _forecast(network: Network, protocol: Protocol, fast: bool, workers: int, tell: Callable[[str], None]) -> Forecast:
    design, engine = Design(network, protocol), Engine(network, protocol.seed, fast=fast)
    clock = Clock(network, torch.get_num_threads())
    prepared = _prepared(engine, clock)
    if fast:
        tell(f"{network.name}: {first_arithmetic(engine)}")
    kinds = sorted(set().union(*(counts_of(design, where) for where in design.slices)))  # random, deterministic ones
    samples = [
        sample_of(engine, design, protocol, clock, SAMPLED_SECONDS / len(kinds), deterministic=kind) for kind in kinds
    ]
    prepared += _cleaned(engine, max(sample.n_examples for sample in samples), clock)
    times = [times_of(engine, sample, clock) for sample in samples]

    def seconds(chosen: Protocol) -> float:
        once, divided = _measuring(Design(network, chosen), samples, times)
        return (prepared + once + divided / workers) / clock.processors

    n_probes = sum(len(design.conditions(where)) for where in design.slices) * len(network.layers)
    return Forecast(
        network.name,
        n_probes,
        seconds(protocol),
        _disk(engine, design, samples),
        workers * _memory(engine, samples, max(n for _, n in design.slices)),
        {draws: seconds(replace(protocol, draws=draws)) for draws in _other_draws(protocol)},
    )


def _prepared(engine: Engine, clock: Clock) -> float:
    """Return the seconds in which a network is traced and each of its layers admitted."""
    first, *others = [clock(lambda layer=layer: engine.replay(layer)) for layer in sampled_layers(engine.network)]  # type: ignore[misc]
    return first + (len(engine.network.layers) - 1) * float(np.mean(others))


def _cleaned(engine: Engine, sampled: int, clock: Clock) -> float:
    """Return the seconds of clean answers to all examples, after those of some: of all that the sample sees, as in a run."""
    total = len(engine.network.labels)
    many = min(2 * sampled, total)
    few = max(1, many // 3)
    seconds = np.array([clock(lambda: engine.clean(many - few, few)), clock(lambda: engine.clean(0, many))])
    return float(extended(np.array([few, many]), seconds, total))


def _measuring(design: Design, samples: Sequence[Sample], times: Sequence[Times]) -> tuple[float, float]:
    """Return the seconds of all probes: what each worker does, and what workers share."""
    share_of, total = shares(design.network), len(design.network.labels)
    sampled = [share_of[layer.index] for layer in sampled_layers(design.network)]
    of_layers = lambda seconds: float(np.interp(share_of, sampled[::-1], seconds[::-1]).sum())  # noqa: E731
    of_kind = {sample.deterministic: (sample.n_levels, each) for sample, each in zip(samples, times, strict=True)}
    divided = 0.0
    for where in design.slices:
        n_probes, (_, n_examples) = counts_of(design, where), where
        at = {kind: of_kind[kind][1] for kind in n_probes}
        divided += max(
            (where != (0, total)) * extended(of.sizes, of.cleans, n_examples)  # those of all examples are known
            + extended(of.sizes, of.slices, n_examples)
            + extended(of.sizes, of.units, n_examples) * (len(share_of) - 1)
            for of in at.values()
        )
        for kind, of in at.items():
            firsts = min(n_probes[kind], of_kind[kind][0])
            n_times = firsts + of.further * (n_probes[kind] - firsts)
            divided += of_layers(extended(of.sizes, of.probes, n_examples)) * n_times
    return sum(of_layers(each.once) for each in times), float(divided)


def _other_draws(protocol: Protocol) -> list[int]:
    """Return what other numbers of draws a level could be asked for; none where levels differ in draws by a plan."""
    if not (protocol.draws is None or isinstance(protocol.draws, int)):
        return []
    most = min((most_draws(entry) or max(DRAWS) for entry, _ in protocol.perturbations), default=max(DRAWS))
    return [draws for draws in DRAWS if draws <= most]


def _disk(engine: Engine, design: Design, samples: Sequence[Sample]) -> int:
    """Return the bytes of all parts."""
    of_kind = {sample.deterministic: (sample, *_row_and_part(engine, sample)) for sample in samples}
    of_layer = 0.0
    for where in design.slices:
        n_probes = counts_of(design, where)
        of_layer += max(of_kind[kind][2] for kind in n_probes)
        for kind, n in n_probes.items():
            sample, per_row, _ = of_kind[kind]
            further = max(0, where[1] - sample.n_examples)
            of_layer += n * (per_row + further / 8)  # a bit an example, were they not compressed
    return int(of_layer * len(engine.network.layers))


def _row_and_part(engine: Engine, sample: Sample) -> tuple[float, float]:
    """Return the bytes of a row, and of a part without rows: from parts of the sample's rows with one draw and with two."""
    layer = sampled_layers(engine.network)[-1]
    probes = [Probe(layer, *condition, draw, 0, sample.n_examples) for condition in sample.conditions for draw in (0, 1)]
    rows = list(engine.measure(probes))
    some, all_of_them = len(part_of(rows[::2])), len(part_of(rows))
    per_row = (all_of_them - some) / (len(rows) / 2)
    return per_row, some - per_row * len(rows) / 2


def _memory(engine: Engine, samples: Sequence[Sample], n_examples: int) -> int:
    """Return the bytes of a process: what it took so far, and what larger slices than the sampled ones add."""
    replays = map(engine.replay, sampled_layers(engine.network))
    kept = HELD * max((replay.bytes_per_example for replay in replays if replay), default=0)
    sampled = max(sample.n_examples for sample in samples)
    return int(peak_memory() + max(0, min(kept * n_examples, room_on(engine.network.device).kept_bytes) - kept * sampled))
