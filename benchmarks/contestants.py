"""One contestant in a process of its own: measures the same probes, prints seconds, peak memory and counts as JSON.

``python -m benchmarks.contestants NAME --network resnet20 --examples 500 --draws 4``
"""

import argparse
import json
import resource
import time
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

import safer_bench as sb
from safer_bench.measurement.answers.tuning import arranged, tune_allocator
from safer_bench.measurement.design import Design, Probe, make_protocol
from safer_bench.measurement.engine import Engine
from safer_bench.measurement.rows import Weights

Counts = list[list[int]]
Work = Callable[[], Counts | float]  # what is timed; a float is the seconds themselves
CEILING_BATCH = 64
PLAIN_BATCH = 128  # all 500 at once took 22 s where this took 16


def plain(network: sb.Network, probes: list[Probe], batches: list[torch.Tensor], model: torch.nn.Module) -> Counts:
    """Set the weight, run everything in float32, count, restore."""
    weights, labels = Weights(network, 0), network.labels.numpy()
    predict = lambda: np.concatenate([model(batch).argmax(1).numpy() for batch in batches])  # noqa: E731
    counts = []
    with torch.no_grad():
        clean = predict()
        for probe in probes:
            parameter = model.get_parameter(probe.layer.parameter)
            original = parameter.detach().clone()
            parameter.copy_(torch.from_numpy(weights.perturbed(probe).weight))
            after = predict()
            parameter.copy_(original)
            right, still = clean == labels, after == labels
            changed = [right & ~still, ~right & still, clean != after]
            counts.append([int(np.count_nonzero(found)) for found in changed])
    return counts


def as_written(network: sb.Network, probes: list[Probe]) -> Work:
    """The loop with default settings."""
    return lambda: plain(network, probes, list(network.images.split(PLAIN_BATCH)), network.model)


def tuned(network: sb.Network, probes: list[Probe]) -> Work:
    """The loop in channels_last, with the allocator tuned and the best of three batch sizes."""
    tune_allocator()
    model = network.model.to(memory_format=torch.channels_last)
    images = arranged(network.images, torch.channels_last)
    with torch.no_grad():
        times = {size: _seconds(lambda n=size: model(images[:n]), len(images[:size])) for size in (16, 64, 256)}
    batches = list(images.split(min(times, key=times.__getitem__)))
    return lambda: plain(network, probes, batches, model)


def engine(network: sb.Network, probes: list[Probe], fast: bool = False) -> Work:
    """The engine; what is done once a network is set-up: tracing, admission of layers, its clean answers."""
    tune_allocator()
    measuring = Engine(network, fast=fast)
    for probe in probes:
        measuring.replay(probe.layer)
    measuring.clean(0, len(network.labels))
    keys = "broken", "fixed", "predictions_changed"
    return lambda: [[row[key] for key in keys] for row in measuring.measure(probes)]


def ceiling(network: sb.Network, probes: list[Probe]) -> Work:
    """The convolutions and matrix products of the layers from the perturbed one on, and nothing else.

    In channels_last, each on data of its own: the seconds that no replay in float32 without other algorithms can beat.
    """
    tune_allocator()
    seconds = _layer_seconds(network)
    order = [layer.name for layer in network.layers]
    later = [order[order.index(probe.layer.name) :] for probe in probes]
    return lambda: len(network.labels) * sum(seconds[name] for names in later for name in names)


def _layer_seconds(network: sb.Network) -> dict[str, float]:
    """Return the seconds an example of each layer's operation; 0 for kinds other than convolutions and linear layers."""
    batch, seconds = arranged(network.images[:CEILING_BATCH], torch.channels_last), {}

    def note(name: str) -> Callable[..., None]:
        def hook(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], _: object) -> None:
            x, weight, bias = arranged(inputs[0], torch.channels_last), module.weight, module.bias
            run = lambda: F.linear(x, weight, bias)  # noqa: E731
            if isinstance(module, torch.nn.Conv2d):
                weight = arranged(weight, torch.channels_last)
                rest = module.stride, module.padding, module.dilation, module.groups
                run = lambda: F.conv2d(x, weight, bias, *rest)  # noqa: E731
            seconds[name] = _seconds(run, len(batch))

        return hook

    for layer in network.layers:
        seconds[layer.name] = 0.0
        module = network.model.get_submodule(layer.name)
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            module.register_forward_hook(note(layer.name))
    with torch.no_grad():
        network.model(batch)
    return seconds


def _seconds(run: Callable[[], object], n_examples: int, repeats: int = 5) -> float:
    """Return the median seconds an example of a few calls, after one that warms up."""
    run()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return float(np.median(times)) / n_examples


CONTESTANTS: dict[str, Callable[[sb.Network, list[Probe]], Work]] = {
    "plain loop": as_written,
    "plain loop, tuned": tuned,
    "engine": engine,
    "engine --fast": lambda network, probes: engine(network, probes, fast=True),
    "ceiling": ceiling,
}


def workload(network: str, examples: int, draws: int, layers: int | None) -> tuple[sb.Network, list[Probe]]:
    """Return a network with its first examples, and noise probes of its layers (evenly chosen where fewer are wanted)."""
    full = sb.load_network(network)
    cut = sb.Network(full.model, full.images[:examples], full.labels[:examples], name=full.name)
    units = list(Design(cut, make_protocol(["gaussian_noise:0.3"], draws, None)).units())
    numbers = np.linspace(0, len(units) - 1, layers or len(units)).round().astype(int)
    return cut, [probe for index in numbers for probe in units[index].probes]


def main() -> None:
    """Run one contestant and print what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("contestant", choices=CONTESTANTS)
    parser.add_argument("--network", default="resnet20")
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--layers", type=int)
    wanted = parser.parse_args()
    network, probes = workload(wanted.network, wanted.examples, wanted.draws, wanted.layers)
    started = time.perf_counter()
    work = CONTESTANTS[wanted.contestant](network, probes)
    ready = time.perf_counter()
    counts = work()
    seconds = counts if isinstance(counts, float) else time.perf_counter() - ready
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"setup": ready - started, "seconds": seconds, "peak_bytes": memory, "counts": counts}))


if __name__ == "__main__":
    main()
