"""Values of cells -> standings: what criteria reach on average, and what the families can tell of it; no I/O."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from safer_bench.evaluation.aggregation import Cells, averaged, group_weights
from safer_bench.evaluation.board import Difference, Entry, Standings
from safer_bench.evaluation.bootstrap import intervals, rank_intervals, simultaneous_intervals
from safer_bench.evaluation.kinds import LEAST_OF_DIFFERENCES, widening
from safer_bench.registry import TRACKS
from safer_bench.tables import controls
from safer_bench.tables.grouping import grouped

Array = np.ndarray
BASELINE = ("parameters", "blind")
DIGITS = 9  # by which values are told apart


def averages(
    entries: Sequence[Entry], values: Array, known: Array, limits: Array, cells: Cells, reported: Collection[str] = ()
) -> Standings:
    """Average what criteria reached in the cells that they scored, in the order of a board, without intervals.

    Args:
        entries: (criterion, track) of each, sorted.
        values: ``(n_entries, n_cells)``; undefined ones count as 0.
        known: likewise, which were scored.
        limits: least and greatest possible values, two of these.
        cells: the columns.
        reported: names of criteria whose scores are their authors' word alone.
    """
    numbers, n_rows = np.where(np.isfinite(values), values, 0.0), len(entries)
    by_network, by_family = (np.full((n_rows, len(names)), np.nan) for names in (cells.networks, cells.families))
    ranges = np.zeros((2, *by_family.shape))
    for alike in grouped(range(n_rows), key=lambda i: known[i].tobytes()).values():
        scored = known[alike[0]]
        part, own = cells.part(scored), numbers[alike][:, scored]
        for means, group in ((by_network, np.arange(len(cells.networks))), (by_family, cells.family)):
            weights = group_weights(part, group)
            means[alike] = np.where(weights.any(axis=1), averaged(weights, own), np.nan)
        ranges[:, alike] = averaged(weights, limits[:, alike][:, :, scored])  # of families
    whole = known.all(axis=1) & (known.shape[1] > 0)
    standings = Standings(
        entries=list(entries),
        networks=cells.networks,
        families=cells.families,
        values=np.where(whole, by_family.sum(axis=1) / max(len(cells.families), 1), np.nan),
        by_network=by_network,
        by_family=by_family,
        limits=ranges,
        n_undefined=(known & np.isnan(values)).sum(axis=1),
        n_cells=known.sum(axis=1),
        reported=np.array([name in reported for name, _ in entries], dtype=bool),
        intervals=np.full((n_rows, 2), np.nan),
        ranks=np.zeros((n_rows, 2), dtype=np.int64),
    )
    return _in_order(standings)


def _in_order(standings: Standings) -> Standings:
    """Return standings as a board shows them; of equals the first by name is first."""
    tracks = np.array([TRACKS.index(track) for _, track in standings.entries], dtype=np.int64)
    falling = -np.round(np.nan_to_num(standings.values), DIGITS)
    order = np.lexsort((falling, np.isnan(standings.values), tracks, standings.reported))
    arrays = ("values", "by_network", "by_family", "n_undefined", "n_cells", "reported", "intervals", "ranks")
    return replace(
        standings,
        entries=[standings.entries[i] for i in order],
        limits=standings.limits[:, order],
        **{name: getattr(standings, name)[order] for name in arrays},
    )


def winners(standings: Standings) -> dict[str, Entry]:
    """Return the highest criterion of each track on validation networks, the first by name among equals.

    Controls are none, nor are criteria that learnt from these networks.
    """
    others = (*controls.CONTROLS, *controls.LEARNED)
    ranked = [i for i in _ranked(standings) if standings.entries[i][0] not in others]
    of_track = grouped(ranked, key=lambda i: standings.entries[i][1])
    return {track: _highest(standings, rows) for track, rows in of_track.items()}


def best_trivial(standings: Standings) -> Entry:
    """Return the highest control that knows sizes and positions alone; the first by name among equals."""
    trivial = (*controls.TRIVIAL, controls.SIZE_DEPTH)
    rows = [i for i in _ranked(standings) if standings.entries[i][0] in trivial]
    return _highest(standings, rows) if rows else BASELINE


def _highest(standings: Standings, rows: Sequence[int]) -> Entry:
    return standings.entries[min(rows, key=lambda i: (-np.round(standings.values[i], DIGITS), standings.entries[i][0]))]


def with_intervals(standings: Standings, kinds: Array, rivals: Mapping[str, Entry], trivial: Entry = BASELINE) -> Standings:
    """Return standings of enough families with all that these support.

    Args:
        standings: without intervals.
        kinds: number of each family's kind ``(n_families,)``: those of one kind resemble each other.
        rivals: of each track, the criterion that all others of the track are compared with.
        trivial: the control that every criterion is compared with.
    """
    ranked = _ranked(standings)
    if not ranked:
        return standings
    ends, ranks, values = standings.intervals.copy(), standings.ranks.copy(), standings.by_family[ranked]
    ends[ranked] = np.transpose(intervals(values, _limits(standings, ranked), widening=widening(values, kinds)))
    for track in TRACKS:
        others = [
            i for i in ranked if standings.entries[i][1] == track and standings.entries[i][0] not in controls.REPLICATES
        ]
        if others:
            ranks[others] = np.transpose(rank_intervals(standings.by_family[others], kinds=kinds))
    against = _declared_comparisons(standings, ranked, kinds, rivals, trivial)
    return replace(standings, intervals=ends, ranks=ranks, against=against)


def _ranked(standings: Standings) -> list[int]:
    return np.flatnonzero(~np.isnan(standings.values) & ~standings.reported).tolist()


def _limits(standings: Standings, rows: Sequence[int]) -> tuple[Array, Array]:
    lowest, highest = standings.limits[:, rows]
    return lowest, highest


def _declared_comparisons(
    standings: Standings, ranked: Sequence[int], kinds: Array, rivals: Mapping[str, Entry], trivial: Entry
) -> dict[Entry, dict[str, Difference]]:
    place = {standings.entries[i]: i for i in ranked}
    pairs = [
        (entry, other)
        for entry in place
        for other in dict.fromkeys((trivial, rivals.get(entry[1])))
        if other and entry[0] not in controls.CONTROLS and other in place and other != entry
    ]
    if not pairs:
        return {}
    first, second = ([place[pair[side]] for pair in pairs] for side in (0, 1))
    differences = standings.by_family[first] - standings.by_family[second]
    (lowest, highest), (least, most) = _limits(standings, first), _limits(standings, second)
    wider = widening(differences, kinds, LEAST_OF_DIFFERENCES)
    ends = np.transpose(simultaneous_intervals(differences, (lowest - most, highest - least), widening=wider))
    declared: dict[Entry, dict[str, Difference]] = {}
    for (entry, other), mean, (low, high) in zip(pairs, differences.mean(1).tolist(), ends.tolist(), strict=True):
        declared.setdefault(entry, {})[other[0]] = Difference(mean, None if np.isnan(low) else (low, high))
    return declared
