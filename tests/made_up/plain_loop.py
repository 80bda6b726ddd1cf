"""The truth, written anew: one weight replaced, one example at a time, in float64. It shares no code with the engines."""

from copy import deepcopy

import numpy as np
import torch

from safer_bench.stream import Stream

COUNTS = ("correct_clean", "broken", "fixed", "predictions_changed")


@torch.no_grad()
def answers(model, images):
    """Return each image's class: the lowest of the largest logits, -1 where the winner is not finite or a logit is NaN."""
    found = []
    for image in images:
        logits = model(image[None].double().clone())[0].numpy()
        wins = np.isfinite(logits.max()) and not np.isnan(logits).any()
        found.append(int(np.flatnonzero(logits == logits.max())[0]) if wins else -1)
    return np.array(found)


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
    before, after = (answers(model, network.inputs[chosen]) for model in (clean, changed))
    right_before, right_after = before == labels, after == labels
    return {
        "correct_clean": int(right_before.sum()),
        "broken": int((right_before & ~right_after).sum()),
        "fixed": int((~right_before & right_after).sum()),
        "predictions_changed": int((before != after).sum()),
    }
