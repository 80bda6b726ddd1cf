"""How large the errors of fast arithmetic are beside a small sample's: where the safety factors come from.

``python -m benchmarks.bands digits_cnn vit6`` perturbs evenly chosen layers by every perturbation at every level, takes
the logits of all examples in both arithmetics, and prints quantiles over conditions (layer x perturbation x level) of

- range: largest range of the error over all examples / largest over a random sample, and
- wrong: largest margin of an example whose top class differs / largest range over the sample: what the factor of the
  band has to exceed, lest a count be wrong.
"""

import argparse

import numpy as np
import torch

import safer_bench as sb
from safer_bench.measurement.answers.arithmetics import BFLOAT16, FLOAT32
from safer_bench.measurement.answers.precision import exact_float32
from safer_bench.measurement.answers.settle import error_ranges, margins
from safer_bench.measurement.design import Design, make_protocol
from safer_bench.measurement.engine import Engine

QUANTILES = (0.5, 0.9, 0.99, 1.0)


def ratios(network: sb.Network, n_layers: int, exact: bool) -> list[tuple[float, float]]:
    """Return (range, wrong) of each condition: float32 against canonical where ``exact``, else bfloat16 against float32."""
    engine, random = Engine(network, fast=not exact), np.random.default_rng(0)
    answers = engine.fast_answers
    if answers is None or answers.replayed.narrow == exact:
        raise SystemExit(f"{network.name}: not replayed, or bfloat16 is not faster here: {engine.reasons}")
    units = list(Design(network, make_protocol([], 1, None)).units())
    of_conditions = []
    for index in np.linspace(0, len(units) - 1, n_layers).round().astype(int):
        replay = engine.replay(units[index].layer)
        for probe in units[index].probes:
            perturbed = engine.plain.weights.perturbed(probe)
            ladder = answers.ladder(replay, probe.layer, perturbed, probe.example_start, probe.n_examples)
            if len(ladder) < 2:
                continue
            with exact_float32():
                logits, better = (rung.logits(np.arange(probe.n_examples)) for rung in ladder[:2])
            usable = np.isfinite(logits).all(1) & np.isfinite(better).all(1)
            if usable.any():
                trust = FLOAT32 if exact else BFLOAT16
                of_conditions.append(_ratio(logits[usable], better[usable], trust.n_sample + trust.n_suspects, random))
    return of_conditions


def _ratio(logits: np.ndarray, better: np.ndarray, n_sample: int, random: np.random.Generator) -> tuple[float, float]:
    errors = error_ranges(logits, better)
    sampled = errors[random.permutation(len(errors))[:n_sample]].max()
    wrong = margins(logits)[logits.argmax(1) != better.argmax(1)]
    return errors.max() / max(sampled, 1e-30), wrong.max(initial=0.0) / max(sampled, 1e-30)


def main() -> None:
    """Print the quantiles."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bands")
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--examples", type=int, default=500)
    wanted = parser.parse_args()
    torch.set_grad_enabled(False)
    for exact, name in ((True, "float32"), (False, "bfloat16")):
        of_conditions = []
        for spec in wanted.networks:
            full = sb.load_network(spec)
            examples = full.examples(0, wanted.examples)
            of_conditions += ratios(
                sb.Network(full.model, *examples, name=spec, calibration=full.calibration), wanted.layers, exact
            )
        ranges, wrong = np.array(of_conditions).T
        print(f"{name}: {len(of_conditions)} conditions, quantiles {QUANTILES}")
        for what, values in (("range", ranges), ("wrong", wrong)):
            print(f"  {what:6}", " ".join(f"{value:8.3f}" for value in np.quantile(values, QUANTILES)))


if __name__ == "__main__":
    main()
