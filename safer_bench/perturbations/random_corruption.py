"""Random directions of a bounded norm: what gradient_corruption is compared with, at equal norm and as many entries."""

import math

from safer_bench.perturbations.gradient_corruption import n_corrupted
from safer_bench.perturbations.perturbation import perturbation
from safer_bench.stream import Array, Stream, norm

SOURCE = "Sun et al. 2021, arXiv 2006.05620, section 3 (random baseline)"


@perturbation(
    levels=(0.71, 1.2, 2.2, 3.7, 6.4),
    scale="log10",
    unit="norm2(W)",
    formula="W + level*norm2(W)*z/norm2(z)",
    source=SOURCE,
    use_case="",
    neutral=0.0,
)
def random_corruption_l2(weight: Array, level: float, rng: Stream) -> Array:
    """Add a random direction of Euclidean norm ``level`` x norm2(W)."""
    z = rng.normal(weight.shape)
    return weight + level * norm(weight, 2) * z / norm(z, 2)


@perturbation(
    levels=(0.18, 0.26, 0.46, 0.75, 1.3),
    scale="log10",
    unit="max abs(W)",
    formula="W + level*max abs(W)*random signs",
    source=SOURCE,
    use_case="",
    neutral=0.0,
)
def random_corruption_linf(weight: Array, level: float, rng: Stream) -> Array:
    """Move every weight by ``level`` x max abs(W), up or down at random."""
    return weight + level * norm(weight, math.inf) * rng.signs(weight.shape)


@perturbation(
    levels=(0.77, 1.2, 2.3, 4.1, 7.4),
    scale="log10",
    unit="norm2(W)",
    formula="W + level*norm2(W)*h/norm2(h), h = z in max(1, round(n/100)) random entries, else 0",
    source=SOURCE,
    use_case="",
    neutral=0.0,
)
def random_corruption_l2_randk(weight: Array, level: float, rng: Stream) -> Array:
    """Move a random 1 % of weights by ``level`` x norm2(W) in a random direction."""
    entries = rng.sample(weight.size, n_corrupted(weight.size))
    z = rng.normal(entries.shape)
    return _moved(weight, entries, level * norm(weight, 2) * z / norm(z, 2))


@perturbation(
    levels=(1.8, 2.7, 4.4, 7.6, 14.0),
    scale="log10",
    unit="max abs(W)",
    formula="W + level*max abs(W)*random signs in max(1, round(n/100)) random entries",
    source=SOURCE,
    use_case="",
    neutral=0.0,
)
def random_corruption_linf_randk(weight: Array, level: float, rng: Stream) -> Array:
    """Move a random 1 % of weights by ``level`` x max abs(W), up or down at random."""
    entries = rng.sample(weight.size, n_corrupted(weight.size))
    return _moved(weight, entries, level * norm(weight, math.inf) * rng.signs(entries.shape))


def _moved(weight: Array, entries: Array, moves: Array) -> Array:
    result = weight.flatten()
    result[entries] += moves
    return result.reshape(weight.shape)
