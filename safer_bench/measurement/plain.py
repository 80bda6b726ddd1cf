"""The right answer, slowly: set the weight, run the whole network in canonical arithmetic, count, restore."""

from collections.abc import Iterable, Iterator

import numpy as np

from safer_bench.measurement.canonical import Answers, CanonicalModel
from safer_bench.measurement.gradients import ProbeGradients
from safer_bench.measurement.plan import Probe
from safer_bench.networks import Network
from safer_bench.perturbations.entry import LayerFacts, Perturbed
from safer_bench.perturbations.stream import Stream

Row = dict[str, object]


class PlainEngine:
    """Measures probes of one network by whole forward passes."""

    def __init__(self, network: Network, seed: int = 0) -> None:
        self.network, self.seed = network, seed
        self.model = CanonicalModel(network)
        self.gradients = ProbeGradients(network)
        self._clean: dict[tuple[int, int], Answers] = {}

    def measure(self, probes: Iterable[Probe]) -> Iterator[Row]:
        """Yield one row a probe, with the columns of layer_drops, losses and outcomes.

        Raises:
            BadInput: a perturbation failed.
        """
        for probe in probes:
            perturbed = self.perturb(probe)
            images, labels = self._examples(probe.example_start, probe.n_examples)
            with self.model.weight_set(probe.layer, perturbed.weight):
                answers = self.model.answers(images, labels)
            clean = self.clean(probe.example_start, probe.n_examples)
            yield self._identity(probe) | _counts(clean, answers, labels.numpy()) | _change(perturbed)

    def perturb(self, probe: Probe) -> Perturbed:
        """Return the perturbed weight of a probe: a function of seed, names, level and draw alone."""
        layer, entry = probe.layer, probe.perturbation
        stream = Stream(int(self.seed), self.network.name, layer.name, entry.name, float(probe.level), probe.draw)
        needs: dict[str, object] = {}
        if "layer" in entry.needs:
            needs["layer"] = LayerFacts(layer.kind, layer.output_axis, layer.fan_in)
        if "gradient" in entry.needs:
            needs["gradient"] = self.gradients.gradient(layer.name, probe.draw)
        return entry.apply(self.network.weight(layer), probe.level, stream, **needs)

    def clean(self, start: int, n_examples: int) -> Answers:
        """Return the unperturbed network's answers on a slice of the evaluation examples; computed once."""
        if (start, n_examples) not in self._clean:
            self._clean[start, n_examples] = self.model.answers(*self._examples(start, n_examples))
        return self._clean[start, n_examples]

    def _examples(self, start: int, n_examples: int):  # type: ignore[no-untyped-def]
        return (part[start : start + n_examples] for part in self.network.evaluation)

    def _identity(self, probe: Probe) -> Row:
        return {
            "network": self.network.name,
            "dataset": self.network.dataset,
            "split": self.network.split,
            "layer": probe.layer.name,
            "layer_index": probe.layer.index,
            "perturbation": probe.perturbation.name,
            "level": float(probe.level),
            "draw": probe.draw,
            "example_start": probe.example_start,
            "n_examples": probe.n_examples,
        }


def _change(perturbed: Perturbed) -> Row:
    return {"changed_entries": perturbed.changed_entries, "weight_digest": perturbed.digest}


def _counts(clean: Answers, after: Answers, labels: np.ndarray) -> Row:
    right_before, right_after = clean.predictions == labels, after.predictions == labels
    broken = int(np.count_nonzero(right_before & ~right_after))
    fixed = int(np.count_nonzero(~right_before & right_after))
    return {
        "correct_clean": int(np.count_nonzero(right_before)),
        "broken": broken,
        "fixed": fixed,
        "predictions_changed": int(np.count_nonzero(clean.predictions != after.predictions)),
        "accuracy_drop": (broken - fixed) / len(labels),
        "loss_increase": float(np.float32(after.losses.mean() - clean.losses.mean())),
        "flips": np.packbits(right_before != right_after).tobytes(),
    }
