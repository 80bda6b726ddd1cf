"""Times all contestants on the same work, each in fresh processes, and prints the table: ``python -m benchmarks``."""

import argparse
from pathlib import Path
from statistics import median

import torch

from benchmarks.contestants import CONTESTANTS
from benchmarks.growth import plot
from benchmarks.timing import Result, run
from safer_bench.measurement.run_log import processor

BASES = ("plain loop, tuned", "plain loop")


def main() -> None:
    """Run the rounds and print medians; ``--growth`` plots the engine's time instead."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--network", default="resnet20", help="name in the zoo, or FILE.py:FUNC")
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--growth", type=Path, metavar="PLOT", help="write a plot of time against examples, draws and layers"
    )
    wanted = parser.parse_args()
    if wanted.growth:
        plot(wanted.growth, wanted.network)
        return
    settings = ["--network", wanted.network, "--examples", wanted.examples, "--draws", wanted.draws]
    rounds = [{name: run(name, *settings) for name in CONTESTANTS} for _ in range(wanted.rounds)]
    print(f"{wanted.network}, {wanted.examples} examples, {wanted.draws} draws of gaussian_noise:0.3 of every layer;")
    print(
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, {processor()}; medians of {wanted.rounds} rounds\n"
    )
    print("\n".join(table(rounds)))


def table(rounds: list[dict[str, Result]]) -> list[str]:
    """Return the lines of a Markdown table: medians of seconds, and of the ratios within each round."""
    head = ["", "seconds", "set-up", *(f"x {base}" for base in BASES), "ceiling / seconds", "peak memory", "rows unlike"]
    lines = [head, ["---"] * len(head)]
    for name in CONTESTANTS:
        seconds = [f"{median(results[name][key] for results in rounds):.2f}" for key in ("seconds", "setup")]
        ratios = [f"{_ratio(rounds, base, name):.2f}" for base in BASES]
        memory = f"{median(results[name]['peak_bytes'] for results in rounds) / 1e9:.2f} GB"
        unlike = "" if name == "ceiling" else str(max(n_unlike(results, name) for results in rounds))
        lines.append([name, *seconds, *ratios, f"{_ratio(rounds, 'ceiling', name):.0%}", memory, unlike])
    return [f"| {' | '.join(line)} |" for line in lines]


def _ratio(rounds: list[dict[str, Result]], slow: str, fast: str) -> float:
    return median(results[slow]["seconds"] / results[fast]["seconds"] for results in rounds)


def n_unlike(of_round: dict[str, Result], name: str) -> int:
    """Return in how many probes a contestant's integers differ from the engine's."""
    pairs = zip(of_round[name]["counts"], of_round["engine"]["counts"], strict=True)
    return sum(found != expected for found, expected in pairs)


if __name__ == "__main__":
    main()
