"""A network made ready for replay: traced, fused, and each layer admitted only if its replay agrees with whole passes."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, fx, nn

from safer_bench.measurement.answers.canonical import CanonicalModel, answers_alone
from safer_bench.measurement.answers.clean_pass import CleanPass
from safer_bench.measurement.answers.fuse import fuse
from safer_bench.measurement.answers.guard import GuardedPiece, find_axes
from safer_bench.measurement.answers.replay import LayerReplay, Replay, cast
from safer_bench.measurement.answers.trace import CannotReplayError, Traced, trace
from safer_bench.measurement.answers.tuning import Pace, arranged, seconds
from safer_bench.networks.inputs import Inputs, joined, parts_of, with_parts
from safer_bench.networks.layers import Layer

F32, F64, BF16 = torch.float32, torch.float64, torch.bfloat16
N_TRIED = 2  # examples on which a layer's replay is compared with whole passes
SAME = 1e-9  # the same in float64, for replays of the canonical arithmetic
BEYOND = 2.0**126  # a weight so large that float32 overflows, in a replay that is to overflow as whole passes do
AGREEMENT = 1e-2  # relative to the largest logit: rounding stays below, a value from elsewhere does not
N_TOGETHER = 5  # examples on which answers in a batch are compared with answers in a smaller one
INDEPENDENCE = 1e-9  # the same in float64, for a batch against some of its examples


@dataclasses.dataclass(frozen=True, slots=True)
class ExactReplay:
    """A layer's replay in canonical arithmetic.

    Attributes:
        replay: its suffix, in float64.
        guarded: the suffix in float32, with a range certificate; None where an operation is not known.
    """

    replay: LayerReplay
    guarded: GuardedPiece | None


class ReplayedNetwork:
    """Replays of a network's layers.

    Args:
        canonical: the network in canonical arithmetic.
        pace: memory format and batch size.
        fast: prepare bfloat16 too, where this machine is faster at it.

    Attributes:
        typical: largest logit of a typical example without perturbation.
        speedup: how many times as fast as in float32 a batch runs in bfloat16; 0 where that is not asked for, or fails.

    Raises:
        CannotReplayError: the network has to be measured by whole passes. Whatever else a model makes fail, here or later
            (``trace.whatever_fails``), means so too.
    """

    def __init__(self, canonical: CanonicalModel, pace: Pace, fast: bool = False) -> None:
        self.network, self.canonical = canonical.network, canonical
        inputs, self.memory_format = self.network.inputs, pace.memory_format
        self._refuse_dependent_answers()
        self.model, traced = trace(self.network.model, inputs[:N_TRIED].to(self.network.device), self.memory_format)
        self.batch_size = pace.examples_a_batch(traced.largest_bytes, self.network.device)
        self._exact: dict[str, ExactReplay | None] = {}
        self._exact_read = self._weights_read(traced)
        find_axes(traced.graph)
        self.exact_replay = Replay(traced, (F64, F32))
        traced = traced.without_limits()
        self._read = self._weights_read(traced)
        self.replay = Replay(fuse(traced, self.memory_format), (F32, BF16) if fast else (F32,))
        self._tried, self._tried_exactly = self.clean_pass(inputs[:N_TRIED]), self.exact_pass(inputs[:N_TRIED])
        self.speedup = self._speedup_of_bfloat16() if fast else 0.0

    @property
    def narrow(self) -> bool:
        """Whether bfloat16 is tried first."""
        return self.speedup > 1.0

    def layer(self, layer: Layer) -> LayerReplay:
        """Return the replay of a layer.

        Raises:
            CannotReplayError: it cannot be taken apart, or does not agree with whole passes.
        """
        nodes = self._read[layer.name]
        if isinstance(nodes, CannotReplayError):
            raise nodes
        changed, expected = self._changed(layer)
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

    def exact_layer(self, layer: Layer) -> ExactReplay | None:
        """Return the replay of a layer in canonical arithmetic; None where it does not do as whole passes do."""
        if layer.name not in self._exact:
            self._exact[layer.name] = self._admitted_exactly(layer)
        return self._exact[layer.name]

    def _admitted_exactly(self, layer: Layer) -> ExactReplay | None:
        nodes = self._exact_read[layer.name]
        if isinstance(nodes, CannotReplayError):
            return None
        replay = self.exact_replay.layer(nodes)
        for factor in (1.0, BEYOND):
            changed, expected = self._changed(layer, factor)
            found = self._tried_exactly.run(replay, changed.to(self.network.device)).cpu()
            if not same(found, expected):
                return None
        last = torch.tensor([len(expected) - 1])
        if not same(self._tried_exactly.run_some(replay, changed.to(self.network.device), last).cpu(), found[last]):
            replay = dataclasses.replace(replay, selects=False)
        guarded = GuardedPiece(replay.suffixes[F32])
        return ExactReplay(replay, None if guarded.unknown else guarded)

    def _changed(self, layer: Layer, factor: float = 1.0) -> tuple[Tensor, Tensor]:
        """Return another weight of a layer, one entry multiplied, and the canonical logits of a few images with it."""
        changed = 1.25 * torch.from_numpy(self.network.weight(layer)).flip(0)
        changed.flatten()[changed.abs().argmax()] *= factor
        with self.canonical.weight_set(layer, changed.numpy()):
            return changed, self.canonical.logits(self.network.inputs[:N_TRIED])

    def _weights_read(self, traced: Traced) -> dict[str, tuple[fx.Node, ...] | CannotReplayError]:
        return {layer.name: _weight_nodes(self.model, traced, layer) for layer in self.network.layers}

    def clean_pass(self, inputs: Tensor | Inputs) -> CleanPass:
        """Return the clean pass over some examples."""
        return CleanPass(self.replay, [self._placed(batch) for batch in self._batches(inputs)], len(inputs))

    def exact_pass(self, inputs: Tensor | Inputs) -> CleanPass:
        """Return the clean pass over some examples in canonical arithmetic."""
        batches = [batch.to(self.network.device) for batch in self._batches(inputs)]
        return CleanPass(self.exact_replay, batches, len(inputs))

    def _batches(self, inputs: Tensor | Inputs) -> Sequence[Tensor | Inputs]:
        padded = inputs if len(inputs) > 1 else joined([inputs, inputs])  # a graph takes two examples or more
        return padded.tensor_split(min(-(-len(padded) // self.batch_size), len(padded) // 2))

    def on_device(self, tensor: Tensor) -> Tensor:
        """Return a weight, or a part of a batch, where and as the replay takes it."""
        return arranged(tensor, self.memory_format).to(self.network.device)

    def _placed(self, batch: Tensor | Inputs) -> Tensor | Inputs:
        return with_parts(batch, [self.on_device(part) for part in parts_of(batch)])

    def _refuse_dependent_answers(self) -> None:
        """Refuse a model whose answer to an example is NaN, or depends on the others in the batch or on earlier answers."""
        inputs = self.network.inputs[:N_TOGETHER]
        together, alone, again = (self.canonical.logits(batch) for batch in (inputs, inputs[::2], inputs))
        if not self._repeats(again, together):
            raise CannotReplayError("it answers the same examples differently the second time")
        if np.isnan(answers_alone(together, self.network.labels[:N_TOGETHER])).any():
            raise CannotReplayError("it answers some examples by NaN")
        if not _relative(alone, together[::2]) <= INDEPENDENCE:
            raise CannotReplayError("its answer to an example depends on the other examples of the batch")
        self.typical = typical_logit(together)

    def _repeats(self, again: Tensor, before: Tensor) -> bool:
        """Tell whether answers are the same: to the bit on a CPU; a card may add up in another order each time."""
        if self.network.device.type == "cpu":
            return np.array_equal(again.numpy(), before.numpy(), equal_nan=True)
        return same(again, before)

    def _speedup_of_bfloat16(self) -> float:
        try:
            return self._time(F32) / self._time(BF16)
        except RuntimeError:  # an operation that bfloat16 lacks
            return 0.0

    def _time(self, dtype: torch.dtype) -> float:
        """Return the seconds that a batch takes."""
        whole, batch = self.replay.whole(dtype), self._placed(self.network.inputs[: self.batch_size])
        parts = [cast(part, dtype) for part in parts_of(batch)]
        return seconds(lambda: whole(parts, len(batch)), self.network.device)


def _weight_nodes(model: nn.Module, traced: Traced, layer: Layer) -> tuple[fx.Node, ...] | CannotReplayError:
    try:
        return traced.weight_nodes(model, layer)
    except CannotReplayError as error:
        return error


def typical_logit(logits: Tensor) -> float:
    """Return the median of the largest finite logits of the examples."""
    return float(torch.where(torch.isfinite(logits), logits, 0.0).abs().amax(1).median())


def same(found: Tensor, expected: Tensor) -> bool:
    """Tell whether canonical logits are equal but for the order of sums, and finite in the same places."""
    if not torch.equal(torch.isfinite(found), torch.isfinite(expected)):
        return False
    return _relative(found.nan_to_num(0.0, 0.0, 0.0), expected.nan_to_num(0.0, 0.0, 0.0)) <= SAME


def _relative(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference as a share of the largest finite logit; equal infinities do not differ."""
    difference = torch.where(found.double().cpu() == expected, 0.0, found.double().cpu() - expected).abs()
    finite = expected[torch.isfinite(expected)].abs()
    return float(difference.max() / max(float(finite.max()) if len(finite) else 0.0, 1e-30))
