"""Who measures: the loops that people write, the engine, and what bounds it; all on the same probes, on one thread."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from torch.nn import functional as F

import safer_bench as sb
from safer_bench.measurement.answers.tuning import arranged, tune_allocator
from safer_bench.measurement.design import Probe
from safer_bench.measurement.engine import Engine
from safer_bench.measurement.rows import Weights
from safer_bench.perturbations.loading import perturbations

Counts = list[list[int]]
CEILING_BATCH = 64
PLAIN_BATCH = 128  # all 500 at once took 22 s where this took 16


class Contestant(Protocol):
    """Measures probes; what is done once a layer or a slice is prepared, outside of the seconds."""

    def prepare(self, probes: list[Probe]) -> None:
        """Do what is done once, whatever is measured of these layers on this slice."""

    def measure(self, probes: list[Probe]) -> Counts | float:
        """Return counts, or the seconds themselves."""


class Loop:
    """Sets the weight, runs everything in float32, counts, restores; the weights are made like the engine's.

    Args:
        network: to measure.
        tuned: in channels_last, with the allocator tuned and the best of three batch sizes, instead of default settings.
    """

    def __init__(self, network: sb.Network, tuned: bool) -> None:
        self.network, self.weights, self.model = network, Weights(network, 0), network.model
        self.format, self.batch = torch.contiguous_format, PLAIN_BATCH
        if tuned:
            tune_allocator()
            self.format = torch.channels_last
            self.model = network.model.to(memory_format=self.format)
            self.batch = self._best_batch()

    def _best_batch(self) -> int:
        images = arranged(self.network.inputs[:256], self.format)
        with torch.no_grad():
            times = {n: _seconds(lambda n=n: self.model(images[:n]), 3) / len(images[:n]) for n in (16, 64, 256)}
        return min(times, key=times.__getitem__)

    def prepare(self, probes: list[Probe]) -> None:
        """Arrange the images, answer them, and make gradients."""
        images, labels = self.network.examples(probes[0].example_start, probes[0].n_examples)
        self.batches, self.labels = arranged(images, self.format).split(self.batch), labels.numpy()
        self.clean = self._predictions()
        self.weights.perturbed(_gradient_probe(probes[0]))

    @torch.no_grad()
    def _predictions(self) -> np.ndarray:
        return np.concatenate([self.model(batch).argmax(1).numpy() for batch in self.batches])

    @torch.no_grad()
    def measure(self, probes: list[Probe]) -> Counts:
        """Return (broken, fixed, changed) of each probe."""
        counts = []
        for probe in probes:
            parameter = self.model.get_parameter(probe.layer.parameter)
            original = parameter.detach().clone()
            parameter.copy_(torch.from_numpy(self.weights.perturbed(probe).weight))
            after = self._predictions()
            parameter.copy_(original)
            right, still = self.clean == self.labels, after == self.labels
            changed = [right & ~still, ~right & still, self.clean != after]
            counts.append([int(np.count_nonzero(found)) for found in changed])
        return counts


class Measuring:
    """The engine; prepared are tracing, admission of layers, a first probe of each perturbation, clean answers, gradients.

    The first probe calibrates the error bands of a layer and perturbation. In a run 160 probes share it; here one would pay.
    """

    def __init__(self, network: sb.Network, fast: bool) -> None:
        tune_allocator()
        self.engine = Engine(network, fast=fast)
        self.known: set[tuple[str, str]] = set()

    def prepare(self, probes: list[Probe]) -> None:
        """Admit layers, measure one probe of each layer and perturbation that is new, and answer the round's slice."""
        new = {}
        for probe in probes:
            for first in (_gradient_probe(probe), replace(probe, example_start=0)):
                new.setdefault((first.layer.name, first.perturbation.name), first)
        list(self.engine.measure(first for key, first in new.items() if key not in self.known))
        self.known |= new.keys()
        self.engine.clean(probes[0].example_start, probes[0].n_examples)

    def measure(self, probes: list[Probe]) -> Counts:
        """Return (broken, fixed, changed) of each probe."""
        keys = "broken", "fixed", "predictions_changed"
        return [[row[key] for key in keys] for row in self.engine.measure(probes)]


class MakingWeights:
    """The perturbed weights alone: what every contestant has to make."""

    def __init__(self, network: sb.Network) -> None:
        tune_allocator()
        self.weights = Weights(network, 0)

    def prepare(self, probes: list[Probe]) -> None:
        """Make gradients."""
        self.weights.perturbed(_gradient_probe(probes[0]))

    def measure(self, probes: list[Probe]) -> Counts:
        """Return nothing: they answer nothing."""
        for probe in probes:
            self.weights.perturbed(probe)
        return []


class Ceiling:
    """The convolutions and matrix products of the layers from the perturbed one on, and nothing else.

    In channels_last, at the batch size that is run, each on its own clean input: the seconds that no replay in float32
    without other algorithms can beat. They are timed anew for each piece: once for all its probes.
    """

    def __init__(self, network: sb.Network) -> None:
        tune_allocator()
        self.network = network
        self.runs: dict[str, Callable[[], object]] = {}
        self.batch = 0

    def prepare(self, probes: list[Probe]) -> None:
        """Keep each layer's input, for kinds that are convolutions and linear layers."""
        if self.batch != min(probes[0].n_examples, CEILING_BATCH):
            self.batch = min(probes[0].n_examples, CEILING_BATCH)
            self.runs = _operations(self.network, self.batch)

    @torch.no_grad()
    def measure(self, probes: list[Probe]) -> float:
        """Return the seconds of as many suffixes as there are probes."""
        later = [layer.name for layer in self.network.layers if layer.index >= probes[0].layer.index]
        suffix = sum(_seconds(self.runs[name]) for name in later if name in self.runs)
        return len(probes) * suffix * probes[0].n_examples / self.batch


def _operations(network: sb.Network, n: int) -> dict[str, Callable[[], object]]:
    """Return each layer's own operation on its input for the first n images."""
    runs: dict[str, Callable[[], object]] = {}

    def note(name: str) -> Callable[..., None]:
        def hook(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], _: object) -> None:
            x, weight, bias = arranged(inputs[0], torch.channels_last), module.weight, module.bias
            runs[name] = lambda: F.linear(x, weight, bias)
            if isinstance(module, torch.nn.Conv2d):
                kernel, rest = (
                    arranged(weight, torch.channels_last),
                    (module.stride, module.padding, module.dilation, module.groups),
                )
                runs[name] = lambda: F.conv2d(x, kernel, bias, *rest)

        return hook

    modules = {layer.name: network.model.get_submodule(layer.parameter.rpartition(".")[0]) for layer in network.layers}
    kept = [
        module.register_forward_hook(note(name))
        for name, module in modules.items()
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear)
    ]
    with torch.no_grad():
        network.model(arranged(network.inputs[:n], torch.channels_last))
    for hook in kept:
        hook.remove()
    return runs


def _seconds(run: Callable[[], object], repeats: int = 5) -> float:
    """Return the median CPU seconds of a few calls, after one that warms up."""
    run()
    times = []
    for _ in range(repeats):
        started = time.process_time()
        run()
        times.append(time.process_time() - started)
    return float(np.median(times))


def _gradient_probe(probe: Probe) -> Probe:
    """Return a probe of the same layer on the first slice that needs the round's gradients."""
    entry = perturbations()["gradient_corruption_linf"]
    return Probe(probe.layer, entry, entry.levels[0], probe.draw, 0, probe.n_examples)


CONTESTANTS: dict[str, Callable[[sb.Network], Contestant]] = {
    "plain loop": lambda network: Loop(network, tuned=False),
    "plain loop, tuned": lambda network: Loop(network, tuned=True),
    "engine": lambda network: Measuring(network, fast=False),
    "engine --fast": lambda network: Measuring(network, fast=True),
    "weights": MakingWeights,
    "ceiling": Ceiling,
}
