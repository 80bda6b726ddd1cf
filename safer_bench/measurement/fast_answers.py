"""Canonical answers of a replayed network: its arithmetics as ladders, settled probe by probe."""

from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import groupby

import numpy as np
import torch

from safer_bench.measurement.answers.canonical import Answers, judge
from safer_bench.measurement.answers.ladders import Ladders
from safer_bench.measurement.answers.precision import exact_float32
from safer_bench.measurement.answers.replay import LayerReplay
from safer_bench.measurement.answers.replayed import ReplayedNetwork
from safer_bench.measurement.answers.settle import Bands, settle
from safer_bench.measurement.answers.tuning import room_on
from safer_bench.measurement.bands import CalibratedBands
from safer_bench.measurement.design import Probe
from safer_bench.measurement.rows import Weights
from safer_bench.networks.inputs import bytes_of_one
from safer_bench.perturbations.perturbation import Perturbed

HELD = 4  # float32 numbers that take the room of a clean value: itself, in float64, and float32 rounded from that


class FastAnswers:
    """What a network answers, clean and perturbed.

    Args:
        replayed: the network.
        weights: makes its perturbed weights.

    Attributes:
        settled: number of examples settled by each arithmetic; ``widened``: how often an error band proved too small.
        ladders: its arithmetics on a slice.
        calibrated: their error bands.
    """

    def __init__(self, replayed: ReplayedNetwork, weights: Weights) -> None:
        self.replayed, self.network, self.weights = replayed, replayed.network, weights
        self.settled: Counter[str] = Counter()
        self._kept_bytes = room_on(self.network.device).kept_bytes
        self.ladders = Ladders(replayed)
        self.calibrated = CalibratedBands(replayed, weights)

    def clean(self, start: int, n_examples: int) -> Answers:
        """Return the unperturbed network's canonical answers on a slice of the evaluation examples."""
        pieces = _pieces(start, n_examples, self._kept_bytes // self._input_bytes)
        return _join([self.ladders.clean(*piece).answers for piece in pieces])

    def perturbed(self, replay: LayerReplay, probes: Sequence[Probe]) -> Iterator[tuple[Perturbed, Answers]]:
        """Yield weight and answers of each probe; all are of one layer and one slice.

        The slice is taken in pieces whose clean values fit into memory, each by all probes before the next, as its clean
        passes are made anew; the weights of one level are kept at a time, and made once a piece.
        """
        start, n_examples = probes[0].example_start, probes[0].n_examples
        pieces = _pieces(start, n_examples, self._kept_bytes // (HELD * (self._input_bytes + replay.bytes_per_example)))
        groups = [list(same) for _, same in groupby(probes, key=lambda probe: (probe.perturbation.name, probe.level))]
        before = [[self._settle_condition(replay, same, *piece)[1] for same in groups] for piece in pieces[:-1]]
        for number, same in enumerate(groups):
            weights, last = self._settle_condition(replay, same, *pieces[-1])
            by_piece = [*(answers[number] for answers in before), last]
            for perturbed, parts in zip(weights, zip(*by_piece, strict=True), strict=True):
                yield perturbed, _join(parts)

    @property
    def _input_bytes(self) -> int:
        return bytes_of_one(self.network.inputs)

    def _settle_condition(
        self, replay: LayerReplay, probes: Sequence[Probe], start: int, n_examples: int
    ) -> tuple[list[Perturbed], list[Answers]]:
        """Return weights, and answers on some examples, of the draws of one level, which share their error bands."""
        probe, weights = probes[0], [self.weights.perturbed(each) for each in probes]
        labels, clean = self.network.examples(start, n_examples)[1], self.ladders.clean(start, n_examples)
        bands = Bands(self.calibrated.widths(replay, probe, clean), self.replayed.typical)
        answers, masked = list[Answers](), clean.answers.masked
        random = _random(start, probe.layer.name, probe.perturbation.name, probe.level)
        while len(answers) < len(weights):
            n_widened, weight = bands.n_widened, weights[len(answers)].weight
            with exact_float32():
                ladder = self.ladders.ladder(replay, probe.layer, weight, start, n_examples)
                logits = settle(ladder, np.arange(n_examples), bands, random, masked)
            answers.append(judge(torch.from_numpy(logits), labels, masked))
            if bands.n_widened > n_widened:
                answers.clear()  # what a band that was too small settled is settled again
                bands.n_settled.clear()
        self.settled += bands.n_settled
        self.settled["widened"] += bands.n_widened
        return weights, answers


def _random(*words: object) -> np.random.Generator:
    """Return a generator that depends on what is measured alone, so that losses do not depend on what else is."""
    return np.random.default_rng(list(sha256(repr(words).encode()).digest()))


def _pieces(start: int, n_examples: int, n_that_fit: int) -> list[tuple[int, int]]:
    """Split a slice into pieces (first example, number) that fit into memory."""
    size = max(2, n_that_fit)
    return [(first, min(size, start + n_examples - first)) for first in range(start, start + n_examples, size)]


def _join(parts: Sequence[Answers]) -> Answers:
    predictions, losses = (np.concatenate([getattr(part, key) for part in parts]) for key in ("predictions", "losses"))
    return Answers(predictions, losses)  # what is masked was asked for piece by piece
