"""What measuring on a few examples buys beside the best criterion that costs no more."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from docs.findings.chosen import best, candidates, is_aware, is_blind, listed, row_of
from docs.findings.costs import ALL, Costs, costs_of, passes, price, prices, shares_of_levels
from docs.findings.data import Data
from docs.findings.drawing import COLOURS, encoded, new_figure, reach, readable
from docs.findings.families import at_once, over_families
from docs.findings.finding import Figure, Finding, Table, Value, told
from safer_bench.evaluation.board import Board

TITLE = "What measuring buys"
QUESTION = "Does a criterion rank layers better than measuring them on 32, 128 or 512 examples does, at equal cost?"
EXAMPLES = (32, 128, 512)
NONE = "none"  # of the use cases
ENDS, DIFFERENCES = (-1.0, 1.0), (-2.0, 2.0)  # of correlations, and of differences of two
TRACKS = {"blind": is_blind, "aware": is_aware}
Numbers = Mapping[str, float]  # of networks


@dataclass(frozen=True, slots=True)
class Comparison:
    """Measuring beside the best criterion of a track that costs no more.

    Attributes:
        criterion: its name.
        paired: measuring minus it, by network.
        difference: the mean of that; of a use case, its interval holds for all comparisons of use cases at once.
    """

    criterion: str
    paired: Numbers
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
    costs = costs_of(data)
    if not costs:
        return None
    made = {use_case or ALL: _case(data, use_case, costs) for use_case in (None, *data.use_cases)}
    cases = _at_once(data, {name: case for name, case in made.items() if case is not None})
    if ALL not in cases:
        return None
    values = {key: value for name, case in cases.items() for key, value in _values(name, case).items()}
    shown = [*(f"measured_drop_{n}" for n in EXAMPLES), *dict.fromkeys(case.aware for case in cases.values())]
    paid = {name: prices(costs[name]) for name in shown}
    for name, (number, seconds) in paid.items():
        values |= {f"{name}/forward passes": number, f"{name}/seconds": seconds}
    return Finding(
        title=TITLE,
        question=QUESTION,
        sentences=[*_sentences(cases), _best_aware(cases[ALL], paid)],
        limits=[_corrected(cases), _shares(data)],
        tables=[*_tables(cases), _price_table(paid)],
        figure=Figure(
            "Left: Spearman's correlation of every criterion, mean over use cases, against its cost for all levels, median "
            "over networks. Right: measuring on 32 examples minus the chosen criterion that costs no more.",
            lambda: _draw(data, cases, costs),
        ),
        values=values,
    )


def _case(data: Data, use_case: str | None, costs: Costs) -> Case | None:
    test, validation = data.board(use_case), data.board(use_case, split="validation")
    aware = best(validation, is_aware, test) if test else None
    rows = {n: row_of(test, f"measured_drop_{n}") for n in EXAMPLES} if test else {}
    measured = {n: row.by_network for n, row in rows.items() if row is not None and row.criterion in costs}
    if test is None or aware is None or aware not in costs or len(measured) < len(EXAMPLES):
        return None
    share = shares_of_levels(data)[use_case or ALL]
    against: dict[tuple[int, str], Comparison | None] = {}
    for n in EXAMPLES:
        limit = share * passes(costs, f"measured_drop_{n}")
        for track, of_track in TRACKS.items():
            name = best(
                validation,
                lambda entry: of_track(entry) and price(data, costs, entry, share) <= limit,  # noqa: B023
                test,
            )
            against[n, track] = _comparison(data, name, measured[n], _by_network(test, name)) if name else None
    return Case(
        {n: over_families(values, data.facts, ends=ENDS) for n, values in measured.items()},
        against,
        aware,
        over_families(_by_network(test, aware), data.facts, ends=ENDS),
        _comparison(data, aware, _by_network(test, aware), measured[EXAMPLES[-1]]).difference,
    )


def _by_network(board: Board, criterion: str) -> Mapping[str, float]:
    row = row_of(board, criterion)
    return row.by_network if row else {}


def _comparison(data: Data, criterion: str, measured: Numbers, reached: Numbers) -> Comparison:
    paired = {network: measured[network] - reached[network] for network in measured}
    return Comparison(criterion, paired, _mean(data, paired))


def _mean(data: Data, paired: Numbers) -> Value:
    return over_families(paired, data.facts, ends=DIFFERENCES, difference=True)


def _at_once(data: Data, cases: Mapping[str, Case]) -> dict[str, Case]:
    """Return the cases with intervals that hold for the comparisons of all use cases at once."""
    paired = {
        (name, *key): each.paired
        for name, case in cases.items()
        for key, each in case.against.items()
        if name != ALL and each is not None
    }
    together = at_once(paired, data.facts, ends=DIFFERENCES, difference=True) if paired else {}
    corrected = {}
    for name, case in cases.items():
        against = {
            key: replace(each, difference=together.get((name, *key), each.difference)) if each else None
            for key, each in case.against.items()
        }
        corrected[name] = replace(case, against=against)
    return corrected


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
                parts.append(f"No {track} criterion costs so little.")
                continue
            word = told(every.difference, "better than", "worse than", "not told apart from")
            parts.append(
                f"It is {word} the chosen {track} criterion that costs no more (`{every.criterion}`; {every.difference})."
            )
            better, worse = (_where(cases, n, track, side) for side in ("above", "below"))
            if better == worse == NONE:
                sides.append(f"No use case alone tells it from the chosen {track} one.")
            else:
                sides.append(f"By use case it is better than the chosen {track} one in {better}, worse in {worse}.")
        reached = f"**Measuring on {n} examples** reaches {cases[ALL].measured[n]} over all use cases."
        sentences.append(" ".join([reached, *parts, *sides]))
    return sentences


def _corrected(cases: Mapping[str, Case]) -> str:
    n = sum(each is not None for name, case in cases.items() if name != ALL for each in case.against.values())
    return f"Use cases are told by intervals that hold for all {n} comparisons at once. Not told apart does not mean equal."


def _where(cases: Mapping[str, Case], n: int, track: str, side: str) -> str:
    of_case = {name: case.against[n, track] for name, case in cases.items() if name != ALL}
    sides = {name: told(each.difference, "above", "below", "neither") for name, each in of_case.items() if each}
    return listed([readable(name) for name, found in sides.items() if found == side], none=NONE)


def _best_aware(case: Case, paid: Mapping[str, tuple[Value, Value]]) -> str:
    most = f"measured_drop_{EXAMPLES[-1]}"
    word = told(case.beyond, "better than", "worse than", "not told apart from")
    return (
        f"**The aware criterion** that is best on validation networks, `{case.aware}`, reaches {case.reached}. That is "
        f"{word} measuring on {EXAMPLES[-1]} examples (difference {case.beyond}). It costs {paid[case.aware][0]}, measuring "
        f"{paid[most][0]}."
    )


def _shares(data: Data) -> str:
    levels = {case: sum(len(data.facts.levels[name]) for name in names) for case, names in data.use_cases.items()}
    of_all = sum(len(of_one) for of_one in data.facts.levels.values())
    return (
        f"Costs as stated are of all perturbations at all {of_all} levels. They count every set of calibration examples "
        "that scores are means of. Where a criterion is paid level by level, a comparison takes the part that it needs. "
        f"This is {sum(levels.values())} of {of_all} levels for all use cases, {min(levels.values())} to "
        f"{max(levels.values())} for one. A blind criterion costs the same for one as for all."
    )


def _tables(cases: Mapping[str, Case]) -> list[Table]:
    names = [f"{n} examples" for n in EXAMPLES]
    reached: list[list[str | Value]] = [
        [readable(name), *(case.measured[n] for n in EXAMPLES), case.reached, f"`{case.aware}`"]
        for name, case in cases.items()
    ]
    made = [
        Table(
            "Spearman's correlation of measuring, and of the aware criterion that is best on validation networks",
            ["use case", *names, "aware criterion", "which"],
            reached,
        )
    ]
    for track in TRACKS:
        rows = [[readable(name), *(str(case.against[n, track] or "-") for n in EXAMPLES)] for name, case in cases.items()]
        title = (
            f"Measuring minus the chosen {track} criterion that costs no more. Intervals of "
            "use cases hold for all of them at once"
        )
        made.append(Table(title, ["use case", *names], rows))
    return made


def _price_table(paid: Mapping[str, tuple[Value, Value]]) -> Table:
    rows: list[list[str | Value]] = [[f"`{name}`", *of_one] for name, of_one in paid.items()]
    return Table(
        "What scores of one network cost for all levels, median over networks", ["criterion", "passes", "time"], rows
    )


def _draw(data: Data, cases: Mapping[str, Case], costs: Costs) -> bytes:
    figure, (left, right) = new_figure(4.2, 1, 2)
    colours = dict(zip(TRACKS, (COLOURS[6], COLOURS[1]), strict=True))
    board = data.board()
    rows = candidates(board, lambda entry: entry[0] in costs) if board else []
    for track, of_track in TRACKS.items():
        shown = [row for row in rows if of_track((row.criterion, row.track))]
        at = [passes(costs, row.criterion) for row in shown]
        left.scatter(at, [row.value for row in shown], s=12, color=colours[track], alpha=0.7, label=f"{track} criteria")
    measured = [cases[ALL].measured[n] for n in EXAMPLES]
    at = [passes(costs, f"measured_drop_{n}") for n in EXAMPLES]
    style = {"fmt": "o-", "ms": 4, "color": COLOURS[0], "capsize": 2}
    left.errorbar(at, [each.value for each in measured], yerr=reach(measured), label="measuring on 32, 128, 512", **style)
    left.set(xscale="log", xlabel="cost of all levels, forward passes", ylabel="Spearman's correlation")
    left.legend(fontsize=8, frameon=False, loc="upper left")
    for shift, track in zip((-0.12, 0.12), TRACKS, strict=True):
        found = [(i + shift, each) for i, case in enumerate(cases.values()) if (each := case.against[EXAMPLES[0], track])]
        values, style = [each.difference for _, each in found], {"fmt": "o", "ms": 4, "color": colours[track], "capsize": 2}
        places = [place for place, _ in found]
        right.errorbar([each.value for each in values], places, xerr=reach(values), label=f"minus chosen {track}", **style)
    right.axvline(0.0, color="black", lw=0.8)
    right.set_yticks(range(len(cases)), [readable(name) for name in cases])
    right.invert_yaxis()
    right.set_xlabel("measuring on 32 examples minus criterion")
    right.legend(fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=2)
    return encoded(figure)
