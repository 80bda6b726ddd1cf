"""Few draws of many examples or many draws of few: ``python -m benchmarks.protocols`` prints the table of the document.

Each network is measured two independent times by either protocol, by seeds of their own, in turn. Of every perturbation:

- reliability: that of the area, split-half, the mean of both measurements,
- agreement: Spearman correlation of the areas of both, what the reliability foretells,
- difference: root mean square over layers of the areas' difference, what noise leaves,
- seconds: of the processor, one measurement, one thread; those of slices (clean passes, what is done once a slice or layer
  before its first probe) apart.

``noise`` is how many times less variance the second protocol has (squared differences), ``time`` how many times longer it
takes; noise / time is what it gains at equal cost.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pyarrow as pa
import torch

import safer_bench as sb
from safer_bench.measurement import describe
from safer_bench.measurement.answers.tuning import tune_allocator
from safer_bench.measurement.design import Design, make_protocol
from safer_bench.measurement.engine import Engine
from safer_bench.measurement.run_log import processor
from safer_bench.metrics import spearman
from safer_bench.truth.parts import PART
from safer_bench.truth.summarise import summarise

NETWORKS = ("resnet8", "lenet10")
PERTURBATIONS = ("gaussian_noise", "int8_bit_flip", "random_zero", "float32_bit_flip_exponent")
PROTOCOLS = ((4, 500), (32, 60))  # draws, examples
SEEDS = ((1, 3), (2, 4))  # of either protocol; the truth's is 0
SLICES = "slices"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measurement of a network.

    Attributes:
        areas: by perturbation ``(n_layers,)``, layers by name.
        reliabilities: of the areas, by perturbation.
        seconds: of the processor, by perturbation and of ``SLICES``.
    """

    areas: dict[str, np.ndarray]
    reliabilities: dict[str, float]
    seconds: dict[str, float]


def measured(network: sb.Network, perturbations: Sequence[str], draws: int, n_examples: int, seed: int) -> Measurement:
    """Measure a network once."""
    protocol = make_protocol(perturbations, draws, n_examples, seed)
    names = [entry.name for entry, _ in protocol.perturbations]
    engine, rows, seconds = Engine(network, seed), [], dict.fromkeys((SLICES, *names), 0.0)
    tables = describe.tables([network], protocol, lambda _: describe.correct(engine))
    for unit in Design(network, protocol).units():
        _timed(seconds, SLICES, engine, unit.probes[:1])
        for name, probes in groupby(unit.probes, key=lambda probe: probe.perturbation.name):
            rows += _timed(seconds, name, engine, list(probes))
    found, cells = summarise(pa.Table.from_pylist(rows, schema=PART), **tables)
    areas = [row for row in found.to_pylist() if row["summary"] == "area"]
    reliabilities = {row["perturbation"]: row["reliability"] for row in cells.to_pylist() if row["summary"] == "area"}
    of_each = {name: np.array([row["value"] for row in areas if row["perturbation"] == name]) for name in names}
    return Measurement(of_each, reliabilities, seconds)


def _timed(seconds: dict[str, float], name: str, engine: Engine, probes: Sequence[object]) -> list[dict[str, object]]:
    started = time.process_time()
    rows = list(engine.measure(probes))
    seconds[name] += time.process_time() - started
    return rows


def figures(pair: Sequence[Measurement]) -> np.ndarray:
    """Return reliability, agreement, difference and seconds of two measurements, of each perturbation ``(n, 4)``."""
    found = []
    for name in pair[0].areas:
        one, other = (each.areas[name] for each in pair)
        agreement, difference = float(spearman(truth=one, scores=other)), np.sqrt(np.mean((one - other) ** 2))
        means = [np.mean([each.reliabilities[name] for each in pair]), np.mean([each.seconds[name] for each in pair])]
        found.append([means[0], agreement, difference, means[1]])
    return np.array(found)


def lines(network: str, pairs: Sequence[Sequence[Measurement]]) -> Iterator[str]:
    """Yield the rows of a network's table: each perturbation by either protocol, and what the second gains; then of all.

    Args:
        network: its name.
        pairs: two measurements by each of ``PROTOCOLS``.
    """
    first, second = (figures(pair) for pair in pairs)
    noise = (first[:, 2] / second[:, 2]) ** 2
    for i, name in enumerate(pairs[0][0].areas):
        longer = second[i, 3] / first[i, 3]
        yield _line(network, name, first[i], second[i], noise[i], longer)
    slices = [np.mean([each.seconds[SLICES] for each in pair]) for pair in pairs]
    yield _line(network, SLICES, *([np.nan] * 3 + [seconds] for seconds in slices), np.nan, slices[1] / slices[0])
    every = [
        [*np.median(of_each[:, :3], axis=0), of_each[:, 3].sum() + own]
        for of_each, own in zip((first, second), slices, strict=True)
    ]
    yield _line(network, "medians, sum", *every, float(np.median(noise)), every[1][3] / every[0][3])


def _line(network: str, name: str, first: Sequence[float], second: Sequence[float], noise: float, longer: float) -> str:
    digits = (".3f", ".3f", ".4f", ".1f")
    cells = [f"{a:{form}} / {b:{form}}" for a, b, form in zip(first, second, digits, strict=True)]
    cells += [f"{value:.2f}" for value in (noise, longer, noise / longer)]
    return f"| {network} | {name} | {' | '.join('' if 'nan' in cell else cell for cell in cells)} |"


def main() -> None:
    """Measure all networks and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.protocols", description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--perturbation", action="append", help="repeat for more")
    wanted = parser.parse_args()
    tune_allocator()
    torch.set_num_threads(1)
    told = " / ".join(f"{draws} draws of {n} examples" for draws, n in PROTOCOLS)
    print(f"{told}; one thread of {processor()}\n")
    head = ["network", "perturbation", "reliability", "agreement", "difference", "seconds", "noise", "time", "noise / time"]
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for name in wanted.networks:
        network, pairs = sb.load_network(name), ([], [])
        for seeds in zip(*SEEDS, strict=True):  # in turn
            for pair, protocol, seed in zip(pairs, PROTOCOLS, seeds, strict=True):
                pair.append(measured(network, wanted.perturbation or PERTURBATIONS, *protocol, seed))
        print("\n".join(lines(name, pairs)), flush=True)


if __name__ == "__main__":
    main()
