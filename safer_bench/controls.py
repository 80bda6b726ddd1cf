"""Controls that need the truth, added when criteria are evaluated; no I/O.

``replicate`` scores layers by one half of the truth and is judged on the other: what measuring again, with half of the
draws and examples, would reach. It is no upper bound: a criterion may be less noisy than half a measurement.
``reversed_replicate`` is its opposite. ``size_depth`` predicts the ranking from sizes and positions alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

Array = np.ndarray
REPLICATES = {"replicate": 1.0, "reversed_replicate": -1.0}  # with the sign of the half that they score by
SIZE_DEPTH = "size_depth"
ADDED = {  # with what is known of them
    "replicate": {
        "what": "One half of the truth, judged on the other: what measuring again with half of the draws would reach.",
        "formula": "the measured value of the layer in half of the draws and examples",
        "track": "level_aware",
        "source": "control",
    },
    "reversed_replicate": {
        "what": "The opposite of replicate: what a ranking that is upside down reaches.",
        "formula": "the measured value of the layer in half of the draws and examples, with the sign turned",
        "track": "level_aware",
        "source": "control",
    },
    SIZE_DEPTH: {
        "what": "Predicts the ranking from sizes and positions, learnt on validation networks of other families.",
        "formula": "ridge regression of true ranks on ranks of parameters, position and multiply-accumulates",
        "track": "blind",
        "source": "control; Hoerl and Kennard 1970",
    },
}
TRIVIAL = ("constant", "depth", "depth_backward", "first_last", "macs", "parameters", "random")
MEASURING = ("measured_drop_32", "measured_drop_128", "measured_drop_128_by_level", "measured_drop_512")
CONTROLS = (*TRIVIAL, *MEASURING, *ADDED)
PENALTY = 1.0
DIGITS = 9  # of slopes and scores: the last are the machine's, and would tell layers apart that are alike


@dataclass(frozen=True, slots=True)
class Lesson:
    """A network that ``size_depth`` learns from or predicts.

    Attributes:
        dataset, split, family: of the network.
        facts: parameters, position and multiply-accumulates of each layer ``(3, n_layers)``.
        areas: true areas ``(n_perturbations, n_layers)``.
    """

    dataset: str
    split: str
    family: str
    facts: Array
    areas: Array


def size_depth(networks: Mapping[str, Lesson]) -> dict[str, Array]:
    """Return ``{network: scores (n_layers,)}`` of a ridge regression of true ranks on ranks of size, position and cost.

    Fitted on the validation networks of the same dataset, for a validation network on those of other families; a network
    without any to learn from is left out. Ranks are scaled to -1/2 ... 1/2 within a network; the target is their mean over
    perturbations; the penalty is 1. Ranks of parameters are those of their logarithm.

    Source: Hoerl and Kennard 1970.
    """
    found = {}
    for name, network in networks.items():
        teachers = [
            other
            for other in networks.values()
            if other.dataset == network.dataset and other.split == "validation" and other.family != network.family
        ]
        if teachers:
            slopes = _ridge(teachers)[:, None]
            found[name] = np.round((slopes * _scaled_ranks(network.facts)).sum(0), DIGITS)
    return found


def _ridge(networks: Sequence[Lesson]) -> Array:
    features = np.concatenate([_scaled_ranks(network.facts).T for network in networks])
    target = np.concatenate([_scaled_ranks(network.areas).mean(0) for network in networks])
    crossed = np.sum(features[:, :, None] * features[:, None], axis=0)
    slopes = np.linalg.solve(crossed + PENALTY * np.eye(len(crossed)), np.sum(features * target[:, None], axis=0))
    return np.asarray(np.round(slopes, DIGITS))


def _scaled_ranks(values: Array) -> Array:
    return (stats.rankdata(values, axis=-1) - 0.5) / values.shape[-1] - 0.5
