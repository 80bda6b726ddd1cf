"""Answers from fast arithmetic wherever they provably are the canonical ones, from exact arithmetic elsewhere.

A ladder of rungs goes from fast to canonical. An example's answer is taken from a rung where its top-two margin exceeds
the rung's error band: by how much, at most, the differences between its logits may be wrong. Let e = z - c be a rung's
error on an example, z its logits and c the next rung's. The top class of z is that of c if the margin of z exceeds
max(e) - min(e), the range of the error. Divided by the largest of z, or by what is typical of the network where that is
larger, it is the *spread* of the error, about the same for all examples, with or without perturbation. A band is a
multiple of it. The caller knows the band (``CalibratedBands`` of single layers), or it is found here: the largest spread
on a sample of the examples (some at random, some that are worst without perturbation), times a factor. All other
examples, and a random audit, go to the next rung. A spread beyond the band found there widens the band, and all that was
settled by the old one is settled again.

Logits are ``(n, n_classes)``, or ``(n, n_classes, n_positions)`` where an example has several answers: it is settled where
all of them are, and its spread is the largest of theirs.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

Logits = Callable[[np.ndarray], np.ndarray]  # examples, int64 (n,) -> float64 (n, n_classes[, n_positions])
ROUNDING = 16 * float(np.finfo(np.float32).eps)  # the least that a band can be


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How far an arithmetic is trusted.

    Attributes:
        name: names it in bands and statistics.
        factor: band / largest spread known.
        n_sample: random examples of the sample, where bands are sampled.
        n_suspects: examples of the sample whose error is largest without perturbation, likewise.
        audit: share of the examples outside the band that go to the next rung all the same.
        n_audited: finite examples of each weight that go there at least.
        at_least_clean: the band is not smaller than without perturbation, where bands are sampled.
        least: band / largest spread without perturbation, at least, where bands are calibrated.
        tells_infinity: an example all of whose logits are infinite has none that are finite in the next arithmetic either.
    """

    name: str
    factor: float = 1.0
    n_sample: int = 0
    n_suspects: int = 0
    audit: float = 0.0
    n_audited: int = 0
    at_least_clean: bool = False
    least: float = 0.0
    tells_infinity: bool = False


@dataclass(frozen=True, slots=True)
class Rung:
    """One arithmetic of one probe.

    Attributes:
        trust: how far.
        logits: runs it on chosen examples.
        clean_spreads: spread of each example's error without perturbation, ``(n_examples,)``; None where not known.
    """

    trust: Arithmetic
    logits: Logits
    clean_spreads: np.ndarray | None = None

    def sample(self, rows: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Return which rows ``(n,)`` are sampled: the worst without perturbation, and some at random."""
        sampled = np.zeros(len(rows), dtype=bool)
        sampled[random.permutation(len(rows))[: self.trust.n_sample]] = True
        if self.clean_spreads is not None:
            sampled[np.argsort(-self.clean_spreads[rows])[: self.trust.n_suspects]] = True
        return sampled

    def band(self, largest: float) -> float:
        """Return the band for the largest spread of the sample."""
        if self.trust.at_least_clean and self.clean_spreads is not None:
            largest = max(largest, float(self.clean_spreads[np.isfinite(self.clean_spreads)].max(initial=0.0)))
        return self.trust.factor * largest


@dataclass(slots=True)
class Bands:
    """Error bands of one perturbation at one level, and what was done.

    Attributes:
        widths: band of each rung, by name; those that are not known yet are missing.
        typical: largest logit of a typical example without perturbation.
        n_widened: how often errors beyond a band were found.
        n_settled: examples settled, by rung.
    """

    widths: dict[str, float] = field(default_factory=dict)
    typical: float = 0.0
    n_widened: int = 0
    n_settled: Counter[str] = field(default_factory=Counter)


def settle(
    ladder: Sequence[Rung],
    rows: np.ndarray,
    bands: Bands,
    random: np.random.Generator,
    masked: np.ndarray | None = None,
) -> np.ndarray:
    """Return logits whose top class, where they are finite (those of masked classes apart), is the canonical one.

    Args:
        ladder: rungs from fast to canonical.
        rows: examples, int64 ``(n,)``.
        bands: estimated here where they are missing.
        random: chooses sample and audit; the answers do not depend on it.
        masked: classes that are -inf without perturbation, shaped as the logits of all examples; None where none is.

    Returns:
        Float64, as ``Logits``: each example's logits from the rung that settled it.
    """
    here, above, name = ladder[0], ladder[1:], ladder[0].trust.name
    found, masked_here = here.logits(rows), None if masked is None else masked[rows]
    logits, better = comparable(found, masked_here), found.copy()
    settled = np.full(len(rows), not above)
    to_check = random.random(len(rows)) < here.trust.audit
    if above and here.trust.n_audited:
        to_check[random.permutation(np.flatnonzero(_are_finite(logits)))[: here.trust.n_audited]] = True
    if above and name not in bands.widths:
        to_check |= here.sample(rows, random)
        _raise(above, rows, better, to_check, bands, random, masked)
        settled |= to_check
        bands.widths[name] = here.band(
            largest_spread(logits[settled], comparable(better, masked_here)[settled], bands.typical)
        )
    while above and (doubtful := (to_check | _in_doubt(here.trust, logits, bands)) & ~settled).any():
        _raise(above, rows, better, doubtful, bands, random, masked)
        settled |= doubtful
        wrongly_told = np.isposinf(logits[settled]).all(1) & np.isfinite(better[settled]).all(1)
        if here.trust.tells_infinity and wrongly_told.any() and bands.widths[name] < np.inf:
            bands.widths[name] = np.inf
            bands.n_widened += 1
        known, checked = settled & _are_finite(logits), comparable(better, masked_here)
        if known.any() and (largest := largest_spread(logits[known], checked[known], bands.typical)) > bands.widths[name]:
            bands.widths[name] = max(largest, here.band(largest))
            bands.n_widened += 1
    bands.n_settled[name] += len(rows) if not above else int(np.count_nonzero(~settled))
    return better


def _in_doubt(trust: Arithmetic, logits: np.ndarray, bands: Bands) -> np.ndarray:
    band = bands.widths[trust.name]
    told = np.isposinf(logits).all(1) & (trust.tells_infinity and band < np.inf)
    return by_example(in_doubt(logits, band, bands.typical) & ~told)


def _raise(
    ladder: Sequence[Rung],
    rows: np.ndarray,
    logits: np.ndarray,
    chosen: np.ndarray,
    bands: Bands,
    random: np.random.Generator,
    masked: np.ndarray | None,
) -> None:
    """Replace the logits of chosen examples by those of the rungs above."""
    if chosen.any():
        logits[chosen] = settle(ladder, rows[chosen], bands, random, masked)


def comparable(logits: np.ndarray, masked: np.ndarray | None) -> np.ndarray:
    """Return logits in which masked classes lie a little below all others, where they would be -inf.

    They change neither margin nor range so. An answer one of whose masked classes is not -inf becomes NaN: whether that
    is so in the next arithmetic too remains to be seen.
    """
    if masked is None:
        return logits
    ruled_out = masked & np.isneginf(logits)
    lowest = np.where(ruled_out, np.inf, logits).min(1, keepdims=True)
    found = np.where(ruled_out, lowest - 1.0, logits)
    return np.where((masked & ~ruled_out).any(1, keepdims=True), np.nan, found)


def in_doubt(logits: np.ndarray, band: float, typical: float = 0.0) -> np.ndarray:
    """Tell which answers ``(n[, n_positions])`` have a margin within the band, or a logit that is not finite."""
    with np.errstate(invalid="ignore"):
        clear = margins(logits) > max(band, ROUNDING) * _scale(logits, typical)  # false for NaN too
    return ~(clear & np.isfinite(logits).all(1))


def margins(logits: np.ndarray) -> np.ndarray:
    """Return the difference of the two largest logits ``(n[, n_positions])``; infinite where there is one class."""
    if logits.shape[1] < 2:
        return np.full((len(logits), *logits.shape[2:]), np.inf)
    top = -np.partition(-logits, 1, axis=1)[:, :2]
    with np.errstate(invalid="ignore"):
        return np.asarray(top[:, 0] - top[:, 1])


def error_ranges(logits: np.ndarray, better: np.ndarray) -> np.ndarray:
    """Return by how much, at most, differences of an answer's logits are wrong ``(n[, n_positions])``, inf if unknown."""
    with np.errstate(invalid="ignore"):
        error = logits - better
        ranges = np.asarray(error.max(1) - error.min(1))
    return np.where(np.isfinite(ranges), ranges, np.inf)


def error_spreads(logits: np.ndarray, better: np.ndarray, typical: float = 0.0) -> np.ndarray:
    """Return error ranges as multiples of an answer's largest logit, or the typical one: the largest of an example's.

    Returns:
        ``(n,)``, inf where unknown.
    """
    ranges = error_ranges(logits, better)
    with np.errstate(invalid="ignore", divide="ignore"):
        spreads = np.where(ranges == 0.0, 0.0, ranges / _scale(logits, typical))
    spreads = np.where(np.isfinite(spreads), spreads, np.inf)
    return np.asarray(spreads.max(axis=tuple(range(1, spreads.ndim))))


def by_example(of_answers: np.ndarray) -> np.ndarray:
    """Return which examples ``(n,)`` have an answer of which something is true ``(n[, n_positions])``."""
    return np.asarray(of_answers.any(axis=tuple(range(1, of_answers.ndim))))


def _are_finite(logits: np.ndarray) -> np.ndarray:
    return ~by_example(~np.isfinite(logits))


def _scale(logits: np.ndarray, typical: float) -> np.ndarray:
    return np.maximum(np.abs(logits).max(1), typical)


def largest_spread(logits: np.ndarray, better: np.ndarray, typical: float = 0.0) -> float:
    """Return the largest spread of the error over examples.

    Examples whose fast logits are not finite are always in doubt and tell nothing; a finite one that should not have
    been makes the band infinite, and so does a sample that tells nothing.
    """
    finite = _are_finite(logits)
    if not finite.any() or not np.isfinite(better[finite]).all():
        return float("inf")
    return float(error_spreads(logits[finite], better[finite], typical).max())
