"""Canonical answers of a replayed network: its arithmetics as ladders, settled probe by probe."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from safer_bench.layers import Layer, no_fast_path
from safer_bench.measurement.canonical import Answers, judge
from safer_bench.measurement.clean_pass import CleanPass
from safer_bench.measurement.plan import Probe
from safer_bench.measurement.replay import LayerReplay
from safer_bench.measurement.replayed import ReplayedNetwork
from safer_bench.measurement.rows import Weights
from safer_bench.measurement.settle import Bands, Rung, settle
from safer_bench.perturbations.entry import Perturbed

FLOAT32 = partial(Rung, "float32", factor=64.0, n_sample=4, audit=1 / 2000)
BFLOAT16 = partial(Rung, "bfloat16", factor=4.0, n_sample=64, audit=1 / 200)
GROWTH = 2.0**10  # of the largest weight; beyond it squares may overflow float32 and come back finite
KEPT_BYTES = 1 << 30  # of clean values at a time


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
        self._clean: dict[tuple[int, int], Answers] = {}
        self._last: tuple[tuple[int, int], CleanPass] | None = None

    def clean(self, start: int, n_examples: int) -> Answers:
        """Return the unperturbed network's answers on a slice of the evaluation examples; computed once."""
        if (start, n_examples) not in self._clean:
            self._clean[start, n_examples] = _join(
                [self._clean_piece(*piece) for piece in _pieces(start, n_examples, self._image_bytes)]
            )
        return self._clean[start, n_examples]

    def perturbed(self, replay: LayerReplay, probes: Sequence[Probe]) -> Iterator[tuple[Perturbed, Answers]]:
        """Yield weight and answers of each probe; all are of one layer and one slice."""
        start, n_examples = probes[0].example_start, probes[0].n_examples
        pieces = _pieces(start, n_examples, self._image_bytes + replay.bytes_per_example)
        found = [list(self._perturbed_piece(replay, probes, *piece)) for piece in pieces]
        for of_probe in zip(*found, strict=True):
            yield of_probe[0][0], _join([answers for _, answers in of_probe])

    @property
    def _image_bytes(self) -> int:
        return 4 * self.network.images[0].numel()

    def _clean_piece(self, start: int, n_examples: int) -> Answers:
        images, labels = self.network.examples(start, n_examples)
        with exact_float32():
            logits = _array(self.replayed.clean_pass(images).logits())
        ladder = [FLOAT32(logits.__getitem__), self._canonical(images)]
        settled = settle(ladder, np.arange(n_examples), Bands(), np.random.default_rng(start))
        return judge(torch.from_numpy(settled), labels)

    def _perturbed_piece(
        self, replay: LayerReplay, probes: Sequence[Probe], start: int, n_examples: int
    ) -> Iterator[tuple[Perturbed, Answers]]:
        """Answer on some examples; the draws of one level share their error bands."""
        labels = self.network.examples(start, n_examples)[1]
        for key, cell in groupby(probes, key=lambda probe: (probe.perturbation.name, probe.level)):
            same, bands, random = list(cell), Bands(), _random(start, probes[0].layer.name, *key)
            weights = [self.weights.perturbed(probe) for probe in same]
            answers: list[Answers] = []
            while len(answers) < len(same):
                n_widened, ladder = (
                    bands.n_widened,
                    self.ladder(replay, same[0].layer, weights[len(answers)], start, n_examples),
                )
                with exact_float32():
                    logits = settle(ladder, np.arange(n_examples), bands, random)
                answers.append(judge(torch.from_numpy(logits), labels))
                if bands.n_widened > n_widened:
                    answers.clear()  # what a band that was too small settled is settled again
            self.settled += bands.n_settled
            self.settled["widened"] += bands.n_widened
            yield from zip(weights, answers, strict=True)

    def ladder(self, replay: LayerReplay, layer: Layer, perturbed: Perturbed, start: int, n_examples: int) -> list[Rung]:
        """Return the arithmetics that settle a probe, from fast to canonical."""
        canonical = self._canonical(self.network.examples(start, n_examples)[0], layer, perturbed)
        if not np.abs(perturbed.weight).max() <= GROWTH * np.abs(self.network.weight(layer)).max():  # true for NaN too
            return [canonical]
        kept, weight = self._pass(start, n_examples), self.replayed.on_device(torch.from_numpy(perturbed.weight))

        def float32(rows: np.ndarray) -> np.ndarray:
            if len(rows) == n_examples:
                return _array(kept.run(replay, weight))
            return _array(kept.run_some(replay, weight, torch.from_numpy(rows)))

        ladder = [FLOAT32(float32), canonical]
        if self.replayed.narrow:
            ladder.insert(0, BFLOAT16(lambda _: _array(kept.run(replay, weight, torch.bfloat16))))
        return ladder

    def _canonical(self, images: Tensor, layer: Layer | None = None, perturbed: Perturbed | None = None) -> Rung:
        model = self.replayed.canonical

        def logits(rows: np.ndarray) -> np.ndarray:
            if layer is None or perturbed is None:
                return model.logits(images[rows]).numpy()
            with model.weight_set(layer, perturbed.weight):
                return model.logits(images[rows]).numpy()

        return Rung("canonical", logits)

    def _pass(self, start: int, n_examples: int) -> CleanPass:
        """Return the clean pass of a slice; only the last one is kept."""
        if self._last is None or self._last[0] != (start, n_examples):
            self._last = None  # frees the old one before the new one is made
            self._last = (start, n_examples), self.replayed.clean_pass(self.network.examples(start, n_examples)[0])
        return self._last[1]


@contextmanager
def exact_float32() -> Iterator[None]:
    """Compute float32 as float32 within the block: no TF32, no bfloat16 in its place, no fused attention; no gradients."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.no_grad(), no_fast_path(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)


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
    return Answers(np.concatenate([part.predictions for part in parts]), np.concatenate([part.losses for part in parts]))
