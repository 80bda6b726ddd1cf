"""How far a measured ranking can be trusted: standard errors, split-half reliability and ceilings; no I/O.

``changes`` is the truth of one network under one perturbation, int8 ``(n_levels, n_draws, n_layers, n_examples)``: 1 where
an example broke, -1 where it was fixed, 0 otherwise. ``slices`` ``(n_draws,)`` names the examples each draw saw: equal
entries mean the same examples. ``weights`` ``(n_levels,)`` average over levels.
"""

from collections.abc import Sequence

import numpy as np

from safer_bench.metrics import METRICS, spearman
from safer_bench.perturbations.stream import Stream

Array = np.ndarray
MIN_DRAWS = 4


def standard_errors(changes: Array, weights: Array, slices: Array, *, deterministic: bool) -> Array:
    """Return the standard error ``(n_layers,)`` of each layer's weighted mean change, over draws and examples.

    Draws on the same examples are a crossed design: variance components by analysis of variance. Draws on examples of
    their own are independent as they are; where only some slices repeat, draws are taken as independent too, which
    understates the error (by 5 to 20 % in simulations). One draw of a random perturbation cannot tell: nan.

    Source: Searle, Casella, McCulloch 1992, "Variance Components", chapter 4 (two-way crossed, random).
    """
    values = np.einsum("l,ldne->dne", weights, changes.astype(np.float64))
    n_draws = len(values)
    if deterministic:
        return np.sqrt(values[0].var(axis=-1, ddof=1) / values.shape[-1])
    if n_draws < 2:
        return np.full(values.shape[1], np.nan)
    groups = [values[slices == name] for name in np.unique(slices)]
    if min(map(len, groups)) < 2:
        return np.sqrt(values.mean(axis=-1).var(axis=0, ddof=1) / n_draws)
    variance = sum((len(group) / n_draws) ** 2 * _crossed_variance(group) for group in groups)
    return np.sqrt(variance)


def _crossed_variance(values: Array) -> Array:
    """Return the variance of the grand mean of ``(n_draws, n_layers, n_examples)``, draws and examples both random."""
    n_draws, _, n_examples = values.shape
    by_draw, by_example, mean = values.mean(-1), values.mean(0), values.mean((0, -1))
    of_draws = n_examples * by_draw.var(0, ddof=1)
    of_examples = n_draws * by_example.var(-1, ddof=1)
    rest = values - by_draw[:, :, None] - by_example[None] + mean[None, :, None]
    of_rest = (rest**2).sum((0, -1)) / ((n_draws - 1) * (n_examples - 1))
    return np.maximum(of_draws + of_examples - of_rest, 0.0) / (n_draws * n_examples)


def random_halves(changes: Array, slices: Array, stream: Stream, n_splits: int) -> tuple[Array, Array]:
    """Return mean changes on two random halves, each ``(n_splits, n_levels, n_layers)``.

    Both draws and examples are halved, so that the halves share neither; where every draw has examples of its own,
    halving the draws does both. A single draw is halved by examples alone.
    """
    _, n_draws, _, n_examples = changes.shape
    halves_a, halves_b = [], []
    shared = len(np.unique(slices)) < n_draws or n_draws == 1
    for _ in range(n_splits):
        draws = stream.permutation(n_draws)
        first, second = (draws[: n_draws // 2], draws[n_draws // 2 :]) if n_draws > 1 else (draws, draws)
        examples = stream.permutation(n_examples) if shared else None
        cut = n_examples // 2
        halves_a.append(_mean(changes, first, None if examples is None else examples[:cut]))
        halves_b.append(_mean(changes, second, None if examples is None else examples[cut:]))
    return np.stack(halves_a), np.stack(halves_b)


def _mean(changes: Array, draws: Array, examples: Array | None) -> Array:
    chosen = changes[:, draws]
    return (chosen if examples is None else chosen[..., examples]).mean(axis=(1, 3))


def can_be_halved(n_draws: int, *, deterministic: bool) -> bool:
    """Tell whether reliability is defined: an even number of draws, at least four; deterministic ones need one."""
    return deterministic or (n_draws >= MIN_DRAWS and n_draws % 2 == 0)


def split_half_reliability(half_a: Array, half_b: Array) -> float:
    """Return the reliability of the full ranking from values ``(n_splits, n_layers)`` on random halves.

    Mean Spearman correlation of the halves (undefined ones count as 0), stepped up to full length, not below 0.

    Source: Spearman 1910 and Brown 1910: 2 r / (1 + r).
    """
    each = [spearman(truth=a, scores=b) for a, b in zip(half_a, half_b, strict=True)]
    r = float(np.mean(np.nan_to_num(each)))
    return max(0.0, 2.0 * r / (1.0 + r)) if r > -1.0 else 0.0


def shrunken(values: Array, errors: Array) -> Array:
    """Return layer means ``(n_layers,)`` pulled to their mean by the share of their variance that is noise.

    Source: James and Stein 1961; method of moments.
    """
    spread = values.var(ddof=1) if len(values) > 1 else 0.0
    keep = max(0.0, 1.0 - float(np.mean(errors**2)) / spread) if spread > 0 else 0.0
    return values.mean() + keep * (values - values.mean())


def ceilings(values: Array, errors: Array, stream: Stream, n_draws: int = 200) -> dict[str, float]:
    """Return, for each metric, what scores equal to the noise-free truth would reach against a truth measured again.

    The noise-free truth is simulated by the shrunken means, the measured one by adding normal noise of the given
    standard errors. Undefined values count as 0; a metric that is undefined for so few layers has no ceiling: nan.

    Args:
        values: layer values ``(n_layers,)``.
        errors: their standard errors; nan gives nan for every metric.
        stream: of the simulation.
        n_draws: simulated truths.
    """
    if not np.all(np.isfinite(errors)):
        return {metric.name: float("nan") for metric in METRICS}
    means, ranks = shrunken(values, errors), np.arange(len(values), dtype=np.float64)
    truths = means + errors * stream.normal((n_draws, len(values)))
    return {
        metric.name: _mean_defined(metric, truths, means) if np.isfinite(metric(ranks, ranks)) else float("nan")
        for metric in METRICS
    }


def _mean_defined(metric, truths: Array, scores: Array) -> float:  # type: ignore[no-untyped-def]
    found: Sequence[float] = [metric(truth, scores) for truth in truths]
    return float(np.mean(np.nan_to_num(found)))
