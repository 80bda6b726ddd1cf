"""The engine: rows of the plain loop, sooner; by replay where a layer's replay agrees, by whole passes elsewhere."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import groupby

import numpy as np

from safer_bench.measurement.answers.canonical import NO_CLASS, Answers
from safer_bench.measurement.answers.precision import exact_float32
from safer_bench.measurement.answers.replay import LayerReplay
from safer_bench.measurement.answers.replayed import ReplayedNetwork
from safer_bench.measurement.answers.trace import CannotReplayError, whatever_fails
from safer_bench.measurement.answers.tuning import Pace
from safer_bench.measurement.design import Probe
from safer_bench.measurement.fast_answers import FastAnswers
from safer_bench.measurement.plain import PlainEngine
from safer_bench.measurement.rows import Row, make_row
from safer_bench.networks.layers import Layer
from safer_bench.networks.network import Network

logger = logging.getLogger(__name__)


class Engine:
    """Measures probes of one network: the rows of ``PlainEngine``, sooner.

    Args:
        network: to measure.
        seed: of all random streams.
        fast: put bfloat16 in front of float32, where this machine is faster at it.
        pace: memory format and batch size; see ``Pace``.

    Attributes:
        reasons: why layers, or under ``""`` the whole network, are measured by whole forward passes; also logged.
    """

    def __init__(self, network: Network, seed: int = 0, *, fast: bool = False, pace: Pace | None = None) -> None:
        self.network, self.plain = network, PlainEngine(network, seed)
        self.reasons: dict[str, str] = {}
        self._told = False  # of examples without an answer
        self._fast, self._pace = fast, pace or Pace()
        self._layers: dict[str, LayerReplay | None] = {}

    def measure(self, probes: Iterable[Probe]) -> Iterator[Row]:
        """Yield one row a probe, in order.

        It is fastest where the probes of one slice of examples follow each other, layer by layer.

        Raises:
            BadInput: a perturbation failed.
        """
        for (layer, start, n_examples), group in groupby(probes, key=lambda p: (p.layer, p.example_start, p.n_examples)):
            clean, replay = self.clean(start, n_examples), self.replay(layer)  # either may find that whole passes are needed
            if self.fast_answers is None or replay is None:
                yield from self.plain.measure(group)
                continue
            yield from self._replayed(self.fast_answers, replay, list(group), clean)

    def _replayed(
        self, fast_answers: FastAnswers, replay: LayerReplay, probes: list[Probe], clean: Answers
    ) -> Iterator[Row]:
        """Yield the rows of probes of one layer and slice; by whole passes from where replay is found not to do."""
        n_done, answered = 0, fast_answers.perturbed(replay, probes)
        try:
            for probe in probes:
                with whatever_fails():
                    perturbed, after = next(answered)
                yield make_row(self.network, probe, perturbed, clean, after)
                n_done += 1
        except CannotReplayError as error:
            self._give_up(error)
            yield from self.plain.measure(probes[n_done:])

    def clean(self, start: int, n_examples: int) -> Answers:
        """Return the unperturbed network's answers on a slice of the evaluation examples; computed once."""
        answers = self._clean(start, n_examples)
        n_without = int(np.count_nonzero(answers.predictions == NO_CLASS))
        if n_without and not self._told:
            self._told = True
            logger.warning(
                "network %r answers %d of its %d evaluation examples from number %d on by NaN or infinite logits: they "
                "count as wrong",
                self.network.name,
                n_without,
                n_examples,
                start,
            )
        return answers

    def _clean(self, start: int, n_examples: int) -> Answers:
        if self.fast_answers is not None:
            try:
                with whatever_fails():
                    return self.fast_answers.clean(start, n_examples)
            except CannotReplayError as error:
                self._give_up(error)
        return self.plain.clean(start, n_examples)

    @property
    def settled(self) -> Counter[str]:
        """Number of examples settled by each arithmetic; ``widened``: how often an error band proved too small."""
        return Counter() if self.fast_answers is None else self.fast_answers.settled

    def replay(self, layer: Layer) -> LayerReplay | None:
        """Return the replay of a layer; None, with the reason kept, where there is none."""
        if self.fast_answers is None:
            return None
        if layer.name not in self._layers:
            try:
                with whatever_fails(), exact_float32():
                    self._layers[layer.name] = self.fast_answers.replayed.layer(layer)
            except CannotReplayError as error:
                self._layers[layer.name] = None
                self._note(layer.name, error)
        return self._layers[layer.name]

    @cached_property
    def fast_answers(self) -> FastAnswers | None:
        """Answers by replay; None, with the reason kept, where the whole network is measured by whole passes."""
        try:
            with whatever_fails(), exact_float32():
                replayed = ReplayedNetwork(self.plain.model, self._pace, self._fast)
            return FastAnswers(replayed, self.plain.weights)
        except CannotReplayError as error:
            self._note("", error)
            return None

    def _give_up(self, reason: CannotReplayError) -> None:
        self._note("", reason)
        self.fast_answers = None

    def _note(self, layer: str, reason: CannotReplayError) -> None:
        self.reasons[layer] = str(reason)
        where = f"layer {layer!r} of network {self.network.name!r}" if layer else f"network {self.network.name!r}"
        logger.warning("%s is measured by whole forward passes: %s", where, reason)
