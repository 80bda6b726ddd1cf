"""Standard errors of a measured truth, over draws and examples; no I/O.

``changes`` is the truth of one network under one perturbation: for each level ``(n_draws, n_layers, n_examples)``, the
answers of an example that broke, less those that were fixed; int8 where each example has one. Levels may differ in draws:
one with fewer has the first of them. ``slices`` ``(most draws,)`` names the examples each draw saw: equal entries mean the
same examples. ``answers`` ``(most draws, n_examples)`` is how many each of them has; None: one.

Draws on the same examples are a crossed design: variance components by analysis of variance. Draws on examples of their own
are independent as they are; where only some slices repeat, draws are taken as independent too, which understates the error
(by 5 to 20 % in simulations).

Examples, not answers, are independent: answers of one example depend on each other. Where examples have equally many, the
mean drop is a mean over examples, divided by that number. Where they do not, it is a ratio of two sums, changes to answers,
and what stands in for an example's change is its distance from what its answers would lose at the mean rate, linear in both
sums. That holds for many examples; of few the error comes out a little too small.

Source: Searle, Casella, McCulloch 1992, "Variance Components", chapter 4 (two-way crossed, random); Cochran 1977, "Sampling
Techniques", chapter 6 (ratio estimators), whose units are examples here.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import combinations_with_replacement

import numpy as np

Array = np.ndarray
ROUNDING = 1e-7  # of a variance that is 0, rounding leaves the square of up to this share of the changes


def standard_errors(
    changes: Sequence[Array], weights: Array, slices: Array, *, deterministic: bool, answers: Array | None = None
) -> Array:
    """Return the standard error ``(n_layers,)`` of each layer's mean drop, averaged by ``weights`` ``(n_levels,)``."""
    combined: dict[int, Array] = {}  # weighted sums over the levels of as many draws
    linear, n_answers = _linear(changes, answers)
    for weight, level in zip(weights, linear, strict=True):
        if weight:
            combined[len(level)] = combined.get(len(level), 0.0) + weight * level.astype(np.float64)
    found = StandardErrors(list(combined.values()), slices, deterministic=deterministic).of(np.ones(len(combined)))
    return np.asarray(found / n_answers)


def _linear(changes: Sequence[Array], answers: Array | None) -> tuple[Sequence[Array], int]:
    """Return what changes are in a mean over examples, and by how many answers of an example the mean is to be divided."""
    if answers is None:
        return changes, 1
    first = int(answers[0, 0])
    if (answers == first).all():
        return changes, first
    return [_residuals(level, answers[: len(level)]) for level in changes], 1


def _residuals(changes: Array, answers: Array) -> Array:
    """Return each example's distance from the mean rate, in units of an example's mean number of answers; float64."""
    total, lost = int(answers.sum()), changes.sum((0, 2), dtype=np.int64)
    distances = changes.astype(np.int64) * total - lost[:, None] * answers[:, None, :]  # whole numbers: no rounding yet
    return np.asarray(distances * (answers.size / total**2))


class StandardErrors:
    """Standard errors of one truth's averages over levels, from moments that are summed up once.

    Args:
        changes, slices, answers: see above.
        deterministic: the perturbation is; only examples vary.
    """

    def __init__(
        self, changes: Sequence[Array], slices: Array, *, deterministic: bool, answers: Array | None = None
    ) -> None:
        self._changes, self._n_answers = _linear(changes, answers)
        self._slices, self._deterministic = slices, deterministic
        self._counts = np.array([len(level) for level in changes])

    def of(self, weights: Array) -> Array:
        """Return ``(n_layers,)`` for weights ``(n_levels,)``; nan where one draw of what is random cannot tell.

        Levels of weight 0 do not count.
        """
        used = self._counts[weights != 0.0]
        if self._deterministic:
            variance = _squared(weights, self._of_examples)
        elif used.min() < 2:
            return np.full(self._changes[0].shape[1], np.nan)
        elif all(np.unique(self._slices[:n], return_counts=True)[1].min() >= 2 for n in used):
            variance = np.sum([self._of_slice(weights, covariance) for covariance in self._crossed], axis=0)
        else:
            variance = _squared(weights, self._of_draws)
        none = (ROUNDING * self._size(weights)) ** 2
        return np.asarray(np.sqrt(np.where(variance > none, variance, 0.0)) / self._n_answers)

    def _size(self, weights: Array) -> Array:
        """Return the mean share of changed answers ``(n_layers,)``, averaged by the weights' sizes."""
        sizes = np.stack([np.abs(level).mean((0, 2), dtype=np.float64) for level in self._changes])
        return np.asarray((np.abs(weights)[:, None] * sizes).sum(0))

    def _of_slice(self, weights: Array, covariance: Array) -> Array:
        """Return the variance that a slice adds: never below 0 from levels of as many draws."""
        groups = [np.where(self._counts == n, weights, 0.0) for n in np.unique(self._counts)]
        alone = [_squared(group, covariance) for group in groups]
        return np.asarray(_squared(weights, covariance) + sum(np.maximum(each, 0.0) - each for each in alone))

    @cached_property
    def _of_examples(self) -> Array:
        """Covariances of the levels' means over examples, one draw: ``(n_levels, n_levels, n_layers)``."""
        first = np.stack([level[0] for level in self._changes]).astype(np.float64)
        return np.stack([_covariance(level, first, -1) for level in first]) / first.shape[-1]

    @cached_property
    def _of_draws(self) -> Array:
        """Covariances of the levels' means over draws that are independent: ``(n_levels, n_levels, n_layers)``."""
        means = [level.mean(-1) for level in self._changes]

        def covariance(i: int, j: int) -> Array | float:
            common = min(len(means[i]), len(means[j]))
            return _covariance(means[i][:common], means[j][:common], 0) * common if common > 1 else 0.0

        return self._over_levels(covariance)

    @cached_property
    def _crossed(self) -> list[Array]:
        """Covariances of the levels' means, what each slice adds to them: ``(n_levels, n_levels, n_layers)`` each."""
        return [self._of_one_slice(self._slices == name) for name in np.unique(self._slices)]

    def _of_one_slice(self, inside: Array) -> Array:
        seen = [_Seen(level[inside[: len(level)]]) for level in self._changes]

        def covariance(i: int, j: int) -> Array | float:
            return _crossed_covariance(seen[i], seen[j]) if min(seen[i].n_draws, seen[j].n_draws) > 1 else 0.0

        return self._over_levels(covariance)

    def _over_levels(self, covariance: Callable[[int, int], Array | float]) -> Array:
        """Return covariances of sums over draws as those of means over them; symmetric."""
        covariances = np.zeros((len(self._counts), len(self._counts), self._changes[0].shape[1]))
        for i, j in combinations_with_replacement(range(len(self._counts)), 2):
            covariances[i, j] = covariances[j, i] = covariance(i, j) / (self._counts[i] * self._counts[j])
        return covariances


def _squared(weights: Array, covariance: Array) -> Array:
    """Return the variance ``(n_layers,)`` of a weighted sum from covariances ``(n_levels, n_levels, n_layers)``."""
    products = weights[:, None, None] * covariance * weights[:, None]
    return np.asarray(products.reshape(len(weights) ** 2, -1).sum(0))


class _Seen:
    """Changes of one level on one slice, ``(n_draws, n_layers, n_examples)``, with their means."""

    def __init__(self, changes: Array) -> None:
        whole = changes.dtype == np.int8
        self.changes = changes = changes.astype(np.float32 if whole else np.float64)  # sums of small whole numbers are exact
        self.n_draws, _, self.n_examples = changes.shape
        self.of_draws = changes.sum(-1).astype(np.float64) / self.n_examples  # (n_draws, n_layers)
        self.of_examples = changes.sum(0).astype(np.float64) / max(self.n_draws, 1)  # (n_layers, n_examples)

    def first(self, n_draws: int) -> "_Seen":
        """Return what the first draws saw."""
        return self if n_draws == self.n_draws else _Seen(self.changes[:n_draws])


def _crossed_covariance(a: _Seen, b: _Seen) -> Array:
    """Return the covariance ``(n_layers,)`` of two sums over draws of means over examples, both random.

    Draws of one number are the same.
    """
    n_draws, n_examples = min(a.n_draws, b.n_draws), a.n_examples
    both = a.first(n_draws), b.first(n_draws)
    of_draws = _covariance(both[0].of_draws, both[1].of_draws, 0)
    of_examples = _covariance(both[0].of_examples, both[1].of_examples, -1)
    rest = np.sum(both[0].changes * both[1].changes, axis=(0, 2), dtype=np.float64) - (
        (n_examples * (n_draws - 1)) * of_draws
        + (n_draws * (n_examples - 1)) * of_examples
        + (n_examples * n_draws) * both[0].of_draws.mean(0) * both[1].of_draws.mean(0)
    )
    rest /= (n_draws - 1) * (n_examples - 1)  # what neither draw nor example explains
    if a.n_draws != b.n_draws:
        of_examples = _covariance(a.of_examples, b.of_examples, -1)
    return np.asarray(n_draws * of_draws + (a.n_draws * b.n_draws * of_examples - n_draws * rest) / n_examples)


def _covariance(a: Array, b: Array, axis: int) -> Array:
    centred = (a - a.mean(axis, keepdims=True)) * (b - b.mean(axis, keepdims=True))
    return np.asarray(centred.sum(axis) / (a.shape[axis] - 1))
