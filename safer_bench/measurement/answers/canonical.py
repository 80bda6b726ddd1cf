"""Canonical arithmetic: float64 precision with float32's range, so that a count does not depend on the machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.ao.quantization import FakeQuantizeBase
from torch.nn import functional as F

from safer_bench.errors import BadInput, text_of
from safer_bench.measurement.answers.limits import limit_output
from safer_bench.measurement.answers.precision import Float64
from safer_bench.measurement.answers.tuning import examples_a_pass
from safer_bench.networks.examples import NOT_COUNTED
from safer_bench.networks.inputs import Inputs
from safer_bench.networks.layers import Layer, no_fast_path
from safer_bench.networks.network import Network

LOSS_CLIP = 16.0
CERTAIN = 1e30  # logit of an answer that is not counted
NO_CLASS = -1  # prediction of an example whose logits are not all finite, masked classes apart
BATCH_SIZE = 10  # float64 convolutions are unfolded in memory: ResNet-20 takes 2.6 ms an image at 10, 3.1 at 25, 3.7 at 100
N_CHECKED = 5  # images that have to get the same answers twice
REPEATED = 1e-6  # by how much their logits may differ: on a GPU sums of the same numbers may be rounded in another order


@dataclass(frozen=True, slots=True)
class Answers:
    """What a network says of n examples: one answer to each, or one at each of its counted positions, in their order.

    Attributes:
        predictions: class of each answer, int64 ``(n_answers,)``; -1 for none.
        losses: clipped, ``(n_answers,)``.
        masked: the classes that the unperturbed network rules out by a logit of -inf, ``(n, n_classes[, n_positions])``;
            None where it rules out none. They may be infinite in a perturbed network's answers to the same examples too.
    """

    predictions: np.ndarray
    losses: np.ndarray
    masked: np.ndarray | None = None


class CanonicalModel:
    """A float64 copy of a network's model in which every module output is limited to float32's range."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.model = deepcopy(network.model).double()
        self._batch_size: int | None = None
        for module in self.model.modules():
            module.register_forward_hook(limit_output)

    @contextmanager
    def weight_set(self, layer: Layer, weight: np.ndarray) -> Iterator[None]:
        """Set a layer's weight within the block; afterwards it is bit for bit what it was, also after an exception."""
        parameter = self.model.get_parameter(layer.parameter)
        original = parameter.detach().clone()
        try:
            with torch.no_grad():
                parameter.copy_(torch.from_numpy(weight))
            yield
        finally:
            with torch.no_grad():
                parameter.copy_(original)

    @torch.no_grad()
    def answers(self, inputs: Tensor | Inputs, labels: Tensor, clean: Answers | None = None) -> Answers:
        """Return the whole network's answers to n examples.

        Args:
            inputs: to answer.
            labels: that judge, ``(n, ...)``.
            clean: the unperturbed network's answers to them; None where this is the unperturbed network.
        """
        logits = self.logits(inputs)
        return judge(logits, labels, masked_classes(logits) if clean is None else clean.masked)

    @torch.no_grad()
    def logits(self, inputs: Tensor | Inputs) -> Tensor:
        """Run the whole network on n examples, in batches; float64 ``(n, n_classes, ...)`` in main memory."""
        with no_fast_path(), Float64():  # fused attention would bypass the modules and their limits
            device = self.network.device
            if self._batch_size is None:
                self._batch_size = examples_a_pass(self.model, inputs[:BATCH_SIZE].to(device).double(), BATCH_SIZE)
            return torch.cat([self.model(batch.to(device).double()).cpu() for batch in inputs.split(self._batch_size)])


def check_answers(network: Network) -> None:
    """Refuse a network without canonical answers, by running a few of its images twice, and some of them apart.

    Raises:
        BadInput: its model fails in float64, answers the same examples differently each time or beside other images, or
            answers all of them by NaN or infinity.
    """
    inputs, labels = network.examples(0, N_CHECKED)
    try:
        model = CanonicalModel(network)
        first, again, apart = model.logits(inputs), model.logits(inputs), model.logits(inputs[::2])
        answers = judge(first, labels, masked_classes(first))
    except Exception as error:
        text = text_of(error, typed=True)
        raise BadInput(
            f"network {network.name!r}: its copy in float64, in which it is measured, raised "
            f"{text:.300}; the model must run in float64 too: what forward makes takes the dtype of x, such as "
            f"torch.eye(..., dtype=x.dtype){_of_fake_quantization(network.model)}{_of_experts(network.model, text)}"
        ) from error
    if not torch.allclose(first, again, rtol=REPEATED, atol=1e-9, equal_nan=True):
        raise BadInput(
            f"network {network.name!r}: it answers the same examples differently each time; measure one without chance or "
            "memory in forward (dropout without training=self.training?)"
        )
    if not _agree(apart, first[::2]):
        raise BadInput(
            f"network {network.name!r}: its answer to an example depends on the other examples of the batch (statistics of "
            "the batch, a mean or attention over it), so that no example is right or wrong by itself; measure one that "
            "answers each example alone, as a batch norm does with running statistics: BatchNorm(track_running_stats=True)"
        )
    if (answers.predictions == NO_CLASS).all():
        raise BadInput(
            f"network {network.name!r}: it answers its first {len(labels)} evaluation examples by NaN or infinite logits, "
            "so that none is right and nothing is to lose; look for NaN or infinity in its weights, buffers and inputs, and "
            "for a division by zero or a logarithm in forward (a single class may be masked by a logit of -inf)"
        )


def _agree(found: Tensor, expected: Tensor) -> bool:
    """Tell whether logits are equal but for rounding, relative to the largest finite one."""
    finite = expected[torch.isfinite(expected)].abs()
    tolerance = REPEATED * max(float(finite.max()) if len(finite) else 0.0, 1e-30)
    return torch.allclose(found, expected, rtol=0.0, atol=tolerance, equal_nan=True)


def _of_fake_quantization(model: nn.Module) -> str:
    if not any(isinstance(module, FakeQuantizeBase) for module in model.modules()):
        return ""
    off = "model.apply(torch.ao.quantization.disable_observer).apply(torch.ao.quantization.disable_fake_quant)"
    return f"; fake quantization runs in float32 alone: switch it off, {off}"


def _of_experts(model: nn.Module, said: str) -> str:
    """Return what makes a mixture of experts of transformers run in float64, which its grouped products do not know."""
    known = hasattr(model, "set_experts_implementation") and "Double" in said
    return '; of a mixture of experts, model.set_experts_implementation("batched_mm")' if known else ""


def masked_classes(logits: Tensor) -> np.ndarray | None:
    """Return which classes the unperturbed network's logits rule out, ``(n, n_classes[, n_positions])``; None: none."""
    masked = torch.isneginf(_flat(logits)).numpy()
    return masked if masked.any() else None


def answers_alone(logits: Tensor, labels: Tensor) -> np.ndarray:
    """Return logits ``(n, n_classes, ...)`` as float64 ``(n, n_classes[, n_positions])``, certain where no answer counts.

    Class 0 is far above all others there, in every arithmetic.
    """
    found = _flat(logits).double().cpu().numpy()
    counted = labels.numpy().reshape(len(labels), *found.shape[2:]) != NOT_COUNTED
    if counted.all():
        return found
    certain = np.zeros((1, found.shape[1], *[1] * (found.ndim - 2)))
    certain[:, 0] = CERTAIN
    return np.where(counted[:, None], found, certain)


def _flat(logits: Tensor) -> Tensor:
    return logits.flatten(2) if logits.ndim > 2 else logits


def judge(logits: Tensor, labels: Tensor, masked: np.ndarray | None = None) -> Answers:
    """Turn logits into predictions and clipped losses.

    An answer with a non-finite logit has no class and the largest loss; exact ties go to the lowest class index. A class
    that is masked without perturbation never wins and spoils nothing: its logit may be -inf, as long as another one wins.

    Args:
        logits: ``(n, n_classes, ...)``.
        labels: ``(n, ...)``; what is ``NOT_COUNTED`` there has no answer.
        masked: classes that are masked, ``(n, n_classes[, n_positions])``.
    """
    logits = _flat(logits)
    labels = labels.reshape(len(labels), *logits.shape[2:])
    allowed = torch.isfinite(logits).numpy()
    if masked is not None:
        allowed |= masked & np.isneginf(logits.numpy()) & allowed.any(1, keepdims=True)
    counted = (labels != NOT_COUNTED).numpy()
    finite = np.asarray(allowed.all(1))[counted]
    losses = F.cross_entropy(logits, labels, reduction="none").clamp(max=LOSS_CLIP).numpy()[counted]
    predictions = np.asarray(np.argmax(logits.numpy(), axis=1))[counted]
    return Answers(np.where(finite, predictions, NO_CLASS), np.where(finite, losses, LOSS_CLIP), masked)
