"""A network made ready for replay: traced, fused, and each layer admitted only if its replay agrees with whole passes."""

import dataclasses

import numpy as np
import torch
from torch import Tensor, fx, nn

from safer_bench.measurement.answers.canonical import CanonicalModel
from safer_bench.measurement.answers.clean_pass import CleanPass
from safer_bench.measurement.answers.fuse import fuse
from safer_bench.measurement.answers.replay import LayerReplay, Replay, cast
from safer_bench.measurement.answers.trace import CannotReplayError, Traced, trace
from safer_bench.measurement.answers.tuning import Pace, arranged, seconds
from safer_bench.networks.layers import Layer

F32, BF16 = torch.float32, torch.bfloat16
N_TRIED = 2  # examples on which a layer's replay is compared with whole passes
AGREEMENT = 1e-2  # relative to the largest logit: rounding stays below, a value from elsewhere does not
N_TOGETHER = 5  # examples on which answers in a batch are compared with answers in a smaller one
INDEPENDENCE = 1e-9  # the same in float64, for a batch against some of its examples


class ReplayedNetwork:
    """Replays of a network's layers.

    Args:
        canonical: the network in canonical arithmetic.
        pace: memory format and batch size.
        fast: prepare bfloat16 too, where this machine is faster at it.

    Raises:
        CannotReplayError: the network has to be measured by whole passes. Whatever else a model makes fail, here or later
            (``trace.whatever_fails``), means so too.
    """

    def __init__(self, canonical: CanonicalModel, pace: Pace, fast: bool = False) -> None:
        self.network, self.canonical = canonical.network, canonical
        images, self.memory_format = self.network.images, pace.memory_format
        self._refuse_dependent_answers()
        self.model, traced = trace(self.network.model, images[:N_TRIED].to(self.network.device), self.memory_format)
        self.batch_size = pace.examples_a_batch(traced.largest_bytes)
        self._read = {layer.name: _weight_nodes(self.model, traced, layer) for layer in self.network.layers}
        self.replay = Replay(fuse(traced, self.memory_format), (F32, BF16) if fast else (F32,))
        self._tried = self.clean_pass(images[:N_TRIED])
        self.narrow = fast and self._is_faster_in_bfloat16()

    def layer(self, layer: Layer) -> LayerReplay:
        """Return the replay of a layer.

        Raises:
            CannotReplayError: it cannot be taken apart, or does not agree with whole passes.
        """
        nodes = self._read[layer.name]
        if isinstance(nodes, CannotReplayError):
            raise nodes
        changed = 1.25 * torch.from_numpy(self.network.weight(layer)).flip(0)
        with self.canonical.weight_set(layer, changed.numpy()):
            expected = self.canonical.logits(self.network.images[:N_TRIED])
        replay = self.replay.layer(nodes)
        weight, last = self.on_device(changed), torch.tensor([len(expected) - 1])
        error = _relative(self._tried.run(replay, weight), expected)
        if not _relative(self._tried.run_some(replay, weight, last), expected[last]) <= AGREEMENT:
            replay = dataclasses.replace(replay, selects=False)
        if self.narrow:
            self._tried.run(replay, weight, BF16)
        if not error <= AGREEMENT:  # true for NaN
            raise CannotReplayError(f"its replay differs from a whole pass by {error:.1g} of the largest logit")
        return replay

    def clean_pass(self, images: Tensor) -> CleanPass:
        """Return the clean pass over images ``(n, ...)``."""
        padded = images if len(images) > 1 else torch.cat([images, images])  # a graph takes two examples or more
        n_batches = min(-(-len(padded) // self.batch_size), len(padded) // 2)
        batches = [self.on_device(batch) for batch in padded.tensor_split(n_batches)]
        return CleanPass(self.replay, batches, len(images))

    def on_device(self, tensor: Tensor) -> Tensor:
        """Return a weight or a batch where and as the replay takes it."""
        return arranged(tensor, self.memory_format).to(self.network.device)

    def _refuse_dependent_answers(self) -> None:
        """Refuse a model whose answer to an image is NaN, or depends on the others in the batch or on earlier answers."""
        images = self.network.images[:N_TOGETHER]
        together, alone, again = (self.canonical.logits(batch) for batch in (images, images[::2], images))
        if not np.array_equal(again.numpy(), together.numpy(), equal_nan=True):
            raise CannotReplayError("it answers the same images differently the second time")
        if bool(together.isnan().any()):
            raise CannotReplayError("it answers some images by NaN")
        if not _relative(alone, together[::2]) <= INDEPENDENCE:
            raise CannotReplayError("its answer to an image depends on the other images of the batch")

    def _is_faster_in_bfloat16(self) -> bool:
        try:
            return self._time(BF16) < self._time(F32)
        except RuntimeError:  # an operation that bfloat16 lacks
            return False

    def _time(self, dtype: torch.dtype) -> float:
        """Return the seconds that a batch takes."""
        whole, batch = self.replay.whole(dtype), self.on_device(self.network.images[: self.batch_size])
        return seconds(lambda images: whole([images], len(images)), cast(batch, dtype))


def _weight_nodes(model: nn.Module, traced: Traced, layer: Layer) -> tuple[fx.Node, ...] | CannotReplayError:
    try:
        return traced.weight_nodes(model, layer)
    except CannotReplayError as error:
        return error


def _relative(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference as a share of the largest finite logit; equal infinities do not differ."""
    difference = torch.where(found.double().cpu() == expected, 0.0, found.double().cpu() - expected).abs()
    finite = expected[torch.isfinite(expected)].abs()
    return float(difference.max() / max(float(finite.max()) if len(finite) else 0.0, 1e-30))
