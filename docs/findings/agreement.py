"""How far the layer rankings of perturbations agree within a network, corrected for the noise of both."""

from collections.abc import Iterable, Sequence
from itertools import combinations, product

import numpy as np

from docs.findings.data import Data
from safer_bench.metrics import spearman

Array = np.ndarray
ENDS = (-1.0, 1.0)  # of a correlation


def between(data: Data, network: str, first: Sequence[str], second: Sequence[str]) -> float | None:
    """Return the agreement of perturbations of one kind with those of another, as ``corrected``."""
    return _corrected(data, network, product(first, second))


def within(data: Data, network: str, perturbations: Sequence[str]) -> float | None:
    """Return the agreement of perturbations with each other, as ``corrected``."""
    return _corrected(data, network, combinations(perturbations, 2))


def _corrected(data: Data, network: str, pairs: Iterable[tuple[str, str]]) -> float | None:
    """Return ``corrected`` of the areas of pairs of perturbations, those that tell the network's layers apart."""
    there = (pair for pair in pairs if all(data.informs(network, name) for name in pair))
    return corrected(
        (data.area(network, first), data.area(network, second), data.kept(network, first) * data.kept(network, second))
        for first, second in there
    )


def corrected(pairs: Iterable[tuple[Array, Array, float]]) -> float | None:
    """Return Spearman's correlation between what is noise-free of two measurements of layers, in the mean over pairs.

    A noisy ranking correlates less than the true one, by the root of its reliability. The sum of correlations is divided by
    the sum of what noise leaves of each, so that pairs count by how surely they are known. Estimates can exceed 1.

    Args:
        pairs: two measurements ``(n_layers,)`` each, and the part of their correlation that noise leaves: the product of
            the roots of their reliabilities, nan where that is not known.

    Returns:
        None where no pair has numbers that differ between layers and reliabilities above 0.

    Source: Spearman 1904, "The proof and measurement of association between two things" (attenuation).
    """
    found, left = 0.0, 0.0
    for first, second, kept in pairs:
        correlation = float(spearman(truth=first, scores=second))
        if np.isfinite(correlation) and kept > 0.0:
            found, left = found + correlation, left + kept
    return found / left if left > 0.0 else None
