"""How large the errors of fast arithmetic are beside their bands: where the safety factors come from.

``python -m benchmarks.bands digits_cnn vit6 --examples 60`` perturbs evenly chosen layers by every perturbation at every
level, takes the logits of all examples in each arithmetic and in the next better one, and prints quantiles over conditions
(layer x perturbation x level; one draw) of

- spread: the largest spread of an error over all examples / the largest without perturbation on the same examples: what
  calibration has to find;
- band: the same spread / the band, which has to stay below 1, lest the audit be all that is left; and
- wrong: the widest margin of an example whose top class differs / the band: from 1 on, a count is wrong.
"""

import argparse
from collections import defaultdict

import numpy as np
import torch

import safer_bench as sb
from safer_bench.measurement.answers.precision import exact_float32
from safer_bench.measurement.answers.settle import comparable, error_spreads, margins
from safer_bench.measurement.design import Design, make_protocol
from safer_bench.measurement.engine import Engine

QUANTILES = (0.5, 0.9, 0.99, 1.0)
Ratios = tuple[float, float, float]


def ratios(network: sb.Network, n_layers: int, *, fast: bool) -> dict[str, list[Ratios]]:
    """Return (spread, band, wrong) of each condition, by arithmetic.

    Raises:
        SystemExit: the network is not replayed.
    """
    engine, of_arithmetic = Engine(network, fast=fast), defaultdict[str, list[Ratios]](list)
    if engine.fast_answers is None:
        raise SystemExit(f"{network.name}: not replayed: {engine.reasons}")
    n = len(network.labels)
    ladders, typical = engine.fast_answers.ladders, engine.fast_answers.replayed.typical
    clean = ladders.clean(0, n)
    units = list(Design(network, make_protocol([], 1, n)).units())
    for index in np.linspace(0, len(units) - 1, n_layers).round().astype(int):
        replay = engine.replay(units[index].layer)
        for probe in units[index].probes if replay else ():
            widths = engine.fast_answers.calibrated.widths(replay, probe, clean)
            weight = engine.plain.weights.perturbed(probe).weight
            ladder = ladders.ladder(replay, probe.layer, weight, 0, n)
            with exact_float32():
                logits = [comparable(rung.logits(np.arange(n)), clean.answers.masked) for rung in ladder]
            for rung, found, better in zip(ladder, logits, logits[1:], strict=False):
                usable, name = np.isfinite(found).all(1), rung.trust.name
                if usable.any():
                    spread, width = clean.spread(name), widths[name]
                    of_arithmetic[name].append(_ratios(found[usable], better[usable], spread, width, typical))
    return of_arithmetic


def _ratios(logits: np.ndarray, better: np.ndarray, clean: float, band: float, typical: float) -> Ratios:
    spread = float(error_spreads(logits, better, typical).max())
    other = logits.argmax(1) != better.argmax(1)
    scales = np.maximum(np.abs(logits).max(1), typical)
    widest = float((margins(logits) / scales)[other].max(initial=0.0))
    return spread / clean, spread / band, widest / band


def main() -> None:
    """Print the quantiles."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bands")
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--examples", type=int, default=60)
    parser.add_argument("--fast", action="store_true", help="bfloat16 too")
    wanted = parser.parse_args()
    torch.set_grad_enabled(False)
    found = defaultdict[str, list[Ratios]](list)
    for spec in wanted.networks:
        full = sb.load_network(spec)
        examples = full.examples(0, wanted.examples)
        network = sb.Network(full.model, *examples, name=full.name, calibration=full.calibration)
        for name, of_network in ratios(network, wanted.layers, fast=wanted.fast).items():
            found[name] += of_network
    for name, of_conditions in found.items():
        print(f"{name}: {len(of_conditions)} conditions, quantiles {QUANTILES}")
        for what, values in zip(("spread", "band", "wrong"), np.array(of_conditions).T, strict=True):
            print(f"  {what:6}", " ".join(f"{value:10.4f}" for value in np.quantile(values, QUANTILES)))


if __name__ == "__main__":
    main()
