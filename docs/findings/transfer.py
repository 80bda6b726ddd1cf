"""Whether what was measured on one network ranks the layers of its relatives."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from docs.findings import agreement
from docs.findings.chosen import best, candidates, is_blind, row_of
from docs.findings.data import HEADLINE, Data
from docs.findings.drawing import COLOURS, encoded, new_figure, readable
from docs.findings.families import over_families, told_of
from docs.findings.finding import Figure, Finding, Table, Value, told
from docs.findings.matching import matched
from safer_bench.metrics import spearman
from safer_bench.tables.grouping import grouped

Array = np.ndarray
TITLE = "Does a ranking transfer?"
QUESTION = "Does a measurement of one network rank the layers of another seed, architecture or dataset?"
ENDS, DIFFERENCES = (-1.0, 1.0), (-2.0, 2.0)
TWIN = re.compile(r"twin_([a-z]+_[a-z]+)_\d+")  # an architecture and its training, in several seeds
SEEDS, ARCHITECTURES, DATASETS = "another seed", "another architecture of the family", "another dataset, same family"
CHOSEN_ON = (HEADLINE[0], "validation")  # dataset and split of the networks that the blind criterion was chosen on


@dataclass(frozen=True, slots=True)
class Pair:
    """A network whose areas rank the layers of another.

    Attributes:
        source, target: names.
        way: what differs between them.
        by_case: Spearman's correlation with the target's areas, mean over a use case's perturbations.
        corrected: the same without the noise of both, mean over use cases; nan where reliabilities are not known.
    """

    source: str
    target: str
    way: str
    by_case: Mapping[str, float]
    corrected: float

    @property
    def measured(self) -> float:
        """The mean over use cases."""
        return float(np.mean(list(self.by_case.values())))


def find(data: Data) -> Finding | None:
    """Return the finding; None where no network has a relative."""
    studied = {SEEDS: data.seeds or data, ARCHITECTURES: data, DATASETS: data}
    every = [*_pairs(data), *(_pairs(data.seeds) if data.seeds else [])]
    ways = {way: pairs for way in studied if (pairs := [pair for pair in every if pair.way == way])}
    if not ways:
        return None
    values: dict[str, Value] = {}
    for way, of_way in ways.items():
        values |= _values(data, studied[way], way, of_way)
    for pair in (pair for of_way in ways.values() for pair in of_way):
        single = {"": pair.measured, ", without noise": pair.corrected}
        values |= {f"{pair.source} to {pair.target}{key}": _one(of) for key, of in single.items() if not np.isnan(of)}
    return Finding(
        title=TITLE,
        question=QUESTION,
        sentences=_sentences(ways, values),
        tables=_tables(studied, ways, values),
        figure=Figure(
            "Spearman's correlation between the areas of a network and those of its relatives, mean over use cases and "
            "relatives. A dot is a network, of test or validation.",
            lambda: _draw(ways),
        ),
        values=values,
        limits=_limits(ways),
    )


def way_between(source: str, target: str, data: Data) -> str | None:
    """Return what differs between two networks; None where that says nothing of how a ranking transfers."""
    twins = TWIN.fullmatch(source), TWIN.fullmatch(target)
    if all(twins):
        return SEEDS if twins[0][1] == twins[1][1] else None  # type: ignore[index]
    if any(twins) or data.facts.families[source] != data.facts.families[target]:
        return None
    return ARCHITECTURES if data.facts.datasets[source] == data.facts.datasets[target] else DATASETS


def _pairs(data: Data) -> list[Pair]:
    return [pair for names in permutations(sorted(data.networks), 2) if (pair := _pair(data, *names))]


def _pair(data: Data, source: str, target: str) -> Pair | None:
    way = way_between(source, target, data)
    cases = {
        case: [p for p in names if data.has(source, p) and data.has(target, p)] for case, names in data.use_cases.items()
    }
    cases = {case: names for case, names in cases.items() if names}
    if way is None or not cases:
        return None
    of_target, of_source = data.networks[target].layers, data.networks[source].layers
    by_case, corrected = {}, []
    for case, names in cases.items():
        both = [(data.area(target, name), matched(of_source, data.area(source, name), of_target)) for name in names]
        found = [float(spearman(truth=area, scores=predicted)) for area, predicted in both]
        by_case[case] = float(np.mean(np.nan_to_num(found)))
        kept = [data.kept(source, name) * data.kept(target, name) for name in names]
        corrected.append(agreement.corrected((*each, left) for each, left in zip(both, kept, strict=True)))
    known = [value for value in corrected if value is not None]
    return Pair(source, target, way, by_case, float(np.mean(known)) if len(known) == len(corrected) else np.nan)


def _by_target(pairs: Sequence[Pair], number: Callable[[Pair], float]) -> dict[str, float]:
    """Return the mean over sources of each target."""
    targets = sorted({pair.target for pair in pairs})
    return {target: float(np.mean([number(pair) for pair in pairs if pair.target == target])) for target in targets}


def _values(data: Data, of: Data, way: str, pairs: Sequence[Pair]) -> dict[str, Value]:
    """Return what is found of one way; ``of`` has its networks."""
    measured = _by_target(pairs, lambda pair: pair.measured)
    found = {f"{way}/measured": over_families(measured, of.facts, ends=ENDS)}
    corrected = _by_target(pairs, lambda pair: pair.corrected)
    if all(np.isfinite(value) for value in corrected.values()):
        found[f"{way}/corrected"] = over_families(corrected, of.facts, ends=ENDS)
    for case in of.use_cases:
        there = [pair for pair in pairs if case in pair.by_case]
        if there:
            of_case = _by_target(there, lambda pair: pair.by_case[case])  # noqa: B023
            found[f"{way}/{case}"] = over_families(of_case, of.facts, ends=ENDS)
    blind = {target: value for target in measured if (value := _blind(data, of, target)) is not None}
    if blind:
        gain = {target: measured[target] - value for target, value in blind.items()}
        there_too = {target: measured[target] for target in blind}
        found[f"{way}/measured beside blind"] = over_families(there_too, of.facts, ends=ENDS)
        found[f"{way}/best blind"] = over_families(blind, of.facts, ends=ENDS)
        found[f"{way}/measured - best blind"] = over_families(gain, of.facts, ends=DIFFERENCES, difference=True)
    best_there = _best_in_hindsight(of, measured) if way == SEEDS else {}
    if best_there:
        found[f"{way}/best blind in hindsight"] = over_families(best_there, of.facts, ends=ENDS)
    return found


def _best_in_hindsight(of: Data, networks: Collection[str]) -> dict[str, float]:
    """Return what the blind criterion reaches that turned out best on the networks of each split; empty without scores."""
    found: dict[str, float] = {}
    places = {(of.facts.datasets[name], of.facts.splits[name]) for name in networks if "scores" in of.tables}
    for place in sorted(places):
        board = of.board(None, *place)
        rows = candidates(board, is_blind) if board else []
        if rows:
            found |= {name: value for name, value in rows[0].by_network.items() if name in networks}
    return found


def _blind(data: Data, of: Data, network: str) -> float | None:
    """Return what the blind criterion reaches that is best on the headline's validation networks, mean over use cases.

    None on networks that it was chosen on, or of a study without scores: they are no test of it.
    """
    where = of.facts.datasets[network], of.facts.splits[network]
    if where == CHOSEN_ON or "scores" not in of.tables:
        return None
    test = data.board()
    criterion = best(data.board(split="validation"), is_blind, test) if test else None
    board = of.board(None, *where)
    row = row_of(board, criterion) if board and criterion else None
    return row.by_network.get(network) if row else None


def _sentences(ways: Mapping[str, Sequence[Pair]], values: Mapping[str, Value]) -> list[str]:
    made = []
    for way in ways:
        measured, corrected = values[f"{way}/measured"], values.get(f"{way}/corrected")
        told_in = [f"**To {way}**, a measurement ranks layers with a correlation of {measured}."]
        told_in += [f"Without the noise of both, it would be {corrected}."] if corrected else []
        hindsight = values.get(f"{way}/best blind in hindsight")
        told_in += _beside_blind(way, values)
        told_in += (
            [f"In hindsight the best blind criterion of each split reaches {hindsight} on all of them."] if hindsight else []
        )
        made.append(" ".join(told_in))
    return made


def _limits(ways: Collection[str]) -> list[str]:
    matching = (
        "Between architectures, layers are matched by their role (their name without the numbers of blocks) and, within it, "
        "by relative depth. Values are interpolated between two layers. That averages noise away, so corrected numbers come "
        "out a little high."
    )
    no_seeds = "This truth has no networks that differ by their seed alone: what a seed changes is not told."
    return [matching] if SEEDS in ways else [no_seeds, matching]


def _beside_blind(way: str, values: Mapping[str, Value]) -> list[str]:
    if f"{way}/best blind" not in values:
        return []
    gain = values[f"{way}/measured - best blind"]
    neither = "too few families to tell which is better" if gain.reason else "not told apart from 0"
    word = told(gain, "so the relative's measurement is better", "so the criterion is better", neither)
    return [
        f"Where the blind criterion was not chosen, it reaches {values[f'{way}/best blind']}, and the measurement "
        f"{values[f'{way}/measured beside blind']}.",
        f"The difference is {gain}, {word}.",
    ]


def _tables(studied: Mapping[str, Data], ways: Mapping[str, Sequence[Pair]], values: Mapping[str, Value]) -> list[Table]:
    keys = ("measured", "corrected", "best blind", "measured - best blind")
    rows = [
        [way, _population(studied[way], of_way), *(values.get(f"{way}/{key}", "-") for key in keys)]
        for way, of_way in ways.items()
    ]
    names = ["as measured", "without noise", "best blind criterion", "measured minus blind"]
    tables = [
        Table(
            "Spearman's correlation, mean over use cases. Blind: on the networks that the criterion was not chosen on",
            ["from a network to", "predicted", *names],
            rows,
        )
    ]
    of_case = [[readable(case), *(values.get(f"{way}/{case}", "-") for way in ways)] for case in studied[DATASETS].use_cases]
    tables.append(
        Table(
            "Spearman's correlation as measured, by use case, networks of test and validation", ["use case", *ways], of_case
        )
    )
    related = [pair for way, of_way in ways.items() if way != SEEDS for pair in of_way]
    if related:
        each = [[pair.source, pair.target, pair.way, _one(pair.measured), _without_noise(pair)] for pair in related]
        tables.append(
            Table(
                "Each pair of networks, of test or validation, mean over use cases",
                ["measured on", "predicts", "which is", "as measured", "without noise"],
                each,
            )
        )
    return tables


def _one(value: float) -> Value:
    return Value(value, reason="1 network")


def _without_noise(pair: Pair) -> Value | str:
    return "-" if np.isnan(pair.corrected) else _one(pair.corrected)


def _population(data: Data, pairs: Sequence[Pair]) -> str:
    by_where = grouped(
        sorted({pair.target for pair in pairs}), key=lambda name: (data.facts.datasets[name], data.facts.splits[name])
    )
    places = [f"{readable(dataset)}, {split}: {len(by_where[dataset, split])}" for dataset, split in sorted(by_where)]
    return f"{told_of({pair.target for pair in pairs}, data.facts)} ({'; '.join(places)})"


def _draw(ways: Mapping[str, Sequence[Pair]]) -> bytes:
    figure, (axis,) = new_figure(1.4 + 0.6 * len(ways))
    shown: tuple[tuple[str, str, Callable[[Pair], float], float], ...] = (
        ("as measured", COLOURS[0], lambda pair: pair.measured, -0.15),
        ("without noise", COLOURS[1], lambda pair: pair.corrected, 0.15),
    )
    for label, colour, number, shift in shown:
        for i, pairs in enumerate(ways.values()):
            found = [value for value in _by_target(pairs, number).values() if np.isfinite(value)]
            axis.scatter(found, [i + shift] * len(found), s=22, color=colour, alpha=0.7, label=None if i else label)
    axis.set_yticks(range(len(ways)), list(ways))
    axis.set_ylim(len(ways) - 0.5, -0.5)
    axis.set_xlabel("Spearman's correlation, mean over use cases")
    axis.legend(fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return encoded(figure)
