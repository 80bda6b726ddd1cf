"""How many draws each level needs, from a pilot: fewest draws for a wanted reliability of the area; no I/O."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from safer_bench.reliability import MIN_DRAWS, standard_errors

Array = np.ndarray
STEP = 2  # draws are added in pairs, so that they can be halved


@dataclass(frozen=True, slots=True)
class Allocation:
    """Draws of each level, mild to severe, and the reliability of the area that they are expected to reach."""

    draws: tuple[int, ...]
    expected: float


def allocate(changes: Sequence[Array], weights: Array, slices: Array, reliability: float, most: int) -> Allocation:
    """Return the fewest draws by which the area's variance over layers exceeds its noise as the reliability asks.

    Reliability is the share V / (V + N) of the variance of measured layer values that is not noise; V is the pilot's
    variance over layers less its noise. Draws go, two by two, where they lower N most: to levels of large weight whose
    draws differ much (Neyman allocation). Noise from examples that all draws share stays.

    Args:
        changes: the pilot, for each level int8 ``(n_draws, n_layers, n_examples)`` of at least two draws.
        weights: of the levels in the area.
        slices: first example of each draw.
        reliability: wanted, between 0 and 1.
        most: draws of a level, at most.

    Source: Neyman 1934, J. Royal Statistical Society 97 (optimum allocation); Searle, Casella, McCulloch 1992.
    """
    area = np.sum([w * level.mean((0, 2)) for w, level in zip(weights, changes, strict=True)], axis=0)
    noise = float(np.mean(standard_errors(changes, weights, slices, deterministic=False) ** 2))
    per_draw = np.array([w**2 * level.mean(-1).var(0, ddof=1).mean() for w, level in zip(weights, changes, strict=True)])
    of_draws = float(np.sum(per_draw / [len(level) for level in changes]))
    shared = max(0.0, noise - of_draws) if len(np.unique(slices)) == 1 else 0.0
    signal = max(0.0, float(area.var(ddof=1)) - noise) if len(area) > 1 else 0.0
    wanted = signal * (1.0 - reliability) / reliability - shared
    draws = np.full(len(changes), min(MIN_DRAWS, most))
    while np.sum(per_draw / draws) > wanted and draws.min() < most:
        gain = np.where(draws < most, per_draw / draws - per_draw / (draws + STEP), -1.0)
        draws[np.argmax(gain)] += STEP
    left = float(np.sum(per_draw / draws)) + shared
    return Allocation(tuple(map(int, draws)), signal / (signal + left) if signal + left > 0 else 0.0)
