"""Logits of a network with one layer's weight replaced, running only what follows from it, where the engine can.

They are the model's own up to rounding.
"""

import logging
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from safer_bench.criteria.passes.layers import Batches, count_examples
from safer_bench.measurement.answers.arithmetics import GROWTH
from safer_bench.measurement.answers.canonical import CanonicalModel
from safer_bench.measurement.answers.clean_pass import CleanPass
from safer_bench.measurement.answers.precision import exact_float32
from safer_bench.measurement.answers.replay import LayerReplay
from safer_bench.measurement.answers.replayed import ReplayedNetwork
from safer_bench.measurement.answers.trace import CannotReplayError, whatever_fails
from safer_bench.measurement.answers.tuning import Pace, room_on
from safer_bench.networks.inputs import bytes_of_one, joined
from safer_bench.networks.network import Network

logger = logging.getLogger(__name__)


class Suffixes:
    """What criteria that perturb layers get from a sweep in place of whole passes, in float32.

    Nothing is traced before it is asked for.

    Args:
        model: the network's.
        inputs: that criteria may see; a few of them admit each layer's replay.
        labels: of them; their shape tells where answers are.
    """

    def __init__(self, model: nn.Module, inputs: Any, labels: Tensor) -> None:
        self._model, self._inputs = model, inputs
        self._labels = torch.zeros_like(labels, device="cpu")  # nothing is judged
        self._layers: dict[str, LayerReplay | None] = {}
        self._last: tuple[Batches, CleanPass] | None = None

    def prepare(self) -> None:
        """Trace and admit all layers: seconds, once."""
        if self._replayed is not None:
            for layer in self._replayed.network.layers:
                self._replay(self._replayed, layer.name)

    def clean(self, batches: Batches) -> Tensor | None:
        """Return the unperturbed logits ``(n, n_classes, ...)``; None where whole passes are needed."""
        return self._by_replay(lambda replayed: self._pass(replayed, batches).logits())

    def perturbed(self, batches: Batches, layer: str, weight: Tensor) -> Tensor | None:
        """Return the logits ``(n, n_classes, ...)`` with a layer's weight replaced; None where whole passes are needed.

        They are where a replay is not admitted, where what it keeps would not fit into memory, and for weights so large
        that float32 overflows, which a folded batch norm would do elsewhere than the model.
        """

        def run(replayed: ReplayedNetwork) -> Tensor | None:
            replay = self._replay(replayed, layer)
            if replay is None or self._is_beyond(replayed, replay, batches, layer, weight):
                return None
            return self._pass(replayed, batches).run(replay, replayed.on_device(weight))

        return self._by_replay(run)

    def _by_replay(self, run: Callable[[ReplayedNetwork], Tensor | None]) -> Tensor | None:
        """Return what replay gives; None, from now on, where it is found not to do."""
        if self._replayed is None:
            return None
        try:
            with whatever_fails(), exact_float32():
                return run(self._replayed)
        except CannotReplayError as error:
            self._give_up(error)
            self._replayed = self._last = None
            return None

    @cached_property
    def _replayed(self) -> ReplayedNetwork | None:
        try:
            with whatever_fails(), exact_float32():
                return ReplayedNetwork(CanonicalModel(Network(self._model, self._inputs, self._labels)), Pace())
        except CannotReplayError as error:
            self._give_up(error)
            return None

    def _replay(self, replayed: ReplayedNetwork, layer: str) -> LayerReplay | None:
        if layer not in self._layers:
            try:
                with whatever_fails(), exact_float32():
                    self._layers[layer] = replayed.layer(replayed.network.layer(layer))
            except CannotReplayError:
                self._layers[layer] = None
        return self._layers[layer]

    def _is_beyond(
        self, replayed: ReplayedNetwork, replay: LayerReplay, batches: Batches, layer: str, weight: Tensor
    ) -> bool:
        kept = count_examples(batches) * (replay.bytes_per_example + bytes_of_one(self._inputs))
        original = replayed.network.weight(replayed.network.layer(layer))
        beyond = kept > room_on(replayed.network.device).kept_bytes
        return beyond or not float(weight.abs().max()) <= GROWTH * float(np.abs(original).max())  # NaN too

    def _pass(self, replayed: ReplayedNetwork, batches: Batches) -> CleanPass:
        """Return the clean pass over batches; only the last one is kept."""
        if self._last is None or self._last[0] is not batches:
            self._last = None  # frees the old one before the new one is made
            self._last = batches, replayed.clean_pass(joined([inputs for inputs, _ in batches]))
        return self._last[1]

    def _give_up(self, reason: CannotReplayError) -> None:
        logger.warning("what criteria change in a network is run by whole forward passes: %s", reason)
