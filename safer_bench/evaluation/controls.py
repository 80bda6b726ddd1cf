"""Controls that are added when criteria are evaluated, from the truth's tables; no I/O.

``constant``, ``depth``, ``first_last``, ``macs``, ``parameters`` and ``random`` need the table of layers alone.
``replicate`` is half of the measurement: by Spearman's correlation judged by the whole truth, by other metrics on the other
half. It is no upper bound: a criterion may be less noisy than half a measurement.
``reversed_replicate`` is its opposite. ``size_depth`` predicts the ranking from sizes and positions alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from safer_bench.ranks import DIGITS, scaled_ranks, weighted_sum
from safer_bench.stream import Stream

Array = np.ndarray
PENALTY = 1.0


def from_layers(layers: Sequence[str], parameters: Array, macs: Array) -> dict[str, Array]:
    """Return the scores ``(n_layers,)`` of the controls that a network's layers, in order of first use, tell by themselves.

    They are those of the criteria of these names.

    Args:
        layers: names.
        parameters: entries of each weight ``(n_layers,)``.
        macs: multiply-accumulates of each weight for one example ``(n_layers,)``.
    """
    index = np.arange(len(layers), dtype=np.float64)
    return {
        "constant": np.ones(len(layers)),
        "depth": 0.0 - index,
        "first_last": np.where((index == 0) | (index == len(layers) - 1), 1.0, 0.0),
        "macs": macs,
        "parameters": parameters,
        "random": np.array([float(Stream("random", name).uniform(())) for name in layers]),
    }


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
    scores = {}
    for name, network in networks.items():
        teachers = [
            other
            for other in networks.values()
            if other.dataset == network.dataset and other.split == "validation" and other.family != network.family
        ]
        if teachers:
            features = np.concatenate([scaled_ranks(teacher.facts).T for teacher in teachers])
            target = np.concatenate([scaled_ranks(teacher.areas).mean(0) for teacher in teachers])
            scores[name] = weighted_sum(ridge(features, target, PENALTY), scaled_ranks(network.facts))
    return scores


def ridge(features: Array, target: Array, penalty: float) -> Array:
    """Return the slopes ``(n_features,)`` of a ridge regression without intercept, to nine decimals.

    Args:
        features: ``(n_rows, n_features)``.
        target: ``(n_rows,)``.
        penalty: weight of the slopes' sum of squares beside that of the errors.

    Source: Hoerl and Kennard 1970.
    """
    crossed = np.sum(features[:, :, None] * features[:, None], axis=0)
    slopes = np.linalg.solve(crossed + penalty * np.eye(len(crossed)), np.sum(features * target[:, None], axis=0))
    return np.asarray(np.round(slopes, DIGITS))
