"""Canonical answers of a replayed network: its arithmetics as ladders, settled probe by probe."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from safer_bench.measurement.answers.arithmetics import BFLOAT16, CANONICAL, FLOAT32, GROWTH, KEPT_BYTES
from safer_bench.measurement.answers.canonical import Answers, judge, masked_classes
from safer_bench.measurement.answers.clean_pass import CleanPass
from safer_bench.measurement.answers.precision import exact_float32
from safer_bench.measurement.answers.replay import LayerReplay
from safer_bench.measurement.answers.replayed import AGREEMENT, ReplayedNetwork
from safer_bench.measurement.answers.settle import Bands, Rung, comparable, error_ranges, settle
from safer_bench.measurement.answers.trace import CannotReplayError
from safer_bench.measurement.design import Probe
from safer_bench.measurement.rows import Weights
from safer_bench.networks.layers import Layer
from safer_bench.perturbations.perturbation import Perturbed


@dataclass(frozen=True, slots=True)
class Clean:
    """The unperturbed network on some examples: canonical answers, and the range of each arithmetic's error ``(n,)``."""

    answers: Answers
    error_ranges: dict[str, np.ndarray]


class FastAnswers:
    """What a network answers, clean and perturbed.

    Args:
        replayed: the network.
        weights: makes its perturbed weights.

    Attributes:
        settled: number of examples settled by each arithmetic; ``widened``: how often an error band proved too small.
    """

    def __init__(self, replayed: ReplayedNetwork, weights: Weights) -> None:
        self.replayed, self.network, self.weights = replayed, replayed.network, weights
        self.settled: Counter[str] = Counter()
        self._clean: dict[tuple[int, int], Clean] = {}
        self._canonical: dict[tuple[int, int], Tensor] = {}
        self._last: tuple[tuple[int, int], CleanPass] | None = None

    def clean(self, start: int, n_examples: int) -> Answers:
        """Return the unperturbed network's canonical answers on a slice of the evaluation examples."""
        pieces = _pieces(start, n_examples, self._image_bytes)
        return _join([self._clean_piece(*piece).answers for piece in pieces])

    def perturbed(self, replay: LayerReplay, probes: Sequence[Probe]) -> Iterator[tuple[Perturbed, Answers]]:
        """Yield weight and answers of each probe; all are of one layer and one slice.

        The slice is taken in pieces whose clean values fit into memory; the weights of one level are kept at a time.
        """
        start, n_examples = probes[0].example_start, probes[0].n_examples
        pieces = _pieces(start, n_examples, self._image_bytes + replay.bytes_per_example)
        for _, group in groupby(probes, key=lambda probe: (probe.perturbation.name, probe.level)):
            same = list(group)
            weights = [self.weights.perturbed(probe) for probe in same]
            by_piece = [self._settle_condition(replay, same[0], weights, *piece) for piece in pieces]
            for perturbed, parts in zip(weights, zip(*by_piece, strict=True), strict=True):
                yield perturbed, _join(parts)

    @property
    def _image_bytes(self) -> int:
        return 4 * self.network.images[0].numel()

    def _clean_piece(self, start: int, n_examples: int) -> Clean:
        """Run all examples in every arithmetic: what is hard for one without perturbation is suspect with it.

        Raises:
            CannotReplayError: some answers in float32 are not those of the whole passes, be they rounded.
        """
        if (start, n_examples) not in self._clean:
            images, labels = self.network.examples(start, n_examples)
            kept, ranges = self.replayed.clean_pass(images), {}
            answers = judge(logits := self._canonical_logits(start, n_examples), labels, masked_classes(logits))
            canonical = comparable(logits.numpy(), answers.masked)
            with exact_float32():
                float32 = comparable(_array(kept.logits()), answers.masked)
                ranges["float32"] = error_ranges(float32, canonical)
                _refuse_others(ranges["float32"], canonical)
                if self.replayed.narrow:
                    bfloat16 = comparable(_array(kept.logits(torch.bfloat16)), answers.masked)
                    ranges["bfloat16"] = error_ranges(bfloat16, float32)
            self._clean[start, n_examples] = Clean(answers, ranges)
        return self._clean[start, n_examples]

    def _canonical_logits(self, start: int, n_examples: int) -> Tensor:
        """Return the unperturbed network's canonical logits; those of a slice within what is known are not run again."""
        for (first, n), logits in self._canonical.items():
            if first <= start and start + n_examples <= first + n:
                return logits[start - first : start - first + n_examples]
        logits = self.replayed.canonical.logits(self.network.examples(start, n_examples)[0])
        self._canonical[start, n_examples] = logits
        return logits

    def _settle_condition(
        self, replay: LayerReplay, probe: Probe, weights: Sequence[Perturbed], start: int, n_examples: int
    ) -> list[Answers]:
        """Answer on some examples; the draws of one level share their error bands."""
        labels, bands = self.network.examples(start, n_examples)[1], Bands()
        answers: list[Answers] = []
        masked = self._clean_piece(start, n_examples).answers.masked
        random = _random(start, probe.layer.name, probe.perturbation.name, probe.level)
        while len(answers) < len(weights):
            n_widened, ladder = bands.n_widened, self.ladder(replay, probe.layer, weights[len(answers)], start, n_examples)
            with exact_float32():
                logits = settle(ladder, np.arange(n_examples), bands, random, masked)
            answers.append(judge(torch.from_numpy(logits), labels, masked))
            if bands.n_widened > n_widened:
                answers.clear()  # what a band that was too small settled is settled again
                bands.n_settled.clear()
        self.settled += bands.n_settled
        self.settled["widened"] += bands.n_widened
        return answers

    def ladder(self, replay: LayerReplay, layer: Layer, perturbed: Perturbed, start: int, n_examples: int) -> list[Rung]:
        """Return the arithmetics that settle a probe on some examples, from fast to canonical."""
        images, model = self.network.examples(start, n_examples)[0], self.replayed.canonical

        def canonical(rows: np.ndarray) -> np.ndarray:
            with model.weight_set(layer, perturbed.weight):
                return model.logits(images[rows]).numpy()

        if not np.abs(perturbed.weight).max() <= GROWTH * np.abs(self.network.weight(layer)).max():  # true for NaN too
            return [Rung(CANONICAL, canonical)]
        kept, weight = self._pass(start, n_examples), self.replayed.on_device(torch.from_numpy(perturbed.weight))
        clean = self._clean_piece(start, n_examples).error_ranges

        def float32(rows: np.ndarray) -> np.ndarray:
            if len(rows) == n_examples:
                return _array(kept.run(replay, weight))
            return _array(kept.run_some(replay, weight, torch.from_numpy(rows)))

        ladder = [Rung(FLOAT32, float32, clean["float32"]), Rung(CANONICAL, canonical)]
        if self.replayed.narrow:
            bfloat16 = lambda _: _array(kept.run(replay, weight, torch.bfloat16))  # noqa: E731  always of all examples
            ladder.insert(0, Rung(BFLOAT16, bfloat16, clean["bfloat16"]))
        return ladder

    def _pass(self, start: int, n_examples: int) -> CleanPass:
        """Return the clean pass of a slice; only the last one is kept."""
        if self._last is None or self._last[0] != (start, n_examples):
            self._last = None  # frees the old one before the new one is made
            self._last = (start, n_examples), self.replayed.clean_pass(self.network.examples(start, n_examples)[0])
        return self._last[1]


def _refuse_others(errors: np.ndarray, canonical: np.ndarray) -> None:
    """Refuse a network some of whose answers differ by more than rounding, such as those beside a certain other image."""
    finite = np.isfinite(canonical).all(1) & np.isfinite(errors)
    if finite.any() and errors[finite].max() > AGREEMENT * np.abs(canonical[finite]).max():
        raise CannotReplayError("some of its answers in float32 are not those of whole passes in smaller batches")


def _random(*words: object) -> np.random.Generator:
    """Return a generator that depends on what is measured alone, so that losses do not depend on what else is."""
    return np.random.default_rng(list(sha256(repr(words).encode()).digest()))


def _pieces(start: int, n_examples: int, bytes_per_example: int) -> list[tuple[int, int]]:
    """Split a slice into pieces (first example, number) that fit into memory."""
    size = max(2, KEPT_BYTES // bytes_per_example)
    return [(first, min(size, start + n_examples - first)) for first in range(start, start + n_examples, size)]


def _array(logits: Tensor) -> np.ndarray:
    return logits.double().cpu().numpy()


def _join(parts: Sequence[Answers]) -> Answers:
    predictions, losses = (np.concatenate([getattr(part, key) for part in parts]) for key in ("predictions", "losses"))
    if all(part.masked is None for part in parts):
        return Answers(predictions, losses)
    width = next(part.masked.shape[1] for part in parts if part.masked is not None)
    masks = [np.zeros((len(part.losses), width), bool) if part.masked is None else part.masked for part in parts]
    return Answers(predictions, losses, np.concatenate(masks))
