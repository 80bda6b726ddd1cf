"""What corruption-resistant training is worth: ``python -m benchmarks.twins`` prints the tables of the document.

Each resistant twin is set against its three controls of the same architecture and seed. What is compared: accuracy on the
test images (as measured once for the zoo's card), the corruption indicator, and how much of what it can lose the mean layer
loses (the area over the levels) under perturbations of its weight. The claim of Sun et al. 2021 (arXiv 2006.05620, section
5): more robust, no less accurate.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import stats

import safer_bench as sb
from safer_bench.measurement.answers.tuning import tune_allocator
from safer_bench.measurement.design import Design, make_protocol
from safer_bench.measurement.engine import Engine
from safer_bench.networks.zoo.twins import ARCHITECTURES, N_SEEDS
from safer_bench.perturbations.loading import perturbations
from safer_bench.truth.area import area_weights

CONTROLS = {"plain": "as many epochs", "long": "as many gradients", "random": "random corruption of the same norm"}
PERTURBATIONS = ("gradient_corruption_l2", "random_corruption_l2", "gaussian_noise", "int8_bit_flip", "magnitude_prune")
ACCURACIES = Path("data_cards/safer-bench-zoo/test_accuracy.json")
SEED = 1  # not the truth's
Figures = dict[str, float]


def figures(name: str, draws: int, n_examples: int) -> Figures:
    """Return what is compared of one network: accuracy in points, the mean layer's indicator, areas in percent."""
    network = sb.load_network(name)
    accuracy = json.loads(ACCURACIES.read_text(encoding="utf-8"))[name]
    indicator = sb.score("corruption_indicator_l2", network)
    figures_of = {
        "accuracy": 100 * accuracy["n_correct"] / accuracy["n_examples"],
        "corruption indicator": float(np.mean(list(indicator.values()))),
    }
    engine = Engine(network, SEED)
    lost: dict[str, dict[float, list[float]]] = {each: {} for each in PERTURBATIONS}
    protocol = make_protocol(PERTURBATIONS, draws, n_examples, SEED, deterministic_examples=n_examples)
    for unit in Design(network, protocol).units():
        for row in engine.measure(unit.probes):
            can_lose = row["correct_clean"] / n_examples - 1 / network.n_classes
            share = (row["broken"] - row["fixed"]) / n_examples / can_lose
            lost[row["perturbation"]].setdefault(row["level"], []).append(share)
    for each in PERTURBATIONS:
        entry = perturbations()[each]
        means = [np.mean(lost[each][level]) for level in entry.levels]
        figures_of[each] = float(100 * area_weights(np.array(entry.levels), entry.scale) @ np.array(means))
    return figures_of


def tables(figures_of: dict[str, Figures]) -> Iterator[str]:
    """Yield a table of means and one of paired differences with 95 % t intervals, by architecture and over both."""
    names = list(next(iter(figures_of.values())))
    yield from _rows(["architecture", "twin", *names])
    for family in ARCHITECTURES:
        for twin in ("resistant", *CONTROLS):
            values = np.array([list(figures_of[f"twin_{family}_{twin}_{seed}"].values()) for seed in range(N_SEEDS)])
            yield _line(
                [family, twin, *(f"{mean:.3g}" if i == 1 else f"{mean:.2f}" for i, mean in enumerate(values.mean(0)))]
            )
    yield ""
    yield from _rows(
        ["resistant minus", "architecture", *(f"{name}, %" if i == 1 else name for i, name in enumerate(names))]
    )
    for twin, what in CONTROLS.items():
        for families in ([family] for family in ARCHITECTURES), (list(ARCHITECTURES),):
            for some_families in families:
                pairs = [(family, seed) for family in some_families for seed in range(N_SEEDS)]
                yield _line([f"{twin} ({what})", " and ".join(some_families), *_differences(figures_of, twin, pairs)])


def _differences(figures_of: dict[str, Figures], twin: str, pairs: list[tuple[str, int]]) -> Iterator[str]:
    """Yield the mean paired difference of each figure with its interval, the indicator's in percent of the control."""
    ours, control = (
        np.array([list(figures_of[f"twin_{family}_{which}_{seed}"].values()) for family, seed in pairs])
        for which in ("resistant", twin)
    )
    differences = ours - control
    differences[:, 1] *= 100 / control[:, 1]
    for column in differences.T:
        half = stats.t.ppf(0.975, len(column) - 1) * column.std(ddof=1) / np.sqrt(len(column))
        yield f"{column.mean():+.2f} ({column.mean() - half:+.2f} to {column.mean() + half:+.2f})"


def _rows(head: list[str]) -> Iterator[str]:
    yield _line(head)
    yield _line(["---"] * len(head))


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure all twins and print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.twins", description=__doc__)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--examples", type=int, default=250)
    wanted = parser.parse_args()
    tune_allocator()
    names = [
        f"twin_{family}_{kind}_{seed}"
        for family in ARCHITECTURES
        for kind in ("resistant", *CONTROLS)
        for seed in range(N_SEEDS)
    ]
    figures_of = {name: figures(name, wanted.draws, wanted.examples) for name in names}
    print(f"{wanted.draws} draws of {wanted.examples} examples, seed {SEED}; {N_SEEDS} seeds of each\n")
    print("\n".join(tables(figures_of)))


if __name__ == "__main__":
    main()
