"""What a run will cost, from a small sample of it."""

import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from safer_bench.measurement.answers.arithmetics import KEPT_BYTES
from safer_bench.measurement.design import Design, Probe, Protocol
from safer_bench.measurement.engine import Engine
from safer_bench.networks.network import Network
from safer_bench.truth.run_folder import part_of

SAMPLED_SECONDS = 30.0  # of measuring, about, for each network
FEWEST_EXAMPLES = 24  # that are sampled
DRAWS = (1, 2, 4, 8, 16, 32)  # what else a run could ask for
SHARES = (1.0, 0.5, 0.0)  # of the network that runs after the layers sampled
MIDDLE = 1  # of them
PASSES = 5  # in those of the middle one: two for the first layer, one and two (two draws) for itself, none for the last


@dataclass(frozen=True, slots=True)
class Forecast:
    """What one network will cost.

    Attributes:
        network: its name.
        n_probes: to measure.
        seconds: with all workers, without what is there already.
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


def forecast(network: Network, protocol: Protocol, *, fast: bool = False, workers: int = 1) -> Forecast:
    """Measure a sample of a run and extend it to the whole.

    Three layers (the first, one in the middle and the last by the work that follows them) are measured at every
    perturbation's mildest, middle and severest level, the middle one with two draws too. Each probe sees as many examples
    as in the run where ``SAMPLED_SECONDS`` allow it; where not, fewer, and a third of those: the time for all lies on the
    line through both.

    Args:
        network: to measure.
        protocol: what would be measured.
        fast: as in ``measure``.
        workers: processes that would share this machine.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // workers))
    try:
        return _forecast(network, protocol, fast, workers)
    finally:
        torch.set_num_threads(threads)


def _forecast(network: Network, protocol: Protocol, fast: bool, workers: int) -> Forecast:
    design, engine = Design(network, protocol), Engine(network, protocol.seed, fast=fast)
    layers = _sampled_layers(network)
    conditions, n_few, n_many = _sample(network, protocol, engine)
    prepared = sum(_seconds(lambda layer=layer: engine.replay(layer)) for layer in layers) / len(layers)
    per_clean_example = _seconds(lambda: engine.clean(0, n_few)) / n_few
    sizes = sorted({n_few, n_many})
    cost = lambda layer, n, n_draws: _cost(engine, layer, conditions, n, n_draws)  # noqa: E731
    first = np.array([[cost(layer, n, n_draws=1) for n in sizes] for layer in layers])  # (layers, sizes)
    both = np.array([cost(layers[MIDDLE], n, n_draws=2) for n in sizes])
    second = first * np.maximum(both / first[MIDDLE] - 1.0, 0.0)  # relative to the first, alike in all layers
    costs = np.stack([first, second], axis=2)
    fixed = len(network.layers) * prepared + len(network.labels) * per_clean_example
    seconds = lambda chosen: (fixed + _measuring(network, chosen, sizes, costs, len(conditions))) / workers  # noqa: E731
    others = [replace(protocol, draws=draws) for draws in DRAWS] if isinstance(protocol.draws, int) else []
    n_probes = sum(design.n_probes(start) for start, _ in design.slices) * len(network.layers)
    return Forecast(
        network.name,
        n_probes,
        seconds(protocol),
        _disk(engine, design, conditions, layers[-1], n_few, n_probes),
        workers * _memory(engine, layers, n_many, design.slices[0][1]),
        {draws: seconds(other) for draws, other in zip(DRAWS, others, strict=False)},
    )


def _measuring(network: Network, protocol: Protocol, sizes: Sequence[int], costs: np.ndarray, n_conditions: int) -> float:
    """Return the seconds of all probes, from those of the sampled ones ``(layers, sizes, 2)``: one draw, and a second."""
    design, share_of, seconds = Design(network, protocol), _shares(network), 0.0
    n_all = sum(len(levels) for _, levels in protocol.perturbations)
    for start, n_examples in design.slices:
        at = np.array([[_extended(sizes, layer[:, draw], n_examples) for draw in (0, 1)] for layer in costs])
        n_draws = design.n_probes(start) / n_all  # a level, on average
        by_layer = (at[:, 0] + max(0.0, n_draws - 1.0) * at[:, 1]) * (n_all / n_conditions) * min(1.0, n_draws)
        for layer in network.layers:
            seconds += float(np.interp(share_of[layer.name], SHARES[::-1], by_layer[::-1]))
    return seconds


def _sampled_layers(network: Network) -> list[Any]:
    """Return the layers after which the shares of the work that ``SHARES`` names come nearest."""
    share_of = _shares(network)
    return [min(network.layers, key=lambda layer: abs(share_of[layer.name] - share)) for share in SHARES]


def _shares(network: Network) -> dict[str, float]:
    """Return, of the work from each layer on, the place between the last layer's (0) and the first's (1)."""
    after = np.cumsum([layer.macs for layer in network.layers[::-1]])[::-1].astype(float)
    span = max(after[0] - after[-1], 1.0)
    return {layer.name: (work - after[-1]) / span for layer, work in zip(network.layers, after, strict=True)}


def _sample(network: Network, protocol: Protocol, engine: Engine) -> tuple[list[tuple[Any, float]], int, int]:
    """Return the levels that are sampled, and two numbers of examples: equal where the run's own number is affordable."""
    every = [(entry, levels) for entry, levels in protocol.perturbations]
    conditions = [
        (entry, level) for entry, levels in every for level in sorted({levels[0], levels[len(levels) // 2], levels[-1]})
    ]
    n_examples = Design(network, protocol).slices[0][1]
    fewest, paced = min(FEWEST_EXAMPLES, n_examples), min(8 * FEWEST_EXAMPLES, n_examples)
    trial = [Probe(_sampled_layers(network)[MIDDLE], *conditions[0], 0, 0, paced)]
    list(engine.measure(trial))  # traces, admits, warms up
    passes = SAMPLED_SECONDS / max(1e-9, _seconds(lambda: list(engine.measure(trial))) / paced)
    many = int(np.clip(passes / (PASSES * len(conditions)), fewest, n_examples))
    return conditions, many if many == n_examples else max(fewest, many // 3), many


def _cost(engine: Engine, layer: Any, conditions: Sequence[tuple[Any, float]], n_examples: int, n_draws: int) -> float:
    """Return the seconds of all sampled levels with some draws each."""
    probes = [Probe(layer, *condition, draw, 0, n_examples) for condition in conditions for draw in range(n_draws)]
    list(engine.measure(probes[:1]))  # the clean pass moves here
    return _seconds(lambda: list(engine.measure(probes)))


def _extended(sizes: Sequence[int], seconds: np.ndarray, n_examples: int) -> float:
    """Return the time for another number of examples, along the line through those measured."""
    if len(sizes) == 1:
        return float(seconds[0]) * n_examples / sizes[0]
    slope = max(0.0, float(seconds[1] - seconds[0]) / (sizes[1] - sizes[0]))
    return float(seconds[1]) + slope * (n_examples - sizes[1])


def _disk(
    engine: Engine, design: Design, conditions: Sequence[tuple[Any, float]], layer: Any, n_examples: int, n_probes: int
) -> int:
    probes = [Probe(layer, *condition, draw, 0, n_examples) for condition in conditions for draw in (0, 1)]
    rows = list(engine.measure(probes))
    some, all_of_them = len(part_of(rows[::2])), len(part_of(rows))
    per_row = (all_of_them - some) / (len(rows) / 2)
    per_part = some - per_row * len(rows) / 2
    unseen = max(0, design.slices[0][1] - n_examples) / 8  # a bit an example, were they not compressed
    return int(per_part * len(design.slices) * len(engine.network.layers) + (per_row + unseen) * n_probes)


def _memory(engine: Engine, layers: Sequence[Any], sampled: int, n_examples: int) -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    kept = max((replay.bytes_per_example for replay in map(engine.replay, layers) if replay), default=0)
    return int(peak + max(0, min(kept * n_examples, KEPT_BYTES) - kept * sampled))


def _seconds(run: Any) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
