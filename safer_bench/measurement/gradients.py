"""Float64 gradients of the mean loss on parts of the calibration examples; thresholds and rounding make them repeatable."""

from copy import deepcopy
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from safer_bench.errors import BadInput, text_of
from safer_bench.measurement.answers.canonical import BATCH_SIZE
from safer_bench.measurement.answers.precision import Float64
from safer_bench.networks.examples import counted
from safer_bench.networks.inputs import Inputs
from safer_bench.networks.network import Network

N_PARTS = 20
THRESHOLD = 1e-6  # of a layer's largest entry: below it, the sign of an entry may be rounding


class CalibrationGradients:
    """Gradients by draw: draw d uses the d-th of 20 equal parts of the calibration examples (d modulo 20)."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._by_part: dict[int, dict[str, np.ndarray]] = {}

    @cached_property
    def _model(self) -> torch.nn.Module:
        return deepcopy(self.network.model).double().requires_grad_(True)  # the caller's may be frozen

    def gradient(self, layer: str, draw: int) -> np.ndarray:
        """Return the gradient of the mean loss with respect to a layer's weight: float64 holding float32 values.

        Raises:
            BadInput: the network has no calibration examples.
        """
        part = draw % N_PARTS
        if part not in self._by_part:
            self._by_part[part] = self._compute(part)
        return self._by_part[part][layer].astype(np.float64)

    @torch.enable_grad()
    def _compute(self, part: int) -> dict[str, np.ndarray]:
        inputs, labels = self.network.calibration
        size = len(labels) // N_PARTS
        inputs, labels = inputs[part * size : (part + 1) * size], labels[part * size : (part + 1) * size]
        n_answers = len(counted(labels))
        self._model.zero_grad()
        for batch, batch_labels in zip(inputs.split(BATCH_SIZE), labels.split(BATCH_SIZE), strict=True):
            self._add(batch.to(self.network.device).double(), batch_labels.to(self.network.device), n_answers)
        layers = {layer.name: layer.parameter for layer in self.network.layers}
        return {name: _rounded(self._model.get_parameter(parameter)) for name, parameter in layers.items()}

    def _add(self, inputs: Tensor | Inputs, labels: Tensor, n_answers: int) -> None:
        """Add the gradients of a batch's part of the mean loss."""
        try:
            with Float64():
                logits = self._model(inputs)
            (F.cross_entropy(logits, labels, reduction="sum") / n_answers).backward()
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            said = text_of(error, typed=True)
            raise BadInput(
                f"network {self.network.name!r}: the gradients of its loss in float64 raised {said:.300}; leave out "
                "gradient perturbations, or make forward differentiable (no out=, no checkpoint with casts)"
            ) from error


def _rounded(parameter: torch.nn.Parameter) -> np.ndarray:
    if parameter.grad is None:
        return np.zeros(tuple(parameter.shape), dtype=np.float32)
    gradient = parameter.grad.cpu().numpy()
    small = np.abs(gradient) < THRESHOLD * np.max(np.abs(gradient))
    return np.where(small, 0.0, gradient).astype(np.float32)
