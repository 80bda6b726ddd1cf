"""Times the engine beside the loops that people write, on the same probes, and prints tables: ``python -m benchmarks``."""

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median

import torch

from benchmarks.against import compare, rows
from benchmarks.contestants import CONTESTANTS
from benchmarks.growth import plot
from benchmarks.timing import Round, contest, n_unlike, ratios, run_rounds, spread, total
from benchmarks.work import Work
from safer_bench.measurement.run_log import processor

NETWORKS = ("resnet20", "vit6", "mobilenet18")
BASES = ("plain loop, tuned", "plain loop")
ANSWERING = tuple(name for name in CONTESTANTS if name not in ("weights", "ceiling"))
SHARES = (0.3, 1.0)  # of the time that is left, for noise and then the truth


def main() -> None:
    """Print tables of ratios; ``--against`` compares two versions, ``--growth`` plots the engine's time instead."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--network", action="append", help=f"name in the zoo, or FILE.py:FUNC; {', '.join(NETWORKS)}")
    parser.add_argument("--minutes", type=float, default=9.0, help="in all; two rounds are run in any case")
    parser.add_argument("--examples", type=int, default=60, help="of a probe of the truth")
    parser.add_argument("--flattering", type=_protocol, default="4x500", help="DRAWSxEXAMPLES of noise on one slice")
    parser.add_argument("--rows", choices=("noise", "truth", "both"), default="both")
    parser.add_argument("--layers", type=int, default=6, help="evenly chosen ones; for noise half as many")
    parser.add_argument("--against", type=Path, metavar="PATH", help="another checkout, compared with this one")
    parser.add_argument("--old-protocol", type=_protocol, default="4x500", help="of PATH, DRAWSxEXAMPLES")
    parser.add_argument("--new-protocol", type=_protocol, default="32x60", help="of this checkout")
    parser.add_argument("--growth", type=Path, metavar="PLOT", help="write a plot of time against examples, draws, layers")
    wanted = parser.parse_args()
    networks = wanted.network or NETWORKS
    print(f"CPU seconds of one thread, contestants in turn; torch {torch.__version__}, {processor()}")
    if wanted.growth:
        plot(wanted.growth, networks[0], say)
        return
    for network in networks:
        seconds = 60 * wanted.minutes / len(networks)
        if wanted.against:
            compared = rows(wanted.old_protocol, wanted.new_protocol, wanted.layers)
            lines = compare(network, wanted.against, compared, seconds, say)
        else:
            draws, examples = wanted.flattering
            noise = Work("noise", examples, draws, (wanted.layers + 1) // 2)
            truth = Work("truth", wanted.examples, 1, wanted.layers)
            lines = tables(network, {"noise": [noise], "truth": [truth], "both": [noise, truth]}[wanted.rows], seconds)
        print("\n".join(lines), flush=True)


def _protocol(text: str) -> tuple[int, int]:
    draws, _, examples = text.partition("x")
    return int(draws), int(examples)


def say(*texts: str) -> None:
    """Tell on standard error what was done."""
    print(time.strftime("%H:%M:%S"), *texts, file=sys.stderr, flush=True)


def tables(network: str, works: list[Work], seconds: float) -> list[str]:
    """Run all contestants on one network and return the lines of its tables."""
    lines, started = [], time.monotonic()
    with contest(network, {name: (name, None) for name in CONTESTANTS}) as contestants:
        for work, share in zip(works, SHARES[-len(works) :], strict=True):
            until = share * (seconds - (time.monotonic() - started))
            same: dict[str, Work] = dict.fromkeys(CONTESTANTS, work)
            rounds = run_rounds(contestants, same, until, partial(say, f"{network}, {work.kind}:"))
            lines += of_noise(network, work, rounds) if work.kind == "noise" else of_truth(network, work, rounds)
        setups = ", ".join(f"{name} {contestants[name].setup:.1f}" for name in ANSWERING)
    return [*lines, f"\n{network}, set-up with {works[0].n_layers} layers in CPU seconds: {setups}."]


def of_noise(network: str, work: Work, rounds: list[Round]) -> list[str]:
    """Return the lines of what flatters."""
    return table(f"{network}, {work.n_draws} draws of noise on one slice of {work.n_examples}", rounds, "all")


def of_truth(network: str, work: Work, rounds: list[Round]) -> list[str]:
    """Return the lines of the truth, of both its parts, and the share of the ceiling on the suffix work alone."""
    share = ratios(rounds, "ceiling", "engine", "ordinary", without="weights")
    return [
        *table(f"{network}, the truth as it is made, one draw a slice of {work.n_examples}", rounds, "all"),
        *table(f"{network}, of it ordinary perturbations", rounds, "ordinary"),
        *table(f"{network}, of it flips that may be infinite", rounds, "faults"),
        f"\n{network}, suffix work at {work.n_examples} examples: {spread(share, '.0%')} of the ceiling.",
    ]


def table(title: str, rounds: list[Round], kind: str) -> list[str]:
    """Return the lines of a Markdown table: medians over rounds of milliseconds, and of ratios within rounds."""
    n_probes = total(rounds[0], "engine", kind).n_probes
    head = ["", "ms a probe", *(f"x {base}" for base in BASES), "of the ceiling", "peak memory", "unlike"]
    lines = [head, ["---"] * len(head)]
    for name in CONTESTANTS:
        found = [total(each, name, kind) for each in rounds]
        line = [name, f"{median(1e3 * each.seconds / each.n_probes for each in found):.2f}"]
        if name in ANSWERING:
            line += [spread(ratios(rounds, base, name, kind)) for base in BASES]
            line.append(spread(ratios(rounds, "ceiling", name, kind), ".0%"))
            line.append(f"{max(each.peak_bytes for each in found) / 1e9:.2f} GB")
            line.append("{} of {}".format(*n_unlike(rounds, name, "engine", kind)))
        lines.append(line + [""] * (len(head) - len(line)))
    return [f"\n{title}; {len(rounds)} rounds of {n_probes} probes:\n", *(f"| {' | '.join(line)} |" for line in lines)]


if __name__ == "__main__":
    main()
