"""Canonical answers of a network in which many layers are changed at once: whole passes, float32 where that is safe."""

from collections.abc import Mapping
from contextlib import ExitStack
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from safer_bench.measurement.answers.arithmetics import CANONICAL, GROWTH, SAMPLED
from safer_bench.measurement.answers.canonical import (
    CERTAIN,
    CanonicalModel,
    answers_alone,
    check_answers,
    judge,
    masked_classes,
)
from safer_bench.measurement.answers.precision import exact_float32
from safer_bench.measurement.answers.replayed import AGREEMENT, INDEPENDENCE, N_TOGETHER, typical_logit
from safer_bench.measurement.answers.settle import Bands, Logits, Rung, comparable, error_ranges, error_spreads, settle
from safer_bench.measurement.answers.trace import CannotReplayError, whatever_fails
from safer_bench.measurement.answers.tuning import arranged, examples_a_pass
from safer_bench.measurement.design import Probe
from safer_bench.measurement.rows import Weights as PerturbedWeights
from safer_bench.networks.examples import counted
from safer_bench.networks.inputs import Inputs, parts_of, with_parts
from safer_bench.networks.layers import Layer
from safer_bench.networks.network import Network
from safer_bench.perturbations.loading import perturbations
from safer_bench.registry import look_up

BATCH_SIZE = 50  # on a CPU
SEED = 7_042_011  # of no truth
Weights = Mapping[str, np.ndarray]  # layer -> float32 weight of the layer's shape


class WholeNetwork:
    """Tells which answers to the evaluation examples a network gets right with some of its weights replaced.

    The answers are those of ``CanonicalModel`` on all examples; the network's own model is never changed.

    Raises:
        BadInput: the model fails in float64, or answers the same examples differently each time.
    """

    def __init__(self, network: Network) -> None:
        check_answers(network)
        self.network = network
        self.canonical = CanonicalModel(network)
        self._weights = PerturbedWeights(network, SEED)
        self._model = deepcopy(network.model)
        self._layers = {layer.name: layer for layer in network.layers}
        self._largest = {layer.name: float(np.abs(network.weight(layer)).max()) for layer in network.layers}
        self._clean = self.canonical.logits(network.inputs)  # now: later it might be asked for while weights are changed
        self._masked = masked_classes(self._clean)
        self._memory_format = torch.channels_last
        self._batch_size = self._examples_a_pass()
        self._agrees = self._float32_agrees() or self._float32_agrees(torch.contiguous_format)

    def perturbed(self, layer: Layer, perturbation: str, level: float, draw: int = 0) -> np.ndarray:
        """Return a layer's perturbed weight, float32; draws are the same whatever else is changed, and none of the truth's.

        Raises:
            UnknownName: no perturbation has that name.
            BadInput: the perturbation failed.
        """
        entry = look_up(perturbations(), perturbation, "perturbation")
        return self._weights.perturbed(Probe(layer, entry, level, draw, 0, len(self.network.labels))).weight

    def correct(self, weights: Weights, start: int = 0, n: int | None = None) -> np.ndarray:
        """Return which answers to n examples from ``start`` on (all by default) are right, bool ``(n_answers,)``.

        Args:
            weights: of the layers that are changed.
            start: first example.
            n: number of examples.
        """
        n = len(self.network.labels) - start if n is None else n
        inputs, labels = self.network.examples(start, n)
        with ExitStack() as stack:
            for name, weight in weights.items():
                stack.enter_context(self.canonical.weight_set(self._layers[name], weight))
            logits = self._settled(weights, inputs, labels, start) if weights else self._clean[start : start + n].numpy()
        masked = None if self._masked is None else self._masked[start : start + n]
        return np.asarray(judge(torch.from_numpy(logits), labels, masked).predictions == counted(labels))

    def _settled(self, weights: Weights, inputs: Tensor | Inputs, labels: Tensor, start: int) -> np.ndarray:
        ladder = [Rung(CANONICAL, lambda rows: answers_alone(self.canonical.logits(inputs[rows]), labels[rows]))]
        if self._is_safe(weights):
            of_slice = self._clean_spreads[start : start + len(inputs)]
            ladder.insert(0, Rung(SAMPLED, self._float32(weights, inputs, labels), of_slice))
        with exact_float32():
            masked = None if self._masked is None else self._masked[start : start + len(inputs)]
            return settle(
                ladder, np.arange(len(inputs)), Bands(typical=typical_logit(self._clean)), np.random.default_rng(0), masked
            )

    def _is_safe(self, weights: Weights) -> bool:
        """Tell whether float32 can be trusted: weights that grow much, all in all, may overflow and come back finite."""
        growth = 1.0
        for name, weight in weights.items():
            largest = float(np.abs(weight).max())
            growth *= max(1.0, largest / self._largest[name]) if self._largest[name] else 1.0 + largest
        return growth <= GROWTH and self._agrees  # false for NaN too

    @torch.no_grad()
    def _examples_a_pass(self) -> int:
        return examples_a_pass(self._model, self.network.inputs[:BATCH_SIZE].to(self.network.device), BATCH_SIZE)

    def _float32(self, weights: Weights, inputs: Tensor | Inputs, labels: Tensor) -> Logits:
        device = self.network.device
        changed = {self._layers[name].parameter: torch.from_numpy(weight).to(device) for name, weight in weights.items()}

        def logits(rows: np.ndarray) -> np.ndarray:
            batches = (self._arranged(batch).to(device) for batch in inputs[rows].split(self._batch_size))
            by_batch = [functional_call(self._model, changed, (batch,)).double().cpu() for batch in batches]
            return answers_alone(torch.cat(by_batch), labels[rows])

        return logits

    def _arranged(self, batch: Tensor | Inputs) -> Tensor | Inputs:
        return with_parts(batch, [arranged(part, self._memory_format) for part in parts_of(batch)])

    def _float32_agrees(self, memory_format: torch.memory_format = torch.channels_last) -> bool:
        """Run all examples in float32, and tell whether its answers can be trusted."""
        self._memory_format = memory_format
        try:
            with whatever_fails(), exact_float32():
                float32 = self._float32({}, self.network.inputs, self.network.labels)(np.arange(len(self.network.labels)))
        except CannotReplayError:  # a view of images in channels_last, for one
            return False
        canonical = answers_alone(self._clean, self.network.labels)
        found, expected = (comparable(logits, self._masked) for logits in (float32, canonical))
        self._clean_spreads = error_spreads(found, expected, typical_logit(self._clean))
        return self._answers_agree(expected, error_ranges(found, expected).max())

    def _answers_agree(self, clean: np.ndarray, error: float) -> bool:
        """Tell whether answers do not depend on others of the batch, and float32's are the canonical ones, rounded."""
        inputs, labels = self.network.examples(0, N_TOGETHER)
        largest = float(np.abs(clean[np.isfinite(clean) & (clean < CERTAIN)]).max(initial=0.0))
        masked = None if self._masked is None else self._masked[:N_TOGETHER][::2]
        alone = comparable(answers_alone(self.canonical.logits(inputs[::2]), labels[::2]), masked)
        apart = np.abs(alone - clean[:N_TOGETHER][::2]).max()
        return bool(apart <= INDEPENDENCE * largest and error <= AGREEMENT * largest)
