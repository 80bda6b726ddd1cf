"""How far the layer rankings of perturbations agree within a network, corrected for the noise of both."""

from collections.abc import Iterable, Sequence
from itertools import combinations, product

import numpy as np

from docs.findings.data import Data
from safer_bench.metrics import spearman

ENDS = (-1.0, 1.0)  # of a correlation


def between(data: Data, network: str, first: Sequence[str], second: Sequence[str]) -> float | None:
    """Return the agreement of perturbations of one kind with those of another, as ``_corrected``."""
    return _corrected(data, network, product(first, second))


def within(data: Data, network: str, perturbations: Sequence[str]) -> float | None:
    """Return the agreement of perturbations with each other, as ``_corrected``."""
    return _corrected(data, network, combinations(perturbations, 2))


def _corrected(data: Data, network: str, pairs: Iterable[tuple[str, str]]) -> float | None:
    """Return Spearman's correlation between the true areas of two perturbations, in the mean over pairs.

    A noisy ranking correlates less than the true one, by the root of its reliability. The sum of correlations is divided by
    the sum of what noise leaves of each, so that pairs count by how surely they are known. Estimates can exceed 1.

    Returns:
        None where no pair has areas that differ between layers and reliabilities above 0.

    Source: Spearman 1904, "The proof and measurement of association between two things" (attenuation).
    """
    found, left = 0.0, 0.0
    for pair in pairs:
        if all(data.has(network, name) for name in pair):
            correlation = spearman(
                **dict(zip(("truth", "scores"), (data.area(network, name) for name in pair), strict=True))
            )
            kept = float(np.sqrt(np.prod([data.reliability(network, name) for name in pair])))
            if np.isfinite(correlation) and kept > 0.0:
                found, left = found + correlation, left + kept
    return found / left if left > 0.0 else None
