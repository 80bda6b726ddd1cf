"""What gradients are worth to an attacker of weights: ``python -m benchmarks.corruption`` prints the tables of the document.

Every layer is moved by gradient_corruption and by random_corruption of equal norm and as many entries, on the same
examples. Figures are means over layers and draws: accuracy lost in points, and increase of the loss (each example's
clipped at 16). Sun et al. 2021 (arXiv 2006.05620) claim that the gradient is far more effective.
"""

import argparse
from collections.abc import Iterator

import numpy as np

import safer_bench as sb
from safer_bench.measurement.answers.tuning import tune_allocator
from safer_bench.measurement.design import Design, make_protocol
from safer_bench.measurement.engine import Engine

NETWORKS = ("digits_cnn", "digits_mlp", "digits_resnet", "digits_vit", "vgg10")
PAIRS = {
    "p = 2": ("gradient_corruption_l2", "random_corruption_l2"),
    "p = inf": ("gradient_corruption_linf", "random_corruption_linf"),
    "p = 2, 1 % of entries": ("gradient_corruption_l2_topk", "random_corruption_l2_randk"),
    "p = inf, 1 % of entries": ("gradient_corruption_linf_topk", "random_corruption_linf_randk"),
}
LEVELS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # of the weight's own norm
SEED = 1  # not the truth's
Effect = tuple[np.ndarray, np.ndarray]  # (drop in points, loss increase), each (n_layers,), means over draws


def effects(network: sb.Network, draws: int, n_examples: int) -> dict[tuple[str, float], Effect]:
    """Measure a network; effects by perturbation and level."""
    levels = ",".join(map(repr, LEVELS))
    protocol = make_protocol([f"{name}:{levels}" for pair in PAIRS.values() for name in pair], draws, n_examples, SEED)
    engine, drops = Engine(network, SEED), {}
    for unit in Design(network, protocol).units():
        for row in engine.measure(unit.probes):
            values = 100 * (row["broken"] - row["fixed"]) / n_examples, row["loss_increase"]
            drops.setdefault((row["perturbation"], row["level"]), {}).setdefault(row["layer"], []).append(values)
    return {key: tuple(np.mean(list(of_layer.values()), axis=1).T) for key, of_layer in drops.items()}


def tables(effects_of: dict[str, dict[tuple[str, float], Effect]]) -> Iterator[str]:
    """Yield the lines of a table of drops and one of loss increases: gradient / random by network and over all layers.

    The ratio is left out where the random effect is not three standard errors over layers from 0.
    """
    for measure, what in enumerate(("accuracy lost, points", "increase of the loss")):
        head = [what, "level", *effects_of, "all layers", "ratio", "layers where the gradient does more"]
        yield from ("", f"| {' | '.join(head)} |", f"| {' | '.join(['---'] * len(head))} |")
        for pair, names in PAIRS.items():
            for level in LEVELS:
                by_network = [np.array([effect[name, level][measure] for name in names]) for effect in effects_of.values()]
                gradient, random = pooled = np.concatenate(by_network, axis=1)
                cells = [_both(both, 1 + measure) for both in [*by_network, pooled]]
                resolved = random.mean() > 3 * random.std(ddof=1) / np.sqrt(len(random))
                ratio = f"{gradient.mean() / random.mean():.1f}" if resolved else ""
                yield f"| {pair} | {level:g} | {' | '.join(cells)} | {ratio} | {np.mean(gradient > random):.0%} |"


def _both(effects: np.ndarray, digits: int) -> str:
    return " / ".join(f"{round(float(values.mean()), digits) + 0.0:.{digits}f}" for values in effects)


def main() -> None:
    """Measure all networks and print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.corruption", description=__doc__)
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--examples", type=int, default=200)
    wanted = parser.parse_args()
    tune_allocator()
    effects_of = {name: effects(sb.load_network(name), wanted.draws, wanted.examples) for name in wanted.networks}
    print(f"{wanted.draws} draws of {wanted.examples} examples, seed {SEED}; gradient / random")
    print("\n".join(tables(effects_of)))


if __name__ == "__main__":
    main()
