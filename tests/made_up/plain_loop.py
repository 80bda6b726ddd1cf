"""The truth, written anew: one weight replaced, one example at a time, in float64. It shares no code with the engines."""

from copy import deepcopy
from unittest.mock import patch

import numpy as np
import torch

from safer_bench.stream import Stream

COUNTS = ("correct_clean", "broken", "fixed", "predictions_changed")


@torch.no_grad()
def answers(model, inputs):
    """Return the class of each answer: the lowest of the largest logits, -1 where the winner is not finite or one is NaN."""
    with patch.object(torch.Tensor, "float", torch.Tensor.double):  # a model's own casts stay in float64
        return np.stack([_answers_of_one(model(inputs[i : i + 1].double().clone())[0].numpy()) for i in range(len(inputs))])


def _answers_of_one(logits):
    """Return an example's classes, shaped as its positions, from logits ``(n_classes, ...)``."""
    found = np.empty(logits.shape[1:], dtype=np.int64)
    for place in np.ndindex(found.shape):
        at = logits[(slice(None), *place)]
        wins = np.isfinite(at.max()) and not np.isnan(at).any()
        found[place] = np.flatnonzero(at == at.max())[0] if wins else -1
    return found


def counts(network, probe, seed=0):
    """Return the counts of a random perturbation's probe."""
    layer, entry = probe.layer, probe.perturbation
    stream = Stream(seed, network.name, layer.name, entry.name, float(probe.level), probe.draw)
    weight = entry.apply(network.model.get_parameter(layer.parameter).detach().numpy(), probe.level, stream).weight
    clean = deepcopy(network.model).double()
    changed = deepcopy(clean)
    changed.get_parameter(layer.parameter).data.copy_(torch.from_numpy(weight))
    chosen = slice(probe.example_start, probe.example_start + probe.n_examples)
    labels = network.labels[chosen].numpy()
    before, after = (answers(model, network.inputs[chosen])[labels != -100] for model in (clean, changed))
    labels = labels[labels != -100]
    right_before, right_after = before == labels, after == labels
    return {
        "correct_clean": int(right_before.sum()),
        "broken": int((right_before & ~right_after).sum()),
        "fixed": int((~right_before & right_after).sum()),
        "predictions_changed": int((before != after).sum()),
    }
