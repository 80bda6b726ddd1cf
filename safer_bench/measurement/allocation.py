"""How many draws each level needs, from a pilot: fewest draws for a wanted reliability of the area; no I/O."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from safer_bench.metrics import ROUNDING
from safer_bench.stream import Stream
from safer_bench.truth.answers import drop_by_draw, mean_drop, one_each
from safer_bench.truth.reliability import MIN_DRAWS, shrunken
from safer_bench.truth.standard_errors import standard_errors

Array = np.ndarray
STEP = 2  # draws are added in pairs, so that they can be halved
N_SIMULATED = 400


@dataclass(frozen=True, slots=True)
class Allocation:
    """Draws of each level, mild to severe, and the reliability of the area that they are expected to reach."""

    draws: tuple[int, ...]
    expected: float


def allocate(
    changes: Sequence[Array],
    weights: Array,
    slices: Array,
    reliability: float,
    most: int,
    answers: Array | None = None,
) -> Allocation:
    """Return the fewest draws by which a second measurement would rank the layers as the reliability asks.

    Draws go, two by two, to the level where they lower the noise of the area most: large weight, draws that differ much
    (Neyman allocation). They end where the Spearman correlation of two measurements, simulated, reaches the reliability:
    layers are as far apart as in the pilot, less its noise, and each has the noise of its own draws. Noise
    from examples that all draws share stays.

    Args:
        changes: the pilot, for each level ``(n_draws, n_layers, n_examples)`` of at least two draws.
        weights: of the levels in the area.
        slices: first example of each draw.
        reliability: wanted, between 0 and 1.
        most: draws of a level, at most.
        answers: of each draw's examples ``(most draws, n_examples)``; None: one each.

    Source: Neyman 1934, J. Royal Statistical Society 97 (optimum allocation); Searle, Casella, McCulloch 1992.
    """
    answers = one_each(changes) if answers is None else answers
    area = np.sum([w * mean_drop(level, answers) for w, level in zip(weights, changes, strict=True)], axis=0)
    noise = standard_errors(changes, weights, slices, deterministic=False, answers=answers) ** 2
    of_draw = [drop_by_draw(level, answers) for level in changes]
    per_draw = np.array([w**2 * _variance(drops) for w, drops in zip(weights, of_draw, strict=True)])
    of_draws = np.sum([of_level / len(level) for of_level, level in zip(per_draw, changes, strict=True)], axis=0)
    shared = np.maximum(0.0, noise - of_draws) if len(np.unique(slices)) == 1 else np.zeros_like(noise)
    layers, random = shrunken(area, np.sqrt(noise)), Stream("allocation").normal((2, N_SIMULATED, len(area)))

    def expected(draws: Array) -> float:
        errors = np.sqrt(np.sum(per_draw / draws[:, None], axis=0) + shared)
        return _mean_spearman(*(layers + errors * random))

    path = list(_path(per_draw.mean(1), most))
    fewest = path[min(bisect_left(path, reliability, key=expected), len(path) - 1)]
    return Allocation(tuple(map(int, fewest)), expected(fewest))


def _variance(of_draws: Array) -> Array:
    """Return the variance ``(n_layers,)`` of drops ``(n_draws, n_layers)``; 0 where they differ by rounding alone."""
    equal = np.ptp(of_draws, axis=0) <= ROUNDING * np.max(np.abs(of_draws), axis=0)
    return np.where(equal, 0.0, of_draws.var(0, ddof=1))


def _path(per_draw: Array, most: int) -> Iterator[Array]:
    """Yield draws of each level, from fewest to most, each step where it lowers the noise most."""
    draws = np.full(len(per_draw), min(MIN_DRAWS, most))
    yield draws.copy()
    while draws.min() < most:
        gain = np.where(draws < most, per_draw / draws - per_draw / (draws + STEP), -1.0)
        draws[np.argmax(gain)] += STEP
        yield draws.copy()


def _mean_spearman(a: Array, b: Array) -> float:
    """Return the mean rank correlation of the rows of two ``(n, n_layers)``, not below 0; undefined ones count as 0."""
    ranks = [rankdata(values, axis=1) - (values.shape[1] + 1) / 2 for values in (a, b)]
    scale = np.sqrt((ranks[0] ** 2).sum(1) * (ranks[1] ** 2).sum(1))
    return max(0.0, float(np.mean((ranks[0] * ranks[1]).sum(1) / np.where(scale > 0, scale, 1.0))))
