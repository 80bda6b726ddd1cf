"""The arithmetics of a replayed network as ladders: for each weight of a layer, from the fastest that may be trusted."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from safer_bench.measurement.answers.arithmetics import BFLOAT16, CANONICAL, FLOAT32, GROWTH, GUARDED
from safer_bench.measurement.answers.canonical import CERTAIN, Answers, answers_alone, judge, masked_classes
from safer_bench.measurement.answers.clean_pass import CleanPass
from safer_bench.measurement.answers.precision import exact_float32
from safer_bench.measurement.answers.replay import F32, F64, LayerReplay, cast
from safer_bench.measurement.answers.replayed import AGREEMENT, ExactReplay, ReplayedNetwork
from safer_bench.measurement.answers.settle import Rung, comparable, error_ranges, error_spreads, margins
from safer_bench.measurement.answers.trace import CannotReplayError
from safer_bench.networks.layers import Layer

TIED = 1e-12  # margin of two canonical logits that differ by rounding alone, as a share of the largest
Slice = tuple[int, int]  # first example, number


@dataclass(frozen=True, slots=True)
class Clean:
    """The unperturbed network on some examples.

    Attributes:
        answers: canonical ones.
        spreads: of each arithmetic's error, by name, ``(n,)``; inf where an example has no finite logits. Guarded float32
            has those of float32: without perturbation nothing is to be guarded.
    """

    answers: Answers
    spreads: dict[str, np.ndarray]

    def spread(self, arithmetic: str) -> float:
        """Return the largest spread of an arithmetic's error."""
        of_each = self.spreads[arithmetic]
        return float(of_each[np.isfinite(of_each)].max(initial=0.0))


class Ladders:
    """Makes ladders on slices of a network's evaluation examples; the clean passes of the last slice are kept.

    Args:
        replayed: the network.
    """

    def __init__(self, replayed: ReplayedNetwork) -> None:
        self.replayed, self.network = replayed, replayed.network
        self._clean: dict[Slice, Clean] = {}
        self._canonical: dict[Slice, Tensor] = {}
        self._last: tuple[Slice, CleanPass] | None = None
        self._last_exact: tuple[Slice, CleanPass] | None = None

    def clean(self, start: int, n_examples: int) -> Clean:
        """Run all examples in every arithmetic: what is hard for one without perturbation is suspect with it.

        Raises:
            CannotReplayError: some answers in float32 are not those of the whole passes, be they rounded.
        """
        if (start, n_examples) not in self._clean:
            labels = self.network.examples(start, n_examples)[1]
            kept, spreads = self._pass(start, n_examples), dict[str, np.ndarray]()
            answers = judge(logits := self._canonical_logits(start, n_examples), labels, masked_classes(logits))
            canonical = comparable(answers_alone(logits, labels), answers.masked)
            with exact_float32():
                float32 = comparable(answers_alone(kept.logits(), labels), answers.masked)
                of_float32 = error_spreads(float32, canonical, self.replayed.typical)
                spreads |= {FLOAT32.name: of_float32, GUARDED.name: of_float32}
                _refuse_others(error_ranges(float32, canonical), canonical)
                if self.replayed.narrow:
                    bfloat16 = comparable(answers_alone(kept.logits(torch.bfloat16), labels), answers.masked)
                    spreads[BFLOAT16.name] = error_spreads(bfloat16, float32, self.replayed.typical)
            self._clean[start, n_examples] = Clean(answers, spreads)
        return self._clean[start, n_examples]

    def ladder(self, replay: LayerReplay, layer: Layer, weight: np.ndarray, start: int, n_examples: int) -> list[Rung]:
        """Return the arithmetics that settle a layer's weight on some examples, from fast to canonical."""
        given, (inputs, labels) = torch.from_numpy(weight), self.network.examples(start, n_examples)

        def whole(rows: np.ndarray) -> np.ndarray:
            with self.replayed.canonical.weight_set(layer, weight):
                return answers_alone(self.replayed.canonical.logits(inputs[rows]), labels[rows])

        def canonical(rows: np.ndarray) -> np.ndarray:
            if (exact := self._exact(layer, start, n_examples)) is None:
                return whole(rows)
            found = answers_alone(_run(exact[0], exact[1].replay, given.to(self.network.device), rows), labels[rows])
            return whole(np.arange(n_examples))[rows] if _tied(found).any() else found

        if not np.abs(weight).max() <= GROWTH * np.abs(self.network.weight(layer)).max():  # true for NaN too
            return [*self._guarded(layer, given, start, n_examples), Rung(CANONICAL, canonical)]
        kept, placed = self._pass(start, n_examples), self.replayed.on_device(given)
        float32 = lambda rows: answers_alone(_run(kept, replay, placed, rows), labels[rows])  # noqa: E731
        ladder = [Rung(FLOAT32, float32), Rung(CANONICAL, canonical)]
        if self.replayed.narrow:  # always of all examples
            bfloat16 = lambda _: answers_alone(kept.run(replay, placed, torch.bfloat16), labels)  # noqa: E731
            ladder.insert(0, Rung(BFLOAT16, bfloat16))
        return ladder

    def _guarded(self, layer: Layer, weight: Tensor, start: int, n_examples: int) -> list[Rung]:
        """Return float32 with a range certificate, where there is one: NaN for examples not proven.

        Those that are proven to have no finite logits are infinite.
        """
        exact = self._exact(layer, start, n_examples)
        if exact is None or exact[1].guarded is None:
            return []
        kept, of_layer, guarded = *exact, exact[1].guarded
        labels = self.network.examples(start, n_examples)[1]

        def float32(_: np.ndarray) -> np.ndarray:
            in_float64 = of_layer.replay.prepared(weight.to(self.network.device), F64)
            prepared, parts = [cast(value, F32, F64) for value in in_float64], []
            pairs = zip(in_float64, prepared, strict=True)
            in_range = all(torch.equal(torch.isfinite(wide), torch.isfinite(narrow)) for wide, narrow in pairs)
            for batch, size in zip(kept.frontiers(of_layer.replay, F32), kept.sizes, strict=True):
                logits, proven = guarded((*prepared, *batch), size)
                logits = torch.where(torch.isfinite(logits).all(1, keepdim=True), logits, torch.inf)
                proven = proven.reshape(-1, *[1] * (logits.ndim - 1))
                parts.append(torch.where(proven & in_range, logits, torch.nan))
            return answers_alone(torch.cat(parts)[:n_examples], labels)

        return [Rung(GUARDED, float32)]

    def _exact(self, layer: Layer, start: int, n_examples: int) -> tuple[CleanPass, ExactReplay] | None:
        """Return what replays a layer in canonical arithmetic; None where whole passes have to be run."""
        replay = self.replayed.exact_layer(layer)
        if replay is None:
            return None
        if self._last_exact is None or self._last_exact[0] != (start, n_examples):
            self._last_exact = None
            self._last_exact = (start, n_examples), self.replayed.exact_pass(self.network.examples(start, n_examples)[0])
        return self._last_exact[1], replay

    def _canonical_logits(self, start: int, n_examples: int) -> Tensor:
        """Return the unperturbed network's canonical logits; those of a slice within what is known are not run again."""
        for (first, n), logits in self._canonical.items():
            if first <= start and start + n_examples <= first + n:
                return logits[start - first : start - first + n_examples]
        logits = self.replayed.canonical.logits(self.network.examples(start, n_examples)[0])
        self._canonical[start, n_examples] = logits
        return logits

    def _pass(self, start: int, n_examples: int) -> CleanPass:
        """Return the clean pass of a slice; only the last one is kept."""
        if self._last is None or self._last[0] != (start, n_examples):
            self._last = None  # frees the old one before the new one is made
            self._last = (start, n_examples), self.replayed.clean_pass(self.network.examples(start, n_examples)[0])
        return self._last[1]


def _run(kept: CleanPass, replay: LayerReplay, weight: Tensor, rows: np.ndarray) -> Tensor:
    """Return the logits of examples, all of them or some."""
    return kept.run(replay, weight) if len(rows) == kept.n else kept.run_some(replay, weight, torch.from_numpy(rows))


def _tied(logits: np.ndarray) -> np.ndarray:
    """Tell of which answers the order of sums decides the top class: that of whole passes is the definition."""
    largest = np.where(np.isfinite(logits), np.abs(logits), 0.0).max(1)
    return margins(logits) <= TIED * largest


def _refuse_others(errors: np.ndarray, canonical: np.ndarray) -> None:
    """Refuse a network some of whose answers differ by more than rounding, such as those beside a certain other image."""
    finite = np.isfinite(canonical).all(1) & np.isfinite(errors)
    largest = np.where(canonical < CERTAIN, np.abs(canonical), 0.0).max(1)
    if finite.any() and errors[finite].max() > AGREEMENT * largest[finite].max():
        raise CannotReplayError("some of its answers in float32 are not those of whole passes in smaller batches")
