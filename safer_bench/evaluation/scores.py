"""A ``scores`` table as arrays, one row a cell of a network's truth; no I/O.

What is judged, what the page ranks and what is given a budget are these arrays.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from safer_bench.evaluation.truths import CellKey
from safer_bench.tables.coding import coded, numbered
from safer_bench.tables.facts import TruthFacts
from safer_bench.truth.area import area_of

Array = np.ndarray
Entry = tuple[str, str]  # (criterion, track)
Setting = tuple[str, float | None]  # (perturbation, level or None for all)
AT_ONCE = 8  # aware entries: metrics of many layers and cells take room


class ScoreArrays:
    """Finds the scores that criteria give the layers of a network.

    Attributes:
        entries: (criterion, track) of each criterion, sorted.
    """

    def __init__(self, table: pa.Table, facts: TruthFacts) -> None:
        """Encode a checked ``scores`` table; the facts know the levels and how they average to an area."""
        self._facts = facts
        (criteria, criterion), (tracks, track) = (coded(table[name]) for name in ("criterion", "track"))
        pairs, self._entry = numbered(criterion * len(tracks) + track)
        self.entries: list[Entry] = [(criteria[pair // len(tracks)], tracks[pair % len(tracks)]) for pair in pairs.tolist()]
        self._blind = np.array([track == "blind" for _, track in self.entries], dtype=bool)
        self._networks, network = coded(table["network"])
        self._layers, self._layer = coded(table["layer"])
        self._score = np.asarray(table["score"].to_numpy(), dtype=np.float64)
        self._order = np.argsort(network, kind="stable")
        self._starts = np.searchsorted(network[self._order], np.arange(len(self._networks) + 1))
        of_truth = [(name, level) for name, levels in facts.levels.items() for level in (None, *levels)]
        self._places: dict[Setting, int] = {setting: i for i, setting in enumerate(of_truth)}
        (perturbations, perturbation), (levels, level) = (coded(table[name]) for name in ("perturbation", "level"))
        places = [self._places.get((name, level), -1) for name in perturbations for level in levels]
        self._place = np.array(places, dtype=np.int64)[perturbation * len(levels) + level]

    def of_network(self, network: str, layers: Sequence[str], cells: Sequence[CellKey]) -> Iterator[tuple[list[int], Array]]:
        """Yield places in ``entries`` and their scores: all blind ones together, then aware ones, a few at a time.

        Args:
            network: its name.
            layers: its layers ``(n_layers,)``; scores of others are left out.
            cells: (perturbation, summary, level) of its truth ``(n_cells,)``.

        Yields:
            Blind: ``(n_entries, n_layers)``. Aware: ``(n_entries, n_cells, n_layers)``, nan where one says nothing.
        """
        if network not in self._networks:
            return
        number = self._networks.index(network)
        rows = self._order[self._starts[number] : self._starts[number + 1]]
        position = {name: i for i, name in enumerate(layers)}
        layer = np.array([position.get(name, -1) for name in self._layers])[self._layer[rows]]
        rows, layer = rows[layer >= 0], layer[layer >= 0]
        blind = self._blind[self._entry[rows]]
        if blind.any():
            members, line = numbered(self._entry[rows[blind]])
            yield members.tolist(), _filled((len(members), len(layers)), (line, layer[blind]), self._score[rows[blind]])
        rows, layer = rows[~blind], layer[~blind]
        members, line = numbered(self._entry[rows])
        for first in range(0, len(members), AT_ONCE):
            own = (line >= first) & (line < first + AT_ONCE)
            some, shape = members[first : first + AT_ONCE].tolist(), (len(self._places) + 1, len(layers))
            places = line[own] - first, self._place[rows[own]], layer[own]
            yield some, self._in_cells(some, _filled((len(some), *shape), places, self._score[rows[own]]), cells)

    def _in_cells(self, members: Sequence[int], scores: Array, cells: Sequence[CellKey]) -> Array:
        """Return scores of aware entries in cells from those at ``_places``, where the last has none.

        A perturbation-aware entry has one for all levels, as it was given; a level-aware one's levels are averaged in area.
        """
        by_level = np.array([self.entries[i][1] == "level_aware" for i in members], dtype=bool)
        for name in dict.fromkeys(name for name, _, _ in cells) if by_level.any() else ():
            levels = self._facts.levels[name]
            of_levels = scores[by_level][:, [self._places[name, level] for level in levels]].swapaxes(0, 1)
            areas = area_of(of_levels.reshape(len(levels), -1), levels, self._facts.scales[name])
            scores[by_level, self._places[name, None]] = areas.reshape(of_levels.shape[1:])
        in_area = [self._places[name, None] for name, _, _ in cells]
        at_level = [self._places.get((name, level), -1) for name, _, level in cells]
        return np.where(by_level[:, None, None], scores[:, at_level], scores[:, in_area])


def _filled(shape: tuple[int, ...], places: tuple[Array, ...], scores: Array) -> Array:
    array = np.full(shape, np.nan)
    array[places] = scores
    return array
