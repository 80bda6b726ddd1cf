"""How far a measured ranking can be trusted: split-half reliability and ceilings; no I/O.

``changes`` is the truth of one network under one perturbation: for each level ``(n_draws, n_layers, n_examples)``, the
answers of an example that broke, less those that were fixed; int8 where each example has one. Levels may differ in draws:
one with fewer has the first of them. ``slices`` ``(most draws,)`` names the examples each draw saw: equal entries mean the
same examples. ``answers`` ``(most draws, n_examples)`` is how many each of them has; None: one.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from safer_bench.judging import METRICS, CellTruth
from safer_bench.metrics import ROUNDING, spearman
from safer_bench.stream import Stream
from safer_bench.truth.answers import one_each

Array = np.ndarray
MIN_DRAWS = 4
N_MATCHED, STEPS, SCALES = 100, 10, (1 / 8, 8.0)  # simulated halves, bisections and range of the noise's scale
DIGITS = 12  # of a reliability: the last are rounding errors, which decide nothing at a gate


def random_halves(
    changes: Sequence[Array], slices: Array, stream: Stream, n_splits: int, answers: Array | None = None
) -> tuple[Array, Array]:
    """Return mean changes on two random halves, each ``(n_splits, n_levels, n_layers)``.

    The halves share neither draws nor examples: slices are halved, each with all draws that saw it. Where a level has
    draws of one slice only, draws and examples are both halved: each half is then a quarter, and the reliability that
    follows is too low rather than too high. A single draw is halved by examples alone. Levels may differ in draws: what
    one level has more than another is halved by itself, so that each level is halved. An example is in one half with all of
    its answers, as they depend on each other.
    """
    counts, n_examples = [len(level) for level in changes], changes[0].shape[-1]
    answers = one_each(changes) if answers is None else answers
    slice_of = _numbered(slices[: max(counts)])
    n_slices = sorted({int(slice_of[:count].max()) + 1 for count in counts})
    by_slice = n_slices[0] > 1
    unit_of, n_units = (slice_of, n_slices) if by_slice else (np.arange(max(counts)), sorted(set(counts)))
    draws = np.zeros((2, n_splits, max(counts)))
    examples = np.ones((2, n_splits, n_examples), dtype=np.float32)
    for split in range(n_splits):
        for half, members in enumerate(_halved(n_units, stream)):
            draws[half, split] = np.isin(unit_of, members)
        if not by_slice:
            examples[0, split, stream.permutation(n_examples)[n_examples // 2 :]] = 0.0
            examples[1, split] -= examples[0, split]
    means = np.stack(
        [_split_means(level, answers[: len(level)], draws[:, :, : len(level)], examples) for level in changes], axis=2
    )
    return means[0], means[1]


def _split_means(changes: Array, answers: Array, draws: Array, examples: Array) -> Array:
    """Return mean changes of an answer ``(2, n_splits, n_layers)`` on halves given as 0 and 1; nan where one has none.

    Sums are of whole numbers, so exact.

    Args:
        changes: ``(n_draws, n_layers, n_examples)``.
        answers: ``(n_draws, n_examples)``.
        draws: ``(2, n_splits, n_draws)``.
        examples: float32 ``(2, n_splits, n_examples)``.
    """
    whole = changes.astype(np.float32 if changes.dtype == np.int8 else np.float64)
    first = whole @ examples[0].T  # (n_draws, n_layers, n_splits)
    second = whole @ examples[1].T if examples[1].all() else whole.sum(-1, keepdims=True) - first
    sums = [np.einsum("sd,dls->sl", of, found.astype(np.float64)) for of, found in zip(draws, (first, second), strict=True)]
    counted = [of_half.astype(np.float64) @ answers.T for of_half in examples]  # (n_splits, n_draws)
    sizes = np.stack([np.sum(of * found, axis=-1) for of, found in zip(draws, counted, strict=True)])
    return np.stack(sums) / np.where(sizes > 0, sizes, np.nan)[:, :, None]


def _numbered(slices: Array) -> Array:
    """Return the number of each draw's slice ``(n_draws,)``, counted from 0 in the order of their first draws."""
    numbers: dict[int, int] = {}
    return np.array([numbers.setdefault(int(each), len(numbers)) for each in slices])


def _halved(counts: Sequence[int], stream: Stream) -> tuple[Array, Array]:
    """Return two halves of draws or slices such that each of the first ``counts`` is halved; a single one is in both."""
    first, second, start = [], [], 0
    for stop in counts:
        shuffled = start + stream.permutation(stop - start)
        half = len(shuffled) // 2
        first.append(shuffled[:half] if stop > 1 else shuffled)
        second.append(shuffled[half:])
        start = stop
    return np.concatenate(first), np.concatenate(second)


def can_be_halved(changes: Sequence[Array], *, deterministic: bool) -> bool:
    """Tell whether reliability is defined: even numbers of draws, at least four; deterministic perturbations need one."""
    return deterministic or all(len(level) >= MIN_DRAWS and len(level) % 2 == 0 for level in changes)


def split_half_reliability(half_a: Array, half_b: Array) -> float:
    """Return the reliability of the full ranking from values ``(n_splits, n_layers)`` on random halves.

    Mean Spearman correlation of the halves (undefined ones count as 0), stepped up to full length, not below 0. Halves of
    nan, of a truth that cannot be halved, give nan.

    Source: Spearman 1910 and Brown 1910: 2 r / (1 + r).
    """
    if not np.all(np.isfinite(half_a)):
        return float("nan")
    r = float(np.mean(np.nan_to_num(spearman(truth=half_a, scores=half_b))))
    return max(0.0, round(2.0 * r / (1.0 + r), DIGITS)) if r > -1.0 else 0.0


def shrunken(values: Array, errors: Array) -> Array:
    """Return layer means ``(n_layers,)`` pulled to their mean until they vary as much as the noise-free ones do.

    The variance that noise adds is taken off; values that differ by rounding alone are one value. The best guess of each
    layer by itself would be pulled further, and all of them together would then vary too little.

    Source: Louis 1984, "Estimating a population of parameter values"; method of moments.
    """
    if np.ptp(values) <= ROUNDING * np.max(np.abs(values)):
        return np.full_like(values, values.mean())
    keep = 1.0 - float(np.mean(errors**2)) / float(values.var(ddof=1))
    return values.mean() + np.sqrt(keep if keep > ROUNDING else 0.0) * (values - values.mean())


def ceilings(truth: CellTruth, reliability: float, stream: Stream, n_draws: int = 200) -> dict[str, float]:
    """Return, for each metric, what scores equal to the noise-free truth would reach against a truth measured again.

    The noise-free truth is simulated by the shrunken means, the measured one by adding normal noise of the given
    standard errors, in two independent halves. The noise is scaled until simulated halves agree as the measured ones do: of
    skewed layers, few of which make up the variance, the shrunken means of all others still hold noise. Undefined values
    count as 0; a metric that is undefined for so few layers has no ceiling: nan.

    Args:
        truth: of one cell, arrays ``(n_layers,)``; standard errors of nan give nan for every metric, halves of nan for
            those that need halves.
        reliability: of the cell; nan: the noise is taken as it is.
        stream: of the simulation.
        n_draws: simulated truths.
    """
    if not np.all(np.isfinite(truth.errors)):
        return {metric.name: float("nan") for metric in METRICS}
    means = shrunken(truth.values, truth.errors)
    errors = truth.errors * _noise_scale(means, truth.errors, reliability, stream)
    halves = means + np.sqrt(2.0) * errors * stream.normal((2, n_draws, len(means)))
    halved = np.where(np.isfinite(truth.half_a + truth.half_b), halves, np.nan)
    again = replace(truth, values=halves.mean(0), half_a=halved[0], half_b=halved[1])
    clear = Stream("clear ranking", len(means)).normal((len(means),))
    without_noise = replace(truth, values=clear, half_a=clear + 0.0 * truth.half_a, half_b=clear, errors=0.0 * clear)
    return {
        metric.name: float(np.mean(np.nan_to_num(metric(again, means))))
        if np.isfinite(metric(without_noise, clear))
        else float("nan")
        for metric in METRICS
    }


def _noise_scale(means: Array, errors: Array, reliability: float, stream: Stream) -> float:
    """Return by what to multiply errors ``(n_layers,)`` for simulated halves to have the reliability that was measured."""
    if not np.isfinite(reliability) or not errors.any():
        return 1.0
    noise = np.sqrt(2.0) * errors * stream.normal((2, N_MATCHED, len(means)))
    low, high = np.log2(SCALES)
    for _ in range(STEPS):
        middle = (low + high) / 2.0
        if split_half_reliability(*(means + 2.0**middle * noise)) > reliability:
            low = middle
        else:
            high = middle
    return float(2.0 ** ((low + high) / 2.0))
