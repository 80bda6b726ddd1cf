"""Whether a few layers bear the damage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil

import numpy as np

from docs.findings.data import Data
from docs.findings.drawing import COLOURS, encoded, new_figure, readable
from docs.findings.families import at_once, family_means, over_families
from docs.findings.finding import Figure, Finding, Table, Value, told

TITLE = "How concentrated is the damage?"
QUESTION = "Do a few layers cost most of the accuracy, and how many can hardly be harmed?"
TOP, POINT = 0.1, 0.01  # share of the layers; accuracy drop that counts as none
FEWEST = 3  # levels that have a middle
PERCENT = 100.0
GRID = np.linspace(0.0, 1.0, 101)  # shares of layers, in the figure
ALL = "all use cases"
LIMIT = (
    "Areas are first averaged over the perturbations of a use case. Then the most fragile layers are chosen by one half of "
    "the draws and examples and judged by the other, and the other way round. Else the noise that brings a layer to the "
    "front would count as damage."
)


@dataclass(frozen=True, slots=True)
class Spread:
    """How the damage of one use case spreads over the layers of a network.

    Attributes:
        top: share of the summed area in the most fragile tenth of the layers.
        gini: 0 where all layers lose alike, towards 1 where one loses all.
        unharmed: share of the layers that lose less than a point at the middle level; nan where no middle level tells.
        curve: share of the summed area in the most fragile layers, at each of ``GRID``.
    """

    top: float
    gini: float
    unharmed: float
    curve: np.ndarray


def find(data: Data) -> Finding | None:
    """Return how concentrated the damage is by use case; None where no layer of the population was damaged."""
    found = {
        use_case: {network: spread for network in data.population() if (spread := _spread(data, network, perturbations))}
        for use_case, perturbations in data.use_cases.items()
    }
    found = {use_case: by_network for use_case, by_network in found.items() if by_network}
    if not found:
        return None
    cases = {use_case: _values(data, by_network) for use_case, by_network in found.items()}
    every = _mean_over_cases(found)
    cases[ALL] = _values(data, every)
    values = {f"{case}: {key}": value for case, of_case in cases.items() for key, value in of_case.items()}
    layers = {network: len(data.networks[network].layers) for network in every}
    evenly = {network: PERCENT * _n_top(n) / n for network, n in layers.items()}
    values["if all lost alike: top"] = over_families(evenly, data.facts, unit="%", digits=0, ends=(0.0, PERCENT))
    more = {network: PERCENT * spread.top - evenly[network] for network, spread in every.items()}
    values["more than if all lost alike: top"] = _gap(data, more)
    by_top = sorted(found, key=lambda case: (-cases[case]["top"].value, case))
    if gap := _most_less_least(data, found, by_top):
        values["most less least: top"] = gap
    curves = {use_case: _mean_curve(data, by_network) for use_case, by_network in found.items()}
    table = _table(cases)
    return Finding(
        TITLE, QUESTION, _sentences(cases, by_top, values), [table], _figure(curves, cases), values, limits=[LIMIT]
    )


def _spread(data: Data, network: str, perturbations: Sequence[str]) -> Spread | None:
    """Return the spread of the mean area over perturbations that tell layers apart; None where none of it is above 0."""
    measured = [name for name in perturbations if data.informs(network, name)]
    if not measured:
        return None
    halves = np.mean([data.halves(network, name) for name in measured], axis=0)
    whole = np.mean([data.area(network, name) for name in measured], axis=0)
    pairs = [(halves[0], halves[1]), (halves[1], halves[0])] if np.isfinite(halves).all() else [(whole, whole)]
    if min(judge.sum() for _, judge in pairs) <= 0.0:
        return None
    lost = np.mean([_ordered(by, judge) for by, judge in pairs], axis=0)
    n = len(lost)
    curve = np.interp(GRID, np.arange(n + 1) / n, np.concatenate([[0.0], np.cumsum(lost)]))
    gini = float(np.sum((n + 1 - 2 * np.arange(1, n + 1)) * lost)) / n
    return Spread(float(lost[: _n_top(n)].sum()), gini, _unharmed(data, network, measured), curve)


def _ordered(by: np.ndarray, judge: np.ndarray) -> np.ndarray:
    """Return each layer's share of one half's area, the layers most fragile first by the other half.

    By the same half, the noise that brought a layer to the front would count as damage.
    """
    return judge[np.argsort(-by, kind="stable")] / judge.sum()


def _n_top(n_layers: int) -> int:
    return ceil(TOP * n_layers)


def _unharmed(data: Data, network: str, perturbations: Sequence[str]) -> float:
    shares = []
    for name in perturbations:
        levels = data.facts.levels[name]
        middle = len(levels) // 2
        if len(levels) >= FEWEST and data.level_informs(network, name, levels[middle]):
            shares.append(np.mean(data.drops(network, name)[middle] < POINT))
    return float(np.mean(shares)) if shares else np.nan


def _mean_over_cases(found: Mapping[str, Mapping[str, Spread]]) -> dict[str, Spread]:
    """Return means over use cases, of the networks that have all of them."""
    networks = sorted(set.intersection(*(set(by_network) for by_network in found.values())))
    parts = {network: [by_network[network] for by_network in found.values()] for network in networks}
    return {
        network: Spread(
            float(np.mean([each.top for each in of])),
            float(np.mean([each.gini for each in of])),
            _mean_of_known([each.unharmed for each in of]),
            np.mean([each.curve for each in of], axis=0),
        )
        for network, of in parts.items()
    }


def _mean_of_known(shares: Sequence[float]) -> float:
    known = [share for share in shares if np.isfinite(share)]
    return float(np.mean(known)) if known else np.nan


def _values(data: Data, by_network: Mapping[str, Spread]) -> dict[str, Value]:
    top = {network: PERCENT * spread.top for network, spread in by_network.items()}
    gini = {network: spread.gini for network, spread in by_network.items()}
    shares = {network: PERCENT * spread.unharmed for network, spread in by_network.items()}
    unharmed = {network: share for network, share in shares.items() if np.isfinite(share)}
    found = {
        "top": over_families(top, data.facts, unit="%", digits=0, ends=(0.0, PERCENT)),
        "gini": over_families(gini, data.facts, ends=(-1.0, 1.0)),
    }
    if unharmed:
        found["unharmed"] = over_families(unharmed, data.facts, unit="%", digits=0, ends=(0.0, PERCENT))
    return found


def _mean_curve(data: Data, by_network: Mapping[str, Spread]) -> np.ndarray:
    points = zip(*(spread.curve for spread in by_network.values()), strict=True)
    means = (family_means(dict(zip(by_network, at, strict=True)), data.facts) for at in points)
    return np.array([np.mean(list(by_family.values())) for by_family in means])


def _most_less_least(data: Data, found: Mapping[str, Mapping[str, Spread]], by_top: Sequence[str]) -> Value | None:
    """Return the greatest difference of two use cases; its interval holds for the differences of all pairs at once."""
    pairs = {pair: _paired(found[pair[0]], found[pair[1]]) for pair in combinations(by_top, 2)}
    pairs = {pair: paired for pair, paired in pairs.items() if paired}
    extremes = by_top[0], by_top[-1]
    if extremes not in pairs:
        return None
    return at_once(pairs, data.facts, unit="points", digits=0, difference=True)[extremes]


def _paired(first: Mapping[str, Spread], second: Mapping[str, Spread]) -> dict[str, float]:
    return {network: PERCENT * (spread.top - second[network].top) for network, spread in first.items() if network in second}


def _gap(data: Data, paired: Mapping[str, float]) -> Value:
    return over_families(paired, data.facts, unit="points", digits=0, difference=True)


def _sentences(cases: Mapping[str, Mapping[str, Value]], by_top: Sequence[str], values: Mapping[str, Value]) -> list[str]:
    every, even, more = cases[ALL], values["if all lost alike: top"], values["more than if all lost alike: top"]
    sentences = [
        f"In the mean over use cases the most fragile tenth of the layers (rounded up) bears {every['top']} of the summed "
        f"area. If all lost alike, it would be {even}. The difference, {more}, "
        f"{told(more, 'is above 0', 'is below 0', 'cannot be told from 0')}. The Gini coefficient is {every['gini']}.",
    ]
    if "unharmed" in every:
        sentences.append(
            f"At the middle level, {every['unharmed']} of the layers lose less than one point of accuracy. Left out are "
            "perturbations of one or two levels, and middle levels that tell no layers apart."
        )
    if "most less least: top" in values:
        first, last, gap = by_top[0], by_top[-1], values["most less least: top"]
        sentences.append(
            f"Of the use cases, {readable(first)} has the highest share in that tenth, {cases[first]['top']}, and "
            f"{readable(last)} the lowest, {cases[last]['top']}. The difference, {gap}, "
            f"{told(gap, 'is above 0', 'is below 0', 'cannot be told from 0')}. This interval holds for all pairs at once."
        )
    return sentences


def _table(cases: Mapping[str, Mapping[str, Value]]) -> Table:
    rows: list[list[str | Value]] = [
        [readable(case), *(of_case.get(key, "-") for key in ("top", "gini", "unharmed"))] for case, of_case in cases.items()
    ]
    caption = (
        "Share of the summed area in the most fragile tenth of the layers, and Gini coefficient of the areas. The last "
        "column has the share of the layers that lose under one point at the middle level"
    )
    return Table(caption, ("use case", "in the top tenth", "Gini coefficient", "layers that lose under a point"), rows)


def _figure(curves: Mapping[str, np.ndarray], cases: Mapping[str, Mapping[str, Value]]) -> Figure:
    caption = (
        "Left: share of the summed area in the most fragile layers. Right: share of the layers that lose under one point at "
        "the middle level, with 95 % intervals."
    )
    return Figure(caption, lambda: _drawn(curves, cases))


def _drawn(curves: Mapping[str, np.ndarray], cases: Mapping[str, Mapping[str, Value]]) -> bytes:
    figure, (left, right) = new_figure(4.2, 1, 2)
    for place, (use_case, curve) in enumerate(curves.items()):
        colour, value = COLOURS[place % len(COLOURS)], cases[use_case].get("unharmed")
        left.plot(PERCENT * GRID, PERCENT * curve, color=colour, label=readable(use_case))
        if value:
            right.plot(value.value, place, "o", color=colour)
        if value and value.low is not None:
            right.plot((value.low, value.high), (place, place), color=colour, linewidth=2)
    left.plot((0, 100), (0, 100), color="black", linewidth=0.8, linestyle="--", label="all alike")
    left.legend(frameon=False, fontsize=8, loc="lower right")
    left.set_xlabel("layers, most fragile first, %")
    left.set_ylabel("share of the summed area, %")
    right.set_yticks(range(len(curves)), [readable(use_case) for use_case in curves])
    right.invert_yaxis()
    right.set_xlim(0, 100)
    right.set_xlabel("layers that lose under one point, %")
    return encoded(figure)
