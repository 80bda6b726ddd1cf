"""Two criteria side by side: paired differences by use case and perturbation, with intervals where families support them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.errors import BadInput, UnknownName
from safer_bench.evaluation.aggregation import MIN_LAYERS, averaged, family_weights
from safer_bench.evaluation.bootstrap import MIN_FAMILIES, intervals
from safer_bench.evaluation.kinds import LEAST_OF_DIFFERENCES, kinds_of, widening
from safer_bench.registry import look_up, suggestion
from safer_bench.tables import files
from safer_bench.tables.controls import ADDED, FROM_TABLES
from safer_bench.tables.facts import TruthFacts, read_facts
from safer_bench.tables.grouping import grouped
from safer_bench.tables.pictures import encoded, new_figure
from safer_bench.tables.schema import METRIC_NAMES

Array = np.ndarray
Cell = tuple[str, str, str, str]  # dataset, split, perturbation, network
ALL = "all use cases"
PLOT_FORMATS = (".png", ".svg", ".pdf")
COLUMNS = ("value", "lowest", "highest")  # of results
MOST_NAMED = 20
HEADER = ("perturbation", "networks", "families", "first", "second", "difference", "95 % interval")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two criteria under one perturbation, one use case or all, on the networks of ten layers or more that both scored.

    Attributes:
        dataset, split: of the networks.
        perturbation: its name; or ``ALL``, or ``use case`` and the name of one that has several perturbations.
        n_networks: how many both scored.
        first, second: means over families of the metric.
        by_family: difference first minus second for each family.
        interval: 95 % interval of the mean difference by itself; None where families are fewer than six, or too nearly
            alike.
    """

    dataset: str
    split: str
    perturbation: str
    n_networks: int
    first: float
    second: float
    by_family: dict[str, float]
    interval: tuple[float, float] | None

    @property
    def difference(self) -> float:
        """First minus second."""
        return self.first - self.second


def check_names(criteria: Iterable[str], first: str, second: str, metric: str, out: Path | None = None) -> None:
    """Refuse at once what evaluation would take its time to find out.

    Args:
        criteria: names of all that were scored; the controls that evaluation adds are known beside them.
        first, second: names of criteria.
        metric: name of a metric.
        out: file of the plot.

    Raises:
        UnknownName: a criterion or metric has no such name.
        BadInput: both are the same, or a plot does not end so.
    """
    scored = sorted({*criteria, *ADDED, *FROM_TABLES})
    for name in (first, second):
        if name not in scored:
            raise UnknownName(
                f"no criterion {name!r} is scored here.{suggestion(name, scored)} Scored are: {_some(scored)}. For "
                "scores of another one: safer-bench score NAME --out submissions/NAME, and --submissions submissions"
            )
    if first == second:
        raise BadInput(f"{first!r} and itself: name two criteria to compare")
    look_up(dict.fromkeys(METRIC_NAMES), metric, "metric")
    if out is not None:
        _check_ending(out)


def _some(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more (safer-bench list criteria)" if more > 0 else "")


def compare(
    results: pa.Table, truth: Mapping[str, pa.Table], first: str, second: str, metric: str = "spearman"
) -> list[Comparison]:
    """Return the paired differences of two criteria by dataset and split: over all use cases, in one, under a perturbation.

    A use case of a single perturbation has no row of its own.

    Args:
        results: what ``evaluate`` returns.
        truth: tables ``networks`` and ``perturbations``.
        first, second: names of criteria.
        metric: name of a metric.

    Raises:
        UnknownName: a criterion or metric is not in the results.
        BadInput: the two share no network of ten layers or more, or one of them has scores on two tracks.
    """
    for name, column in ((first, "criterion"), (second, "criterion"), (metric, "metric")):
        look_up(dict.fromkeys(results[column].unique().to_pylist()), name, column)
    facts = read_facts(truth)
    wanted = (
        (pc.field("summary") == "area")
        & (pc.field("metric") == metric)
        & pc.field("network").is_valid()
        & (pc.field("n_layers") >= MIN_LAYERS)
    )
    rows = results.filter(wanted).to_pylist()
    sides = [_side(rows, name) for name in (first, second)]
    shared = sorted(sides[0].keys() & sides[1].keys())
    if not shared:
        raise BadInput(
            f"{first!r} and {second!r} share no network of {MIN_LAYERS} layers or more under one perturbation by {metric}"
        )
    comparisons = []
    for (dataset, split), board in grouped(shared, key=itemgetter(slice(2))).items():
        for name, cells in _parts(board, facts.use_cases):
            values = [[[side[cell][column] or 0.0 for cell in cells] for side in sides] for column in COLUMNS]
            pairs = [(network, perturbation) for _, _, perturbation, network in cells]
            weights = family_weights(pairs, facts.families, facts.use_cases)
            families = {network: facts.families[network] for network, _ in pairs}
            comparisons.append(_comparison((dataset, split, name), families, averaged(weights, np.array(values)), facts))
    return comparisons


def _parts(board: Sequence[Cell], use_cases: Mapping[str, str]) -> Iterator[tuple[str, list[Cell]]]:
    """Yield the cells of all use cases, of each that has several perturbations, and of each perturbation."""
    of_case = grouped([cell for cell in board if use_cases[cell[2]]], key=lambda cell: use_cases[cell[2]])
    if of_case:
        yield ALL, [cell for cells in of_case.values() for cell in cells]
    for case, cells in sorted(of_case.items()):
        if len({cell[2] for cell in cells}) > 1:
            yield f"use case {case.replace('_', ' ')}", cells
    yield from sorted(grouped(board, key=itemgetter(2)).items())


def _side(rows: Sequence[Mapping[str, Any]], name: str) -> dict[Cell, Mapping[str, Any]]:
    """Return the results of one criterion by their cell: (dataset, split, perturbation, network)."""
    own = [row for row in rows if row["criterion"] == name]
    tracks = sorted({row["track"] for row in own})
    if len(tracks) > 1:
        raise BadInput(f"criterion {name!r} has scores on the tracks {' and '.join(tracks)}; give one of them another name")
    return {(row["dataset"], row["split"], row["perturbation"], row["network"]): row for row in own}


def _comparison(about: tuple[str, str, str], networks: Mapping[str, str], means: Array, facts: TruthFacts) -> Comparison:
    """Return a comparison from the family of each network and means ``(n_columns, 2, n_families)``, families sorted."""
    (first, second), (lowest, least), (highest, most) = means
    differences, interval = first - second, None
    if len(differences) >= MIN_FAMILIES:
        wider = widening(differences[None], kinds_of(sorted(set(networks.values())), facts), LEAST_OF_DIFFERENCES)
        low, high = intervals(differences[None], ((lowest - most)[None], (highest - least)[None]), widening=wider)
        interval = None if np.isnan(low[0]) or not differences.any() else (float(low[0]), float(high[0]))
    by_name = dict(zip(sorted(set(networks.values())), differences.tolist(), strict=True))
    return Comparison(*about, len(networks), float(first.mean()), float(second.mean()), by_name, interval)


def rows(comparisons: Sequence[Comparison]) -> list[list[str]]:
    """Return comparisons as text: perturbation, networks, families, both means, difference and interval."""
    return [
        [
            each.perturbation,
            str(each.n_networks),
            str(len(each.by_family)),
            f"{each.first:z.2f}",
            f"{each.second:z.2f}",
            f"{each.difference:+z.2f}",
            "-" if each.interval is None else f"{each.interval[0]:+z.2f} to {each.interval[1]:+z.2f}",
        ]
        for each in comparisons
    ]


def _check_ending(path: Path) -> None:
    if path.suffix not in PLOT_FORMATS:
        raise BadInput(f"{path}: a plot ends in {', '.join(PLOT_FORMATS)}")


def plot(comparisons: Sequence[Comparison], path: Path, title: str) -> None:
    """Draw each difference with its interval, and those of single families as grey dots.

    Args:
        comparisons: what ``compare`` returns.
        path: file to write, ending in .png, .svg or .pdf.
        title: of the plot.

    Raises:
        BadInput: another ending, or the file cannot be written.
    """
    _check_ending(path)
    figure, (axes,) = new_figure(8, 1.4 + 0.3 * len(comparisons))
    for height, each in enumerate(comparisons):
        axes.plot(list(each.by_family.values()), [height] * len(each.by_family), "o", color="0.7", markersize=4)
        if each.interval is not None:
            axes.plot(each.interval, [height, height], color="C0", lw=1.5)
        axes.plot([each.difference], [height], "D", color="C0", markersize=5)
    axes.set_yticks(range(len(comparisons)), [f"{each.perturbation} ({each.dataset}, {each.split})" for each in comparisons])
    axes.invert_yaxis()
    axes.axvline(0, color="0.5", lw=0.8)
    few = any(len(each.by_family) < MIN_FAMILIES for each in comparisons)
    axes.set_xlabel(
        "difference; grey: families" + (f"; no interval below {MIN_FAMILIES} families" if few else "; 95 % interval")
    )
    axes.set_title(title)
    files.write_bytes(path, encoded(figure, path.suffix))
