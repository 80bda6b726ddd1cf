"""What a small sample of a run's probes takes: the times from which a forecast is made."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from safer_bench.measurement.design import Design, Probe, Protocol
from safer_bench.measurement.engine import Engine
from safer_bench.networks.layers import Layer
from safer_bench.networks.network import Network
from safer_bench.perturbations.perturbation import Perturbation
from safer_bench.truth.slices import Slice

FEWEST_EXAMPLES = 12  # that a probe of the sample sees, where the run's does
SHARES = (1.0, 0.5, 0.0)  # of the network's work that follows after the layers sampled
MIDDLE = 1  # of them
PASSES = 24  # of all levels after the middle layer, that ``times_of`` takes

Array = np.ndarray
Conditions = Sequence[tuple[Perturbation, float]]


@dataclass(frozen=True, slots=True)
class Sample:
    """Which probes are sampled of those of random or of deterministic perturbations.

    Attributes:
        conditions: perturbations and levels.
        n_levels: of all perturbations together, sampled or not.
        n_examples: a probe sees, at most half of all: slices of as many exist that the engine has not met.
        deterministic: which perturbations.
    """

    conditions: Conditions
    n_levels: int
    n_examples: int
    deterministic: bool


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of one process, each at two numbers of examples.

    Attributes:
        sizes: few and many examples ``(2,)``.
        cleans: clean answers to a slice ``(2,)``.
        slices: what a slice takes then before the first probe on it ``(2,)``.
        units: what each further layer takes on it before the first probe ``(2,)``.
        probes: a sampled level, one draw, after each sampled layer ``(n_shares, 2)``, on average.
        further: a further draw on the same slice, as a share of the first.
        once: the first probes of a sampled layer above those of later slices ``(n_shares,)``.
    """

    sizes: Array
    cleans: Array
    slices: Array
    units: Array
    probes: Array
    further: float
    once: Array


class Clock:
    """Seconds of the processor, which other processes do not disturb; by the wall where a device computes.

    Attributes:
        processors: that a call of a tenth of a second or more used on average, the most.
    """

    def __init__(self, network: Network, n_threads: int) -> None:
        self._on_device = network.device.type != "cpu"
        self._n_threads, self.processors = n_threads, 1.0

    def __call__(self, work: Callable[[], object]) -> float:
        """Return what some work takes."""
        wall, own = time.perf_counter(), time.process_time()
        work()
        own, wall = time.process_time() - own, time.perf_counter() - wall
        if self._on_device:
            return wall
        if wall >= 0.1:
            self.processors = min(float(self._n_threads), max(self.processors, own / wall))
        return own

    def measuring(self, engine: Engine, layer: Layer, conditions: Conditions, where: Slice, n_draws: int = 1) -> float:
        """Return what the probes of a layer on a slice take."""
        probes = [Probe(layer, *condition, draw, *where) for condition in conditions for draw in range(n_draws)]
        return self(lambda: list(engine.measure(probes)))


def sample_of(
    engine: Engine, design: Design, protocol: Protocol, clock: Clock, seconds: float, *, deterministic: bool
) -> Sample:
    """Return a sample of random or deterministic perturbations which ``times_of`` measures in about so many seconds.

    Of each perturbation the mildest, middle and severest level are sampled, on slices as large as the run's or half of all
    examples. Where that takes longer, on fewer; where even ``FEWEST_EXAMPLES`` do, the middle level alone.
    """
    levels = [(entry, given) for entry, given in protocol.perturbations if entry.deterministic == deterministic]
    three = [(entry, each) for entry, given in levels for each in sorted({given[0], given[len(given) // 2], given[-1]})]
    middle = [(entry, given[len(given) // 2]) for entry, given in levels]
    n_examples = next(where[1] for where in design.slices if deterministic in counts_of(design, where))
    most = max(1, min(n_examples, len(engine.network.labels) // 2))
    tried = min(FEWEST_EXAMPLES, most)
    place = sampled_layers(engine.network)[MIDDLE].index + 1
    beside = engine.network.layers[min(place, len(engine.network.layers) - 1)]  # the sampled one is to be met later
    first, again = (clock.measuring(engine, beside, middle, (0, tried)) for _ in range(2))
    left = max(seconds / 4, seconds - len(SHARES) * max(0.0, first - again))  # what a layer takes at first, each takes
    can = left / max(1e-9, PASSES * len(three) * again / (len(middle) * tried))
    conditions = three if can >= tried else middle
    return Sample(conditions, sum(len(given) for _, given in levels), int(np.clip(can, tried, most)), deterministic)


def counts_of(design: Design, where: Slice) -> Counter[bool]:
    """Return the number of probes of a unit on a slice by whether they are deterministic."""
    return Counter(entry.deterministic for entry, _, _ in design.conditions(where))


def times_of(engine: Engine, sample: Sample, clock: Clock) -> Times:
    """Measure a sample on three slices: one by which the engine learns the layers, a smaller and an equal one."""
    n_examples, few = sample.n_examples, max(1, sample.n_examples // 3)
    begins = min(n_examples, len(engine.network.labels) - n_examples)
    places = [(0, n_examples), (begins, few), (begins, n_examples)]
    cleans, found = zip(*(_of_slice(engine, sample, where, clock) for where in places), strict=True)
    first, again, probes, both = np.array(found[1:]).transpose(2, 1, 0)  # each (n_shares, 2)
    prepared = np.maximum(0.0, first - again)
    return Times(
        sizes=np.array([few, n_examples]),
        cleans=np.array(cleans[1:]),
        slices=prepared[0],
        units=prepared[1:].mean(0),
        probes=probes / len(sample.conditions),
        further=1.0 if sample.deterministic else max(0.0, both[MIDDLE, 1] / max(1e-9, probes[MIDDLE, 1]) - 1.0),
        once=np.maximum(0.0, (found[0] - found[2])[:, :3].sum(1)),
    )


def _of_slice(engine: Engine, sample: Sample, where: Slice, clock: Clock) -> tuple[float, Array]:
    """Return what clean answers take, and ``(n_shares, 4)``: a level of each perturbation, again, all, and two draws of all.

    Two draws are made after the middle layer alone. The last two are the faster of two times: a slice's first
    probe that must be recomputed in float64 takes as long as ten others.
    """
    clean = clock(lambda: engine.clean(*where))
    one_each = list({entry.name: (entry, level) for entry, level in sample.conditions}.values())
    twice = lambda *probes: min(clock.measuring(engine, *probes) for _ in range(2))  # noqa: E731
    times = []
    for number, layer in enumerate(sampled_layers(engine.network)):
        if layer.index > 0:  # so that the clean pass moves on by one layer, as in a run
            clock.measuring(engine, engine.network.layers[layer.index - 1], one_each[:1], where)
        first, again = (clock.measuring(engine, layer, one_each, where) for _ in range(2))
        once = twice(layer, sample.conditions, where)
        drawn_twice = number == MIDDLE and not sample.deterministic
        times.append([first, again, once, twice(layer, sample.conditions, where, 2) if drawn_twice else np.nan])
    return clean, np.array(times)


def extended(sizes: Array, seconds: Array, n_examples: float) -> Array:
    """Return times ``(..., 2)`` for another number of examples, along the lines through those of both sizes: ``(...,)``."""
    slope = np.maximum(0.0, (seconds[..., 1] - seconds[..., 0]) / max(1, sizes[1] - sizes[0]))
    return np.asarray(seconds[..., 1] + slope * (n_examples - sizes[1]))


def sampled_layers(network: Network) -> list[Layer]:
    """Return the layers after which the shares of the work that ``SHARES`` names come nearest."""
    share_of = shares(network)
    return [min(network.layers, key=lambda layer: abs(share_of[layer.index] - share)) for share in SHARES]


def shares(network: Network) -> Array:
    """Return where the work from each layer on lies between the last layer's (0) and the first's (1): ``(n_layers,)``."""
    after = np.cumsum([layer.macs for layer in network.layers[::-1]])[::-1].astype(float)
    return np.asarray((after - after[-1]) / max(after[0] - after[-1], 1.0))
