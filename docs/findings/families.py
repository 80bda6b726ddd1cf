"""The one way from values of networks to a number with an interval: over families, as on the boards."""

from collections.abc import Collection, Mapping
from functools import partial
from math import exp, isfinite, isnan, log

import numpy as np

from docs.findings.finding import Value, written
from safer_bench.evaluation.bootstrap import MIN_FAMILIES, intervals
from safer_bench.evaluation.kinds import LEAST, LEAST_OF_DIFFERENCES, kinds_of, widening
from safer_bench.tables.facts import TruthFacts


def over_families(
    values: Mapping[str, float],
    facts: TruthFacts,
    *,
    unit: str = "",
    digits: int = 2,
    ends: tuple[float, float] | None = None,
    difference: bool = False,
    geometric: bool = False,
) -> Value:
    """Return the mean over families of the mean over their networks, with its 95 % interval.

    Families of one kind resemble each other, which widens the interval. Of fewer than six families there is none: the range
    of the networks is given in its place.

    Args:
        values: of each network.
        facts: of the truth: families and kinds.
        unit, digits: as of ``Value``.
        ends: the least and the greatest mean that there can be, which noise can bring estimates beyond; by default none.
        difference: the values are paired differences, in which much of what families of a kind share is gone.
        geometric: means are geometric: of ratios, which are positive.

    Raises:
        ValueError: there are no values, or one is not finite.
    """
    if not values or not all(isfinite(value) for value in values.values()):
        raise ValueError(f"values {dict(values)}; expected a finite one of each network")
    logs = {network: log(value) for network, value in values.items()} if geometric else values
    by_family = family_means(logs, facts)
    families, means = sorted(by_family), np.array([[by_family[family] for family in sorted(by_family)]])
    told = exp if geometric else float
    mean = float(means.mean() if ends is None else np.clip(means.mean(), *ends))
    known = partial(Value, told(mean), unit=unit, digits=digits)
    if len(families) < MIN_FAMILIES:
        return known(reason=_range(values, digits))
    least = LEAST_OF_DIFFERENCES if difference else LEAST
    ranges = None if ends is None else (np.array(ends[0]), np.array(ends[1]))
    low, high = (
        float(end[0]) for end in intervals(means, ranges, widening=widening(means, kinds_of(families, facts), least))
    )
    return known(reason="no interval: families hardly differ") if isnan(low) else known(told(low), told(high))


def family_means(values: Mapping[str, float], facts: TruthFacts) -> dict[str, float]:
    """Return the mean over the networks of each family."""
    found: dict[str, list[float]] = {}
    for network, value in sorted(values.items()):
        found.setdefault(facts.families[network], []).append(value)
    return {family: float(np.mean(of_networks)) for family, of_networks in found.items()}


def _range(values: Mapping[str, float], digits: int) -> str:
    if len(values) == 1:
        return "1 network"
    least, most = (written(end, digits) for end in (min(values.values()), max(values.values())))
    return f"{len(values)} networks: {least} to {most}"


def told_of(networks: Collection[str], facts: TruthFacts) -> str:
    """Return how many networks of how many families these are."""
    n_families = len({facts.families[network] for network in networks})
    return f"{len(networks)} networks of {n_families} {'families' if n_families > 1 else 'family'}"
