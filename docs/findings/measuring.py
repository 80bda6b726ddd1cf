"""What measuring on a few examples buys beside the best criterion that costs no more."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from docs.findings.chosen import best, candidates, is_aware, is_blind, listed, row_of
from docs.findings.data import Data
from docs.findings.drawing import COLOURS, encoded, new_figure, reach, readable
from docs.findings.families import over_families, told_of
from docs.findings.finding import Figure, Finding, Table, Value, told
from safer_bench.evaluation.board import Board

TITLE = "What measuring buys"
QUESTION = "Does a criterion rank layers better than measuring them on 32, 128 or 512 examples does, at equal cost?"
EXAMPLES = (32, 128, 512)
ALL = "all use cases"
ENDS, DIFFERENCES = (-1.0, 1.0), (-2.0, 2.0)  # of correlations, and of differences of two
TRACKS = {"blind": is_blind, "aware": is_aware}
Costs = Mapping[str, Mapping[str, tuple[float, float]]]  # {criterion: {network: (forward passes, seconds)}}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Measuring beside the best criterion of a track that costs no more: its name, and measuring minus it."""

    criterion: str
    difference: Value

    def __str__(self) -> str:
        return f"{self.difference} `{self.criterion}`"


@dataclass(frozen=True, slots=True)
class Case:
    """One use case, or all.

    Attributes:
        measured: Spearman's correlation that measuring on so many examples reaches.
        against: by number of examples and track; None where no criterion costs so little.
        aware, reached: the aware criterion that is best on validation networks, and what it reaches.
        beyond: that minus measuring on the most examples.
    """

    measured: dict[int, Value]
    against: dict[tuple[int, str], Comparison | None]
    aware: str
    reached: Value
    beyond: Value


def find(data: Data) -> Finding | None:
    """Return the finding; None without the controls that measure, costs, or a criterion chosen on validation networks."""
    costs = _costs(data)
    if not costs:
        return None
    made = {use_case or ALL: _case(data, use_case, costs) for use_case in (None, *data.use_cases)}
    cases = {name: case for name, case in made.items() if case is not None}
    if ALL not in cases:
        return None
    values = {key: value for name, case in cases.items() for key, value in _values(name, case).items()}
    shown = [*(f"measured_drop_{n}" for n in EXAMPLES), *dict.fromkeys(case.aware for case in cases.values())]
    prices = {name: _prices(costs[name]) for name in shown}
    for name, (passes, seconds) in prices.items():
        values |= {f"{name}/forward passes": passes, f"{name}/seconds": seconds}
    return Finding(
        title=TITLE,
        question=QUESTION,
        sentences=[*_sentences(cases), _best_aware(cases[ALL], prices), _shares(data)],
        tables=[*_tables(cases, told_of(data.population(), data.facts)), _price_table(prices)],
        figure=Figure(
            "Left: Spearman's correlation of every criterion against what it costs, mean over use cases, median cost of a "
            "network. Right: measuring on 32 examples minus the best criterion that costs no more, by use case, with 95 % "
            "intervals.",
            lambda: _draw(data, cases, costs),
        ),
        values=values,
    )


def _costs(data: Data) -> Costs:
    costs: dict[str, dict[str, tuple[float, float]]] = {}
    population = set(data.population())
    for row in data.tables["costs"].to_pylist() if "costs" in data.tables else []:
        if row["network"] in population and row["forward_equivalents"] is not None:
            costs.setdefault(row["criterion"], {})[row["network"]] = row["forward_equivalents"], row["seconds"]
    return costs


def _passes(costs: Costs, criterion: str) -> float:
    """Return what a criterion costs, median over networks; what is unknown costs more than anything."""
    return median(passes for passes, _ in costs[criterion].values()) if criterion in costs else float("inf")


def _case(data: Data, use_case: str | None, costs: Costs) -> Case | None:
    test, validation = data.board(use_case), data.board(use_case, split="validation")
    aware = best(validation, is_aware, test) if test else None
    rows = {n: row_of(test, f"measured_drop_{n}") for n in EXAMPLES} if test else {}
    measured = {n: row.by_network for n, row in rows.items() if row is not None and row.criterion in costs}
    if test is None or aware is None or aware not in costs or len(measured) < len(EXAMPLES):
        return None
    against: dict[tuple[int, str], Comparison | None] = {}
    for n in EXAMPLES:
        limit = _passes(costs, f"measured_drop_{n}")
        for track, of_track in TRACKS.items():
            name = best(validation, lambda entry: of_track(entry) and _passes(costs, entry[0]) <= limit, test)  # noqa: B023
            against[n, track] = Comparison(name, _difference(data, measured[n], _by_network(test, name))) if name else None
    return Case(
        {n: over_families(values, data.facts, ends=ENDS) for n, values in measured.items()},
        against,
        aware,
        over_families(_by_network(test, aware), data.facts, ends=ENDS),
        _difference(data, _by_network(test, aware), measured[EXAMPLES[-1]]),
    )


def _by_network(board: Board, criterion: str) -> Mapping[str, float]:
    row = row_of(board, criterion)
    return row.by_network if row else {}


def _difference(data: Data, first: Mapping[str, float], second: Mapping[str, float]) -> Value:
    paired = {network: first[network] - second[network] for network in first}
    return over_families(paired, data.facts, ends=DIFFERENCES, difference=True)


def _prices(of_network: Mapping[str, tuple[float, float]]) -> tuple[Value, Value]:
    """Return the median over networks of forward passes and of seconds, each with its range."""
    made = []
    for column, unit, digits in ((0, "thousand forward passes", 0), (1, "s", 1)):
        numbers = [each[column] / (1 if column else 1000) for each in of_network.values()]
        ends = f"{min(numbers):.{digits}f} to {max(numbers):.{digits}f}"
        made.append(Value(median(numbers), unit=unit, digits=digits, reason=f"{len(numbers)} networks: {ends}"))
    return made[0], made[1]


def _values(name: str, case: Case) -> dict[str, Value]:
    found = {f"{name}/measured_drop_{n}": value for n, value in case.measured.items()}
    for (n, track), comparison in case.against.items():
        if comparison is not None:
            found[f"{name}/measured_drop_{n} - {track} {comparison.criterion}"] = comparison.difference
    found[f"{name}/{case.aware}"] = case.reached
    return {**found, f"{name}/{case.aware} - measured_drop_{EXAMPLES[-1]}": case.beyond}


def _sentences(cases: Mapping[str, Case]) -> list[str]:
    sentences = []
    for n in EXAMPLES:
        parts, sides = [], []
        for track in TRACKS:
            every = cases[ALL].against[n, track]
            if every is None:
                parts.append(f"no {track} criterion costs so little")
                continue
            word = told(every.difference, "better than", "worse than", "not told apart from")
            parts.append(f"{word} the best {track} criterion that costs no more (`{every.criterion}`; {every.difference})")
            better, worse = (_where(cases, n, track, side) for side in ("above", "below"))
            sides.append(f"Beside the {track} one it is surely better in {better}, surely worse in {worse}.")
        reached = f"Measuring on {n} examples reaches {cases[ALL].measured[n]} over all use cases"
        sentences.append(f"{reached}: {'; '.join(parts)}. {' '.join(sides)}".strip())
    return sentences


def _where(cases: Mapping[str, Case], n: int, track: str, side: str) -> str:
    of_case = {name: case.against[n, track] for name, case in cases.items() if name != ALL}
    sides = {name: told(each.difference, "above", "below", "neither") for name, each in of_case.items() if each}
    return listed([readable(name) for name, found in sides.items() if found == side], none="no use case")


def _best_aware(case: Case, prices: Mapping[str, tuple[Value, Value]]) -> str:
    most = f"measured_drop_{EXAMPLES[-1]}"
    word = told(case.beyond, "better than", "worse than", "not told apart from")
    return (
        f"The aware criterion that is best on validation networks, `{case.aware}`, reaches {case.reached} for "
        f"{prices[case.aware][0]}. That is {word} measuring on {EXAMPLES[-1]} examples (difference {case.beyond}), which "
        f"costs {prices[most][0]}."
    )


def _shares(data: Data) -> str:
    levels = {case: sum(len(data.facts.levels[name]) for name in names) for case, names in data.use_cases.items()}
    of_all = sum(len(of_one) for of_one in data.facts.levels.values())
    return (
        f"Costs are of all perturbations at all {of_all} levels, and count every set of calibration examples that scores "
        f"are means of. Measuring for one use case alone costs {min(levels.values())} to {max(levels.values())} parts of "
        f"these {of_all}; a blind criterion costs the same for one as for all."
    )


def _tables(cases: Mapping[str, Case], population: str) -> list[Table]:
    names = [f"{n} examples" for n in EXAMPLES]
    reached: list[list[str | Value]] = [
        [readable(name), *(case.measured[n] for n in EXAMPLES), case.reached, f"`{case.aware}`"]
        for name, case in cases.items()
    ]
    caption = f"Fashion-MNIST test networks ({population})"
    made = [
        Table(
            f"Spearman's correlation, {caption}: measuring, and the aware criterion that is best on validation networks",
            ["use case", *names, "aware criterion", "which"],
            reached,
        )
    ]
    for track in TRACKS:
        rows = [[readable(name), *(str(case.against[n, track] or "-") for n in EXAMPLES)] for name, case in cases.items()]
        title = f"Measuring minus the best {track} criterion that costs no more, chosen on validation networks: {caption}"
        made.append(Table(title, ["use case", *names], rows))
    return made


def _price_table(prices: Mapping[str, tuple[Value, Value]]) -> Table:
    rows: list[list[str | Value]] = [[f"`{name}`", *of_one] for name, of_one in prices.items()]
    return Table(
        "What scores of one network cost, median over Fashion-MNIST test networks", ["criterion", "passes", "time"], rows
    )


def _draw(data: Data, cases: Mapping[str, Case], costs: Costs) -> bytes:
    figure, (left, right) = new_figure(4.2, 1, 2)
    colours = dict(zip(TRACKS, (COLOURS[6], COLOURS[1]), strict=True))
    board = data.board()
    rows = candidates(board, lambda entry: entry[0] in costs) if board else []
    for track, of_track in TRACKS.items():
        shown = [row for row in rows if of_track((row.criterion, row.track))]
        at = [_passes(costs, row.criterion) for row in shown]
        left.scatter(at, [row.value for row in shown], s=12, color=colours[track], alpha=0.7, label=f"{track} criteria")
    measured = [cases[ALL].measured[n] for n in EXAMPLES]
    at = [_passes(costs, f"measured_drop_{n}") for n in EXAMPLES]
    style = {"fmt": "o-", "ms": 4, "color": COLOURS[0], "capsize": 2}
    left.errorbar(at, [each.value for each in measured], yerr=reach(measured), label="measuring on 32, 128, 512", **style)
    left.set(xscale="log", xlabel="cost of one network, forward passes", ylabel="Spearman's correlation")
    left.legend(fontsize=8, frameon=False, loc="upper left")
    for shift, track in zip((-0.12, 0.12), TRACKS, strict=True):
        found = [(i + shift, each) for i, case in enumerate(cases.values()) if (each := case.against[EXAMPLES[0], track])]
        values, style = [each.difference for _, each in found], {"fmt": "o", "ms": 4, "color": colours[track], "capsize": 2}
        places = [place for place, _ in found]
        right.errorbar([each.value for each in values], places, xerr=reach(values), label=f"minus best {track}", **style)
    right.axvline(0.0, color="black", lw=0.8)
    right.set_yticks(range(len(cases)), [readable(name) for name in cases])
    right.invert_yaxis()
    right.set_xlabel("measuring on 32 examples minus criterion")
    right.legend(fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=2)
    return encoded(figure)
