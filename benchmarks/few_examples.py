"""Whether ``--fast`` pays at few examples a probe: ``python -m benchmarks.few_examples NETWORK ...``.

CPU time of the engine, bfloat16 first or not, on every third layer and one draw a slice of examples; contestants take turns.
Set-up and clean answers are left out.
"""

import sys
import time

import safer_bench as sb
from safer_bench.measurement.answers.tuning import tune_allocator
from safer_bench.measurement.design import Design, make_protocol
from safer_bench.measurement.engine import Engine
from safer_bench.measurement.fast_choice import first_arithmetic

SPECS = ("gaussian_noise", "int8_bit_flip")
SIZES = ((60, 4), (120, 2), (500, 1))  # examples a probe, draws
ROUNDS = 2


def compare(name: str, n_examples: int, draws: int) -> list[float]:
    """Return how many times as fast the engine is with ``fast``, once a round; the rows are equal."""
    network = sb.load_network(name)
    design = Design(network, make_protocol(SPECS, draws, n_examples))
    layers = network.layers[::3]
    probes = [probe for place in design.slices for layer in layers for probe in design.unit(place, layer).probes]
    engines = {fast: Engine(network, fast=fast) for fast in (False, True)}
    for engine in engines.values():
        for start, n in design.slices:
            engine.clean(start, n)
        for layer in layers:
            engine.replay(layer)
    print(f"{name}, {n_examples} examples a probe: {first_arithmetic(engines[True])}")
    return [_round(engines, probes, fast_first=bool(number % 2)) for number in range(ROUNDS)]


def _round(engines: dict[bool, Engine], probes: list, fast_first: bool) -> float:
    seconds, rows = {}, {}
    for fast in (fast_first, not fast_first):
        started = time.process_time()
        found = list(engines[fast].measure(probes))
        seconds[fast] = time.process_time() - started
        rows[fast] = [{key: value for key, value in row.items() if key != "loss_increase"} for row in found]
    if rows[True] != rows[False]:
        raise SystemExit("the rows differ")
    return seconds[False] / seconds[True]


if __name__ == "__main__":
    tune_allocator()
    for given in sys.argv[1:] or ["digits_resnet"]:
        for size in SIZES:
            ratios = ", ".join(f"{ratio:.2f}" for ratio in compare(given, *size))
            print(f"  float32 / --fast, CPU time: {ratios}", flush=True)
