"""Which kinds of network blind criteria fail on, and by how many of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from docs.findings.chosen import best, candidates, is_blind, listed
from docs.findings.data import HEADLINE, Data
from docs.findings.drawing import COLOURS, encoded, new_figure, readable
from docs.findings.families import over_families, told_of
from docs.findings.finding import Figure, Finding, Table, Value
from safer_bench.evaluation.board import Board
from safer_bench.evaluation.bootstrap import MIN_FAMILIES
from safer_bench.evaluation.kinds import kinds_of
from safer_bench.stream import Stream

TITLE = "Kinds of network that blind criteria fail on"
QUESTION = "Are the layers of some kinds of network harder to rank without seeing the perturbation than those of others?"
ALL = "all use cases"
SHUFFLES, RARE = 10_000, 5.0  # percent of shuffles
Numbers = Mapping[str, float]  # of networks


@dataclass(frozen=True, slots=True)
class Case:
    """What one board says, by network.

    Attributes:
        criterion: the blind one that is best on validation networks.
        reached: what it reaches.
        typical: the median over the blind criteria, network by network.
        each: what every blind criterion reaches.
        limit: what the best single ranking of the layers reaches; empty where that is not known of every network.
    """

    criterion: str
    reached: Numbers
    typical: Numbers
    each: Mapping[str, Numbers]
    limit: Numbers


def find(data: Data) -> Finding | None:
    """Return the finding; None without validation networks, or where all test networks are of one kind."""
    kinds = _kinds(data)
    if len(kinds) < 2:
        return None
    made = {use_case or ALL: _case(data, use_case) for use_case in (None, *data.use_cases)}
    cases = {name: case for name, case in made.items() if case is not None}
    if ALL not in cases:
        return None
    values = _values(data, cases, kinds)
    elsewhere = _elsewhere(data, cases[ALL].criterion)
    of_others = {
        f"{where}/{kind}/{what}": value
        for where, of_where in elsewhere.items()
        for kind, means in of_where.items()
        for what, value in means.items()
    }
    return Finding(
        title=TITLE,
        question=QUESTION,
        sentences=_sentences(data, cases, kinds, values),
        tables=[*_tables(data, cases, kinds, values), *_others(elsewhere, cases[ALL].criterion)],
        figure=Figure(
            f"Spearman's correlation by kind of network, mean over use cases, of the blind criterion chosen on validation "
            f"networks ({cases[ALL].criterion}) and of the median. A dot is a family, a line a kind.",
            lambda: _draw(data, cases[ALL], kinds),
        ),
        values=values | of_others,
        limits=[
            "The table counts shuffles use case by use case, uncorrected for the number of use cases.",
            _number(data, kinds),
        ],
    )


def _elsewhere(data: Data, criterion: str) -> dict[str, dict[str, dict[str, Value]]]:
    """Return what that criterion and the median blind one reach, by other dataset and split and by kind of network."""
    found: dict[str, dict[str, dict[str, Value]]] = {}
    for dataset, split in sorted({(truth.dataset, truth.split) for truth in data.networks.values()} - {HEADLINE}):
        board = data.board(None, dataset, split)
        case = _of_board(board, criterion) if board else None
        if case is None:
            continue
        for kind, networks in _kinds(data, dataset, split).items():
            both = {f"chosen blind, {criterion}": case.reached, "median blind": case.typical}
            means = {
                what: over_families({network: numbers[network] for network in networks}, data.facts, ends=(-1.0, 1.0))
                for what, numbers in both.items()
            }
            found.setdefault(f"{readable(dataset)}, {split}", {})[kind] = means
    return found


def _case(data: Data, use_case: str | None) -> Case | None:
    test = data.board(use_case)
    criterion = best(data.board(use_case, split="validation"), is_blind, test) if test else None
    return _of_board(test, criterion) if test and criterion else None


def _of_board(board: Board, criterion: str) -> Case | None:
    rows = candidates(board, is_blind)
    reached = next((row.by_network for row in rows if row.criterion == criterion), None)
    if reached is None:
        return None
    typical = {network: median(row.by_network[network] for row in rows) for network in reached}
    limit = board.ceilings["blind"].by_network
    return Case(
        criterion,
        reached,
        typical,
        {row.criterion: row.by_network for row in rows},
        limit if set(limit) == set(reached) else {},
    )


def _kinds(data: Data, *population: str) -> dict[str, list[str]]:
    """Return the networks of each kind; by default of the headline, else of a dataset and split."""
    found: dict[str, list[str]] = {}
    for network in data.population(*population):
        found.setdefault(data.facts.kinds.get(network) or "own", []).append(network)
    return {kind: found[kind] for kind in sorted(found)}


def _values(data: Data, cases: Mapping[str, Case], kinds: Mapping[str, Sequence[str]]) -> dict[str, Value]:
    found = {}
    for name, case in cases.items():
        columns = {
            f"chosen blind, {case.criterion}": case.reached,
            "median blind": case.typical,
            "single ranking": case.limit,
        }
        for what, numbers in columns.items():
            if numbers:
                for kind, networks in kinds.items():
                    of_kind = {network: numbers[network] for network in networks}
                    found[f"{name}/{kind}/{what}"] = over_families(of_kind, data.facts, ends=(-1.0, 1.0))
                found[f"{name}/{what}, shuffled kinds that differ as much"] = _by_chance(data, numbers)
    return found


def _by_chance(data: Data, numbers: Numbers) -> Value:
    """Return in how many shuffles of the families between kinds their means differ as much as they do, percent.

    How far means differ is the variance between kinds, each weighted by its number of families; a permutation test.
    """
    by_family: dict[str, list[float]] = {}
    for network, number in numbers.items():
        by_family.setdefault(data.facts.families[network], []).append(number)
    families = sorted(by_family)
    means = np.array([np.mean(by_family[family]) for family in families])
    kinds = kinds_of(families, data.facts)
    orders = np.argsort(Stream("kinds", 0).uniform((SHUFFLES, len(families))), axis=1)
    members = (kinds == np.arange(kinds.max() + 1)[:, None]) / np.bincount(kinds)[:, None] ** 0.5  # (n_kinds, n_families)
    spread = np.sum(((means - means.mean()) @ members.T) ** 2)
    shuffled = np.sum(((means - means.mean())[orders] @ members.T) ** 2, axis=1)
    share = (1 + np.sum(shuffled >= spread * (1 - 1e-9))) / (1 + SHUFFLES)
    return Value(100 * float(share), unit="%", digits=2, reason=f"of {SHUFFLES:,} shuffles of {len(families)} families")


def _key(cases: Mapping[str, Case], name: str, kind: str, best_one: bool = True) -> str:
    return f"{name}/{kind}/chosen blind, {cases[name].criterion}" if best_one else f"{name}/{kind}/median blind"


def _sentences(
    data: Data, cases: Mapping[str, Case], kinds: Mapping[str, Sequence[str]], values: Mapping[str, Value]
) -> list[str]:
    best_blind, typical = ({kind: values[_key(cases, ALL, kind, one)] for kind in kinds} for one in (True, False))
    chosen = f"The blind criterion chosen on validation networks (`{cases[ALL].criterion}`)"
    made = []
    for what, of_kind in ((chosen, best_blind), ("The median over blind criteria, network by network,", typical)):
        least, most = _extremes(of_kind)
        made.append(
            f"{what} reaches least on {readable(least)} networks, {of_kind[least]}. It reaches most on {readable(most)} "
            f"ones, {of_kind[most]}."
        )
    limits = {kind: value for kind in kinds if (value := values.get(f"{ALL}/{kind}/single ranking"))}
    if len(limits) == len(kinds):
        told = [f"On {readable(kind)} networks it reaches {value}." for kind, value in limits.items()]
        made.append(f"The best single ranking bounds them. {' '.join(told)}")
    return [
        " ".join(made),
        _lowest(data, cases[ALL], kinds),
        _chance(cases, values),
        _by_use_case(cases, kinds, values),
    ]


def _lowest(data: Data, case: Case, kinds: Mapping[str, Sequence[str]]) -> str:
    """Return on which kind most of the blind criteria reach least, and how many do."""
    lowest: list[str] = []
    for numbers in case.each.values():
        means = {
            kind: over_families({name: numbers[name] for name in networks}, data.facts).value
            for kind, networks in kinds.items()
        }
        lowest.append(min(means, key=lambda kind: means[kind]))
    most = max(kinds, key=lowest.count)
    return f"{lowest.count(most)} of {len(lowest)} blind criteria reach least on {readable(most)} networks."


def _extremes(of_kind: Mapping[str, Value]) -> tuple[str, str]:
    ordered = sorted(of_kind, key=lambda kind: of_kind[kind].value)
    return ordered[0], ordered[-1]


def _chance(cases: Mapping[str, Case], values: Mapping[str, Value]) -> str:
    share = _shuffled(ALL, cases, values)
    word = "more than chance explains" if share.value < RARE else "no more than chance may explain"
    return (
        f"By `{cases[ALL].criterion}` alone, kinds differ by {word}. When families are shuffled between kinds, their means "
        f"are as far apart in {share}."
    )


def _shuffled(name: str, cases: Mapping[str, Case], values: Mapping[str, Value]) -> Value:
    return values[f"{name}/chosen blind, {cases[name].criterion}, shuffled kinds that differ as much"]


def _by_use_case(cases: Mapping[str, Case], kinds: Mapping[str, Sequence[str]], values: Mapping[str, Value]) -> str:
    least: dict[str, list[str]] = {}
    for name in cases:
        if name != ALL:
            kind, _ = _extremes({kind: values[_key(cases, name, kind)] for kind in kinds})
            least.setdefault(kind, []).append(readable(name))
    told = [
        f"reaches least on {readable(kind)} networks in {listed(least[kind])}."
        for kind in sorted(least, key=lambda kind: -len(least[kind]))
    ]
    return f"The blind criterion chosen for each use case {' It '.join(told)}"


def _number(data: Data, kinds: Mapping[str, Sequence[str]]) -> str:
    sizes = {kind: len({data.facts.families[network] for network in networks}) for kind, networks in kinds.items()}
    with_interval = [readable(kind) for kind, n in sizes.items() if n >= MIN_FAMILIES]
    if not with_interval:
        return f"No kind has {MIN_FAMILIES} families, so no interval is given. A new family may differ."
    return f"Of {listed(with_interval)} alone there are {MIN_FAMILIES} families, so that an interval is given."


def _tables(
    data: Data, cases: Mapping[str, Case], kinds: Mapping[str, Sequence[str]], values: Mapping[str, Value]
) -> list[Table]:
    header = ["kind", "networks", f"`{cases[ALL].criterion}`", "median over blind", "best single ranking"]
    rows = []
    for kind, networks in kinds.items():
        limit = values.get(f"{ALL}/{kind}/single ranking", "-")
        of_kind = [values[_key(cases, ALL, kind, one)] for one in (True, False)]
        rows.append([readable(kind), told_of(networks, data.facts), *of_kind, limit])
    chosen = "the blind criterion chosen on validation networks"
    caption = f"Spearman's correlation by kind, mean over use cases, of {chosen}, of the median, and of their bound"
    tables = [Table(caption, header, rows)]
    for what, best_one in ((chosen, True), ("the median over blind criteria", False)):
        by_case: list[list[str | Value]] = [
            [
                readable(name),
                *([f"`{case.criterion}`"] if best_one else []),
                *(values[_key(cases, name, kind, best_one)] for kind in kinds),
                *([_shuffled(name, cases, values)] if best_one else []),
            ]
            for name, case in cases.items()
        ]
        names = ["use case", *(["criterion"] if best_one else []), *map(readable, kinds)]
        header = [*names, *(["shuffles with kinds as far apart"] if best_one else [])]
        tables.append(Table(f"Spearman's correlation of {what} by use case and kind", header, by_case))
    return tables


def _others(elsewhere: Mapping[str, Mapping[str, Mapping[str, Value]]], criterion: str) -> list[Table]:
    rows: list[list[str | Value]] = [
        [where, readable(kind), *means.values()] for where, kinds in elsewhere.items() for kind, means in kinds.items()
    ]
    caption = (
        f"The same of other networks, mean over use cases. `{criterion}` was chosen on Fashion-MNIST's validation networks"
    )
    return [Table(caption, ["networks", "kind", f"`{criterion}`", "median over blind"], rows)] if rows else []


def _draw(data: Data, case: Case, kinds: Mapping[str, Sequence[str]]) -> bytes:
    figure, (axis,) = new_figure(3.2)
    shown = (
        (case.reached, COLOURS[0], f"chosen blind ({case.criterion})", -0.15),
        (case.typical, COLOURS[6], "median over blind", 0.15),
    )
    for numbers, colour, label, shift in shown:
        for i, networks in enumerate(kinds.values()):
            by_family: dict[str, list[float]] = {}
            for network in networks:
                by_family.setdefault(data.facts.families[network], []).append(numbers[network])
            means = [float(np.mean(each)) for each in by_family.values()]
            axis.scatter(means, [i + shift] * len(means), s=22, color=colour, alpha=0.7, label=label if not i else None)
            axis.vlines(np.mean(means), i + shift - 0.12, i + shift + 0.12, color=colour, lw=2.5)
    axis.set_yticks(range(len(kinds)), [readable(kind) for kind in kinds])
    axis.set_ylim(len(kinds) - 0.5, -0.5)
    axis.set_xlabel("Spearman's correlation, mean over use cases")
    axis.legend(fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return encoded(figure)
