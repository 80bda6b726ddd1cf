"""The one way from values of networks to a number with an interval: over families, as on the boards."""

from collections.abc import Collection, Hashable, Mapping
from dataclasses import replace
from functools import partial
from math import exp, isfinite, isnan, log
from typing import TypeVar

import numpy as np

from docs.findings.finding import Value, written
from safer_bench.evaluation.bootstrap import MIN_FAMILIES, intervals, simultaneous_intervals
from safer_bench.evaluation.kinds import LEAST, LEAST_OF_DIFFERENCES, kinds_of, widening
from safer_bench.tables.facts import TruthFacts
from safer_bench.tables.text import number_of

Key = TypeVar("Key", bound=Hashable)
NO_SPREAD = "no interval: families hardly differ"


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
        return known(reason=range_of(values, digits))
    least = LEAST_OF_DIFFERENCES if difference else LEAST
    ranges = None if ends is None else (np.array(ends[0]), np.array(ends[1]))
    low, high = (
        float(end[0]) for end in intervals(means, ranges, widening=widening(means, kinds_of(families, facts), least))
    )
    return known(reason=NO_SPREAD) if isnan(low) else known(told(low), told(high))


def at_once(
    rows: Mapping[Key, Mapping[str, float]],
    facts: TruthFacts,
    *,
    unit: str = "",
    digits: int = 2,
    ends: tuple[float, float] | None = None,
    difference: bool = False,
) -> dict[Key, Value]:
    """Return ``over_families`` of each row, with 95 % intervals that hold for all rows at once (max-|T|).

    All are means over the families that every row has. A row without spread has no interval.

    Args:
        rows: values of networks, by any key.
        facts, unit, digits, ends, difference: as of ``over_families``.

    Raises:
        ValueError: as of ``over_families``; also where no family is in every row.
    """
    common = set.intersection(*({facts.families[network] for network in of} for of in rows.values()))
    shared = {key: {name: value for name, value in of.items() if facts.families[name] in common} for key, of in rows.items()}
    alone = {
        key: over_families(of, facts, unit=unit, digits=digits, ends=ends, difference=difference)
        for key, of in shared.items()
    }
    if len(common) < MIN_FAMILIES:
        return alone
    families = sorted(common)
    means = np.array(
        [[by_family[family] for family in families] for by_family in (family_means(of, facts) for of in shared.values())]
    )
    least = LEAST_OF_DIFFERENCES if difference else LEAST
    ranges = None if ends is None else (np.array(ends[0]), np.array(ends[1]))
    found = simultaneous_intervals(means, ranges, widening=widening(means, kinds_of(families, facts), least))
    return {
        key: replace(value, low=None, high=None, reason=NO_SPREAD)
        if isnan(low)
        else replace(value, low=float(low), high=float(high), reason="")
        for (key, value), low, high in zip(alone.items(), *found, strict=True)
    }


def family_means(values: Mapping[str, float], facts: TruthFacts) -> dict[str, float]:
    """Return the mean over the networks of each family."""
    found: dict[str, list[float]] = {}
    for network, value in sorted(values.items()):
        found.setdefault(facts.families[network], []).append(value)
    return {family: float(np.mean(of_networks)) for family, of_networks in found.items()}


def range_of(values: Mapping[str, float], digits: int) -> str:
    """Return the range of networks, as it stands where there is no interval."""
    if len(values) == 1:
        return "1 network"
    least, most = (written(end, digits) for end in (min(values.values()), max(values.values())))
    return f"{len(values)} networks: {least} to {most}"


def told_of(networks: Collection[str], facts: TruthFacts) -> str:
    """Return how many networks of how many families these are."""
    n_families = len({facts.families[network] for network in networks})
    return f"{number_of(len(networks), 'network')} of {number_of(n_families, 'family', 'families')}"
