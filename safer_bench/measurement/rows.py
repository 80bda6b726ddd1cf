"""What a probe is and what came of it, as one row with the columns of layer_drops, losses and outcomes."""

from typing import Any

import numpy as np

from safer_bench.measurement.answers.canonical import Answers
from safer_bench.measurement.design import Probe
from safer_bench.measurement.gradients import CalibrationGradients
from safer_bench.networks.examples import counted
from safer_bench.networks.network import Network
from safer_bench.perturbations.perturbation import LayerFacts, Perturbed
from safer_bench.stream import Stream

Row = dict[str, Any]


class Weights:
    """Makes the perturbed weights of a network's probes."""

    def __init__(self, network: Network, seed: int) -> None:
        self.network, self.seed = network, seed
        self.gradients = CalibrationGradients(network)

    def perturbed(self, probe: Probe) -> Perturbed:
        """Return the perturbed weight of a probe: a function of seed, names, level and draw alone.

        Raises:
            BadInput: a perturbation failed.
        """
        layer, entry = probe.layer, probe.perturbation
        stream = Stream(int(self.seed), self.network.name, layer.name, entry.name, float(probe.level), probe.draw)
        needs: dict[str, object] = {}
        if "layer" in entry.needs:
            needs["layer"] = LayerFacts(layer.kind, layer.output_axis, layer.fan_in)
        if "gradient" in entry.needs:
            needs["gradient"] = self.gradients.gradient(layer.name, probe.draw)
        return entry.apply(self.network.weight(layer), probe.level, stream, **needs)


def make_row(network: Network, probe: Probe, perturbed: Perturbed, clean: Answers, after: Answers) -> Row:
    """Return a probe's row.

    Args:
        network: whose evaluation labels judge.
        probe: what was measured.
        perturbed: the weight that was set.
        clean: answers of the unperturbed network on the probe's examples.
        after: answers of the perturbed network on them.
    """
    labels = counted(network.labels[probe.example_start : probe.example_start + probe.n_examples])
    right_before, right_after = clean.predictions == labels, after.predictions == labels
    broken = int(np.count_nonzero(right_before & ~right_after))
    fixed = int(np.count_nonzero(~right_before & right_after))
    return {
        "network": network.name,
        "dataset": network.dataset,
        "split": network.split,
        "layer": probe.layer.name,
        "layer_index": probe.layer.index,
        "perturbation": probe.perturbation.name,
        "level": float(probe.level),
        "draw": probe.draw,
        "example_start": probe.example_start,
        "n_examples": probe.n_examples,
        "n_answers": len(labels),
        "correct_clean": int(np.count_nonzero(right_before)),
        "broken": broken,
        "fixed": fixed,
        "predictions_changed": int(np.count_nonzero(clean.predictions != after.predictions)),
        "changed_entries": perturbed.changed_entries,
        "weight_digest": perturbed.digest,
        "accuracy_drop": (broken - fixed) / len(labels),
        "loss_increase": float(np.float32(after.losses.mean() - clean.losses.mean())),
        "flips": np.packbits(right_before != right_after).tobytes(),
    }
