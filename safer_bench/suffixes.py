"""Logits of a network with one layer's weight replaced, running only what follows from it, where the engine can.

They are the model's own up to rounding. Weights so large that float32 overflows give numbers that mean nothing either way,
and not always the same ones.
"""

from collections.abc import Callable
from functools import cached_property

from torch import Tensor, cat, nn

from safer_bench.criteria.entry import Batches
from safer_bench.measurement.canonical import CanonicalModel
from safer_bench.measurement.clean_pass import CleanPass
from safer_bench.measurement.precision import exact_float32
from safer_bench.measurement.replay import LayerReplay
from safer_bench.measurement.replayed import ReplayedNetwork
from safer_bench.measurement.trace import CannotReplayError
from safer_bench.measurement.tuning import Pace
from safer_bench.networks import Network


class Suffixes:
    """What criteria that perturb layers get from a sweep in place of whole passes: float32, the same up to rounding.

    Args:
        model: the network's.
        images, labels: examples that criteria may see; a few of them admit each layer's replay.
    """

    def __init__(self, model: nn.Module, images: Tensor, labels: Tensor) -> None:
        self._parts = model, images, labels
        self._layers: dict[str, LayerReplay | None] = {}
        self._last: tuple[Batches, CleanPass] | None = None

    def clean(self, batches: Batches) -> Tensor | None:
        """Return the unperturbed logits ``(n, n_classes)``; None where whole passes are needed."""
        return self._run(lambda replayed: self._pass(replayed, batches).logits())

    def perturbed(self, batches: Batches, layer: str, weight: Tensor) -> Tensor | None:
        """Return the logits ``(n, n_classes)`` with a layer's weight replaced; None where whole passes are needed."""

        def run(replayed: ReplayedNetwork) -> Tensor | None:
            replay = self._replay(replayed, layer)
            return None if replay is None else self._pass(replayed, batches).run(replay, replayed.on_device(weight))

        return self._run(run)

    def _run(self, run: Callable[[ReplayedNetwork], Tensor | None]) -> Tensor | None:
        with exact_float32():
            return None if self._replayed is None else run(self._replayed)

    @cached_property
    def _replayed(self) -> ReplayedNetwork | None:
        try:
            return ReplayedNetwork(CanonicalModel(Network(*self._parts)), Pace())
        except CannotReplayError:
            return None

    def _replay(self, replayed: ReplayedNetwork, layer: str) -> LayerReplay | None:
        if layer not in self._layers:
            try:
                self._layers[layer] = replayed.layer(replayed.network.layer(layer))
            except CannotReplayError:
                self._layers[layer] = None
        return self._layers[layer]

    def _pass(self, replayed: ReplayedNetwork, batches: Batches) -> CleanPass:
        """Return the clean pass over batches; only the last one is kept."""
        if self._last is None or self._last[0] is not batches:
            self._last = batches, replayed.clean_pass(cat([images for images, _ in batches]))
        return self._last[1]
