"""How far families of one kind of architecture resemble each other, and how much wider that makes intervals; no I/O.

The bootstrap takes families for independent. Of those of one kind it has less to learn than of as many kinds, by the design
effect. Kinds go by the architecture alone.
"""

from collections.abc import Sequence

import numpy as np

from safer_bench.tables.facts import TruthFacts

Array = np.ndarray
# Correlations that are taken at least. On Fashion-MNIST's test networks, November 2026: the median over blind criteria, and
# of the differences of two of them the median in the use case where it is largest (0 to 0.22)
LEAST, LEAST_OF_DIFFERENCES = 0.45, 0.22
OWN = "own"  # of a user's network: nothing is known of what it resembles


def numbered_kinds(kinds: Sequence[str]) -> Array:
    """Return the number of each family's kind ``(n_families,)``; a family of no declared kind is alone in its own."""
    numbers: dict[str, int] = {}
    names = [kind if kind not in ("", OWN) else f"{OWN} {i}" for i, kind in enumerate(kinds)]
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)


def resemblance(values: Array, kinds: Array) -> Array:
    """Return the intraclass correlation of families of one kind, between 0 and 1, for each row ``(n_rows,)``.

    0 where no kind has two families, or all have one kind: then nothing tells it.

    Args:
        values: one of each family ``(n_rows, n_families)``.
        kinds: number of each family's kind ``(n_families,)``.

    Source: one-way analysis of variance of groups of unequal sizes; Donner 1986, "A review of inference procedures for the
    intraclass correlation coefficient in the one-way random effects model".
    """
    sizes, n = np.bincount(kinds), len(kinds)
    n_kinds = len(sizes)
    if not 1 < n_kinds < n:
        return np.zeros(len(values))
    members = (kinds == np.arange(n_kinds)[:, None]).astype(np.float64)
    means = np.sum(values[:, None] * members, axis=-1) / sizes  # (n_rows, n_kinds)
    between = np.sum(sizes * (means - values.mean(-1, keepdims=True)) ** 2, axis=-1) / (n_kinds - 1)
    within = np.sum((values - means[:, kinds]) ** 2, axis=-1) / (n - n_kinds)
    typical = (n - float(np.sum(sizes**2)) / n) / (n_kinds - 1)
    spread = between + (typical - 1.0) * within
    return np.clip(np.divide(between - within, spread, out=np.zeros(len(values)), where=spread > 0), 0.0, 1.0)


def widening(values: Array, kinds: Array, least: float = LEAST) -> Array:
    """Return how many times wider each row's interval is than of independent families ``(n_rows,)``: at least 1.

    The root of the design effect, 1 + (m - 1) x correlation, where m is the size of a family's kind, in the mean over
    families. A correlation is poorly known of so few families: none is taken for less than ``least``.

    Args:
        values, kinds: as for ``resemblance``.
        least: ``LEAST``, or ``LEAST_OF_DIFFERENCES`` of paired differences, in which much of what families share is gone.

    Source: Kish 1965, "Survey Sampling".
    """
    mean_size = float(np.sum(np.bincount(kinds) ** 2)) / len(kinds)
    return np.asarray(np.sqrt(1.0 + (mean_size - 1.0) * np.maximum(resemblance(values, kinds), least)))


def kinds_of(families: Sequence[str], facts: TruthFacts) -> Array:
    """Return the number of each family's kind ``(n_families,)``."""
    declared = {family: facts.kinds.get(network, "") for network, family in facts.families.items()}
    for network, family in facts.families.items():
        if facts.kinds.get(network, "") not in ("", OWN):
            declared[family] = facts.kinds[network]
    return numbered_kinds([declared[family] for family in families])
