"""Controls that need the truth, added when criteria are evaluated; no I/O.

``replicate`` scores layers by one half of the truth and is judged on the other: what measuring again, with half of the
draws and examples, would reach. It is no upper bound: a criterion may be less noisy than half a measurement.
``reversed_replicate`` is its opposite. ``size_depth`` predicts the ranking from sizes and positions alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from safer_bench.ranks import mean_ranks

Array = np.ndarray
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
    scores = {}
    for name, network in networks.items():
        teachers = [
            other
            for other in networks.values()
            if other.dataset == network.dataset and other.split == "validation" and other.family != network.family
        ]
        if teachers:
            slopes = _ridge(teachers)[:, None]
            scores[name] = np.round((slopes * _scaled_ranks(network.facts)).sum(0), DIGITS)
    return scores


def _ridge(networks: Sequence[Lesson]) -> Array:
    features = np.concatenate([_scaled_ranks(network.facts).T for network in networks])
    target = np.concatenate([_scaled_ranks(network.areas).mean(0) for network in networks])
    crossed = np.sum(features[:, :, None] * features[:, None], axis=0)
    slopes = np.linalg.solve(crossed + PENALTY * np.eye(len(crossed)), np.sum(features * target[:, None], axis=0))
    return np.asarray(np.round(slopes, DIGITS))


def _scaled_ranks(values: Array) -> Array:
    return (mean_ranks(values) - 0.5) / values.shape[-1] - 0.5
