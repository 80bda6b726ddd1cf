"""Gradient against random corruption, of equal norm and of equally many entries."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from docs.findings import agreement
from docs.findings.data import Data
from docs.findings.drawing import COLOURS, encoded, new_figure, reach
from docs.findings.families import over_families, range_of, told_of
from docs.findings.finding import Figure, Finding, Table, Value, told

TITLE = "How much worse is the worst case than a random one?"
QUESTION = "Does corruption along the gradient do more harm than a random one of the same size, and to the same layers?"
PAIRS = {
    "L2, all entries": ("gradient_corruption_l2", "random_corruption_l2"),
    "L∞, all entries": ("gradient_corruption_linf", "random_corruption_linf"),
    "L2, 1 % of entries": ("gradient_corruption_l2_topk", "random_corruption_l2_randk"),
    "L∞, 1 % of entries": ("gradient_corruption_linf_topk", "random_corruption_linf_randk"),
}
GRADIENT, RANDOM = 0, 1
SHARE = 0.2  # of the accuracy above chance: lost by the mean layer at the norms that are compared
LOSS = f"{100 * SHARE:.0f} % of the accuracy above chance"
POINTS = 100.0
Curves = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Compared:
    """One kind of norm.

    Attributes:
        levels: norms of both, relative to the layer's own, mild to severe.
        drops: mean drop over layers at each of them, in points.
        norm: at which both were measured; None where their levels do not overlap.
        at_norm: drops of both there, interpolated, and the former minus the latter.
        ratio: how many times the norm a random corruption needs for the same drop; None where no network tells.
        networks: that tell it.
        alike: agreement of the two rankings of layers, corrected for noise; None where it is unknown.
    """

    levels: tuple[list[float], list[float]]
    drops: tuple[list[Value], list[Value]]
    norm: float | None
    at_norm: tuple[Value, Value, Value] | None
    ratio: Value | None
    networks: tuple[str, ...]
    alike: Value | None


def find(data: Data) -> Finding | None:
    """Return what gradient and random corruption cost, by norm; None where no pair of them was measured."""
    found = {}
    for title, pair in PAIRS.items():
        networks = [name for name in data.population() if all(data.has(name, perturbation) for perturbation in pair)]
        if networks:
            found[title] = _compared(data, pair, networks)
    if not found:
        return None
    values = {f"{title}: {key}": value for title, compared in found.items() for key, value in _values(compared).items()}
    return Finding(TITLE, QUESTION, _sentences(found), _tables(data, found), _figure(found), values)


def _compared(data: Data, pair: tuple[str, str], networks: list[str]) -> Compared:
    levels = [data.facts.levels[name] for name in pair]
    curves: list[Curves] = [{network: data.drops(network, name).mean(axis=1) for network in networks} for name in pair]
    norm = _common(*levels)
    ratios = _ratios(data, levels, curves)
    alike = {network: agreement.between(data, network, pair[:1], pair[1:]) for network in networks}
    known = {network: value for network, value in alike.items() if value is not None}
    drops = [
        [_points(data, {network: curve[i] for network, curve in of.items()}) for i in range(len(at))]
        for at, of in zip(levels, curves, strict=True)
    ]
    return Compared(
        levels=(levels[GRADIENT], levels[RANDOM]),
        drops=(drops[GRADIENT], drops[RANDOM]),
        norm=norm,
        at_norm=None if norm is None else _at(data, norm, levels, curves),
        ratio=over_families(ratios, data.facts, unit="times", digits=1, difference=True, geometric=True) if ratios else None,
        networks=tuple(sorted(ratios)),
        alike=over_families(known, data.facts, ends=agreement.ENDS) if known else None,
    )


def _common(first: list[float], second: list[float]) -> float | None:
    """Return the middle, on a logarithmic scale, of the norms between the least and the greatest of both."""
    least, greatest = max(first[0], second[0]), min(first[-1], second[-1])
    return float(np.sqrt(least * greatest)) if least <= greatest else None


def _at(data: Data, norm: float, levels: list[list[float]], curves: list[Curves]) -> tuple[Value, Value, Value]:
    there = [
        {network: float(np.interp(np.log10(norm), np.log10(at), curve)) for network, curve in of.items()}
        for at, of in zip(levels, curves, strict=True)
    ]
    gap = {network: drop - there[RANDOM][network] for network, drop in there[GRADIENT].items()}
    return _points(data, there[GRADIENT]), _points(data, there[RANDOM]), _points(data, gap, difference=True)


def _points(data: Data, drops: Mapping[str, float], *, difference: bool = False) -> Value:
    points = {network: POINTS * float(drop) for network, drop in drops.items()}
    found = over_families(points, data.facts, unit="points", digits=1, difference=difference)
    if not difference and found.low is not None and found.low < 0.0 < min(points.values()):
        return replace(found, low=None, high=None, reason=range_of(points, 1))  # few lose much: no symmetric interval fits
    return found


def _ratios(data: Data, levels: list[list[float]], curves: list[Curves]) -> dict[str, float]:
    """Return how many times the norm a random corruption needs for the drop, of the networks whose levels tell it."""
    found = {}
    for network in curves[GRADIENT]:
        drop = SHARE * data.above_chance(network)
        gradient, random = (_reached(at, of[network], drop) for at, of in zip(levels, curves, strict=True))
        if gradient is not None and random is not None:
            found[network] = random / gradient
    return found


def _reached(levels: list[float], curve: np.ndarray, drop: float) -> float | None:
    """Return the level that reaches the mean drop first, between two levels on a logarithmic scale; None beyond them."""
    after = int(np.argmax(curve >= drop))
    if after == 0 or curve[after] < drop:
        return None
    part = (drop - curve[after - 1]) / (curve[after] - curve[after - 1])
    low, high = np.log10(levels[after - 1]), np.log10(levels[after])
    return float(10.0 ** (low + part * (high - low)))


def _values(compared: Compared) -> dict[str, Value]:
    found = {
        f"{name} at {level:g}": drop
        for name, levels, drops in zip(("gradient", "random"), compared.levels, compared.drops, strict=True)
        for level, drop in zip(levels, drops, strict=True)
    }
    if compared.at_norm is not None:
        found |= zip(
            ("gradient at equal norm", "random at equal norm", "difference at equal norm"), compared.at_norm, strict=True
        )
    rest = {"ratio of norms": compared.ratio, "agreement": compared.alike}
    return {**found, **{key: value for key, value in rest.items() if value is not None}}


def _sentences(found: Mapping[str, Compared]) -> list[str]:
    sentences = []
    for title, compared in found.items():
        if compared.at_norm is not None:
            gradient, random, gap = compared.at_norm
            answer = told(gap, "costs more than", "costs less than", "cannot be told from")
            sentences.append(
                f"**{title}**: at {compared.norm:.2f} times the layer's norm, corruption along the gradient {answer} "
                f"a random one. The mean layer loses {gradient} against {random}, a difference of {gap}."
            )
    ratios = [f"{title}: {compared.ratio}{_which(compared.ratio)}." for title, compared in found.items() if compared.ratio]
    if ratios:
        sentences.append(
            f"To take {LOSS} from the mean layer, a random corruption needs so many times the norm of the gradient's. "
            f"{' '.join(ratios)}"
        )
    alike = [f"{title}: {compared.alike}." for title, compared in found.items() if compared.alike]
    if alike:
        below = [title for title, compared in found.items() if compared.alike and (compared.alike.high or 1.0) < 1.0]
        names = "all norms" if len(below) == len(alike) else _listed(below) if below else "no norm"
        sentences.append(
            f"The rankings of layers by both have these correlations, corrected for noise. {' '.join(alike)} They agree in "
            f"part (below 1) for {names}."
        )
    return sentences


def _which(ratio: Value) -> str:
    return told(ratio, "", ", less", ", which cannot be told from once", than=1.0)


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _tables(data: Data, found: Mapping[str, Compared]) -> list[Table]:
    first: list[list[str | Value]] = []
    second: list[list[str | Value]] = []
    for title, compared in found.items():
        at_norm = ["-"] * 4 if compared.at_norm is None else [f"{compared.norm:.2f}", *compared.at_norm]
        told_by = told_of(compared.networks, data.facts) if compared.networks else "-"
        first.append([title, *at_norm, compared.ratio or "-", told_by, compared.alike or "-"])
        for name, levels, drops in zip(("gradient", "random"), compared.levels, compared.drops, strict=True):
            second.append([title, name, *(f"{level:g}: {drop}" for level, drop in zip(levels, drops, strict=True))])
    header = ("norm", "at", "gradient", "random", "difference", "random needs", "told by", "agreement of rankings")
    caption = (
        f'Accuracy lost in the mean over layers at equal norm. "Random needs": how many times the norm a random corruption '
        f"needs to take {LOSS}"
    )
    n_levels = max(len(row) for row in second) - 2
    levels_header = ("norm", "direction", *(f"level {i + 1}" for i in range(n_levels)))
    return [
        Table(caption, header, first),
        Table(
            "Accuracy lost in the mean over layers at each level. Where every network loses and an interval would reach "
            "below 0, the range of the networks stands for it",
            levels_header,
            second,
        ),
    ]


def _figure(found: Mapping[str, Compared]) -> Figure:
    caption = (
        "Accuracy lost when one layer is corrupted, mean over layers, by the norm, with 95 % intervals where there are any."
    )
    return Figure(caption, lambda: _drawn(found))


def _drawn(found: Mapping[str, Compared]) -> bytes:
    figure, panels = new_figure(5.6, 2, 2)
    for axes, (title, compared) in zip(panels, found.items(), strict=False):
        for i, name in enumerate(("along the gradient", "at random")):
            levels, drops = compared.levels[i], compared.drops[i]
            style = {"fmt": "o-", "ms": 4, "capsize": 2, "color": COLOURS[1 - i]}
            axes.errorbar(levels, [drop.value for drop in drops], yerr=reach(drops), label=name, **style)
        axes.set_xscale("log")
        axes.set_title(title, fontsize=10)
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    for axes in panels[len(found) :]:
        axes.set_axis_off()
    panels[0].legend(frameon=False)
    figure.supxlabel("norm of the corruption, relative to the layer's", fontsize=10)
    figure.supylabel("accuracy lost, points", fontsize=10)
    return encoded(figure)
