"""Values of all criteria, cells and metrics -> the table ``results``, with means over families; no I/O."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa

from safer_bench.evaluation.aggregation import MIN_LAYERS, averaged, family_weights
from safer_bench.evaluation.bootstrap import LIMIT_DIGITS, MIN_FAMILIES, intervals
from safer_bench.evaluation.kinds import kinds_of, widening
from safer_bench.evaluation.truths import NetworkTruth
from safer_bench.registry import TRACKS
from safer_bench.tables import controls, schema
from safer_bench.tables.coding import dictionary, ranked
from safer_bench.tables.facts import TruthFacts
from safer_bench.tables.grouping import grouped

Array = np.ndarray
COLUMNS = ("network", "dataset", "split", "perturbation", "summary", "level", "n_layers")
RESULTS = pa.schema(
    [
        field.with_type(pa.dictionary(pa.int32(), pa.string())) if field.type == pa.string() else field
        for field in schema.TABLES["results"]
    ],
    schema.TABLES["results"].metadata,
)
Place = tuple[str | None, str, str, str | None, str, float | None, int | None]  # the columns above; means have no network


@dataclass(frozen=True, slots=True)
class Judged:
    """What every criterion reached.

    Attributes:
        entries: (criterion, track) of each.
        networks: the truths; their cells, one network after the other, are the second axis.
        values: ``(n_entries, n_cells, n_metrics)``; nan where undefined.
        known: likewise, which of them there are, defined or not.
        limits: of each metric ``(whole or half, least or greatest, n_cells, n_metrics)``; replicates are judged by a half.
    """

    entries: Sequence[tuple[str, str]]
    networks: Sequence[NetworkTruth]
    values: Array
    known: Array
    limits: Array

    @property
    def judges(self) -> Array:
        """What each entry is judged by ``(n_entries,)``: 0 the whole truth, 1 half of it."""
        return np.array([name in controls.REPLICATES for name, _ in self.entries], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class FamilyMeans:
    """Means over families.

    Attributes:
        places: where.
        values, low, high: ``(n_entries, n_places, n_metrics)``, and the ends of their intervals; nan where there is none.
        known: likewise, which of them there are.
        limits: of each metric ``(whole or half, least or greatest, n_places, n_metrics)``: those of any of the families.
    """

    places: list[Place]
    values: Array
    low: Array
    high: Array
    known: Array
    limits: Array


def results_table(judged: Judged, facts: TruthFacts) -> pa.Table:
    """Return the table ``results``, in canonical order; of a criterion of two tracks, one track after the other.

    Its names are dictionaries, by which a table of millions of rows takes half of the memory.

    Args:
        judged: what every criterion reached.
        facts: of the truth.
    """
    means = family_means(judged, facts)
    cells: list[Place] = [
        (each.network, each.dataset, each.split, *cell, len(each.layers)) for each in judged.networks for cell in each.cells
    ]
    places = cells + means.places
    n_metrics, by_place = len(schema.METRIC_NAMES), {name: [at[i] for at in places] for i, name in enumerate(COLUMNS)}
    order = _in_order(by_place)
    by_name = np.array(sorted(range(len(judged.entries)), key=lambda i: judged.entries[i]), dtype=np.int32)
    known = np.concatenate([judged.known, means.known], axis=1).reshape(len(by_name), -1)
    row, pair = np.nonzero(known[by_name[:, None], order])
    entry, cell = by_name[row], order[pair]
    del row, pair  # of millions of rows each takes room
    place, metric = np.divmod(cell, n_metrics)
    by_entry, by_judge = (np.asarray(number, dtype=np.int64) * len(order) + cell for number in (entry, judged.judges[entry]))

    def column(of_cells: Array, of_means: Array) -> pa.Array:
        every = np.concatenate([np.broadcast_to(of_cells, judged.values.shape), of_means], axis=1)
        return pa.array(every.ravel()[by_entry], pa.float64(), from_pandas=True)

    replicate = (judged.judges == 1)[:, None, None]
    lowest, highest = np.round(np.concatenate([judged.limits, means.limits], axis=2), LIMIT_DIGITS).swapaxes(0, 1) + 0.0
    ceilings = np.concatenate([np.zeros((0, n_metrics)), *(network.ceilings for network in judged.networks)])
    unknown = np.full(means.values.shape, np.nan)
    columns = {
        "criterion": dictionary([name for name, _ in judged.entries], entry),
        "track": dictionary(TRACKS, np.array([TRACKS.index(track) for _, track in judged.entries], dtype=np.int32)[entry]),
        "metric": dictionary(schema.METRIC_NAMES, metric),
        "truth_revision": dictionary([facts.revision], 0 * entry),
        "value": column(*(np.round(each.values, LIMIT_DIGITS) + 0.0 for each in (judged, means))),  # no negative zero
        "low": column(np.array(np.nan), means.low),
        "high": column(np.array(np.nan), means.high),
        "ceiling": column(np.where(replicate, np.nan, ceilings), unknown),  # ceilings are of the whole truth
        "lowest": pa.array(lowest.ravel()[by_judge]),
        "highest": pa.array(highest.ravel()[by_judge]),
    }
    for name, values in by_place.items():
        columns[name] = _taken(values, place, schema.TABLES["results"].field(name).type)
    return pa.table([columns[name] for name in RESULTS.names], schema=RESULTS)


def _in_order(places: Mapping[str, Sequence[Any]]) -> Array:
    """Return the order of places x metrics within a criterion: as ``schema.in_order`` sorts, nulls last."""
    n_metrics = len(schema.METRIC_NAMES)
    keys = [np.repeat(ranked(places[name]), n_metrics) for name in ("network", "perturbation", "summary", "level")]
    keys.insert(3, np.tile(ranked(schema.METRIC_NAMES), len(keys[0]) // n_metrics))
    return np.lexsort(keys[::-1]).astype(np.int32)


def _taken(values: Sequence[Any], index: Array, kind: pa.DataType) -> pa.Array:
    """Return a column of values by their number; of text by number again, as a million rows name few."""
    if kind != pa.string():
        return pa.array(values, kind).take(pa.array(index))
    number = ranked(values)
    return dictionary(sorted(set(values), key=lambda value: (value is None, value)), number[index])


def family_means(judged: Judged, facts: TruthFacts) -> FamilyMeans:
    """Return means over families with 95 % intervals.

    Intervals are widened by how families of one kind resemble each other (``kinds``). There is a mean for each criterion,
    metric and perturbation at each level and in area, and one over all use cases
    (``perturbation`` null, in area), of the networks of one dataset and split with ten layers or more. Where a criterion
    did not score them all, or their families are fewer than six, there is none; where values or resamples do not spread,
    there is a mean without an interval (``bootstrap``).

    Args:
        judged: what every criterion reached.
        facts: of the truth: use cases of perturbations, kinds of networks.
    """
    families = {network.network: network.family for network in judged.networks}
    places: list[Place] = []
    averages: list[tuple[Array, Array, Array]] = []  # values (n_entries, n_metrics, n_families), known, limits
    kinds: list[Array] = []
    for place, cells, pairs in _places(judged.networks, facts.use_cases):
        weights = family_weights(pairs, families, facts.use_cases)
        if len(weights) >= MIN_FAMILIES:
            values = averaged(weights, np.swapaxes(np.nan_to_num(judged.values[:, cells]), 1, 2))
            limits = averaged(weights, np.swapaxes(judged.limits[:, :, cells], 2, 3))
            averages.append((values, np.asarray(judged.known[:, cells].all(1)), limits))
            places.append(place)
            kinds.append(kinds_of(sorted({families[network] for network, _ in pairs}), facts))
    shape = (len(judged.entries), len(places), len(schema.METRIC_NAMES))
    value, low, high = (np.full(shape, np.nan) for _ in range(3))
    means = FamilyMeans(places, value, low, high, np.zeros(shape, dtype=bool), np.zeros((2, 2, *shape[1:])))
    for n_families in sorted({values.shape[-1] for values, _, _ in averages}):
        alike = [i for i, (values, _, _) in enumerate(averages) if values.shape[-1] == n_families]
        known = np.stack([averages[i][1] for i in alike], axis=1)
        values = np.stack([averages[i][0] for i in alike], axis=1)[known]
        limits = np.stack([averages[i][2] for i in alike], axis=2)  # (judge, end, place, metric, family)
        ranges = limits[judged.judges].swapaxes(0, 1)  # (end, entry, place, metric, family)
        of_place, wider = np.nonzero(known)[1], np.ones(len(values))
        for number, i in enumerate(alike):
            wider[of_place == number] = widening(values[of_place == number], kinds[i])
        ends = intervals(values, (ranges[0][known], ranges[1][known]), widening=wider)
        for array, numbers in zip((value, low, high), (values.mean(-1), *ends), strict=True):
            filled = np.full(known.shape, np.nan)
            filled[known] = numbers
            array[:, alike] = filled
        means.known[:, alike] = known
        means.limits[:, :, alike] = np.stack([limits[:, 0].min(-1), limits[:, 1].max(-1)], axis=1)
    return means


def _places(
    networks: Sequence[NetworkTruth], use_cases: Mapping[str, str]
) -> Iterator[tuple[Place, list[int], list[tuple[str, str]]]]:
    """Yield each mean with the cells that it is over and their (network, perturbation)."""
    members: list[tuple[Place, int, tuple[str, str]]] = []
    cells = [(network, *cell) for network in networks for cell in network.cells]
    for i, (network, perturbation, summary, level) in enumerate(cells):
        if len(network.layers) >= MIN_LAYERS:
            of_all = [(None, summary, None)] if summary == "area" and use_cases[perturbation] else []
            for about in ((perturbation, summary, level), *of_all):
                members.append(((None, network.dataset, network.split, *about, None), i, (network.network, perturbation)))
    for place, averaged_there in grouped(members, key=itemgetter(0)).items():
        yield place, [i for _, i, _ in averaged_there], [pair for _, _, pair in averaged_there]
