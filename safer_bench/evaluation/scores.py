"""A ``scores`` table as arrays, one row a cell of a network's truth; no I/O.

What is judged, what the page ranks and what is given a budget are these arrays.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.evaluation.truths import CellKey
from safer_bench.registry import TRACKS
from safer_bench.tables.facts import TruthFacts
from safer_bench.truth.area import area_of

Array = np.ndarray
Entry = tuple[str, str]  # (criterion, track)


class ScoreArrays:
    """Finds the scores that criteria give the layers of a network.

    Attributes:
        entries: (criterion, track) of each criterion, sorted.
    """

    def __init__(self, table: pa.Table, facts: TruthFacts) -> None:
        """Encode a checked ``scores`` table; the facts know the levels and how they average to an area."""
        self._facts = facts
        criteria, tracks = (_coded(table[name]) for name in ("criterion", "track"))
        pairs = criteria[1] * len(TRACKS) + tracks[1]
        distinct, entry = np.unique(pairs, return_inverse=True)
        entries = [(criteria[0][pair // len(TRACKS)], tracks[0][pair % len(TRACKS)]) for pair in distinct.tolist()]
        order = sorted(range(len(entries)), key=lambda i: entries[i])
        self.entries: list[Entry] = [entries[i] for i in order]
        self._entry = np.argsort(order)[entry]
        self._networks, self._network = _coded(table["network"])
        self._layers, self._layer = _coded(table["layer"])
        self._perturbations, self._perturbation = _coded(table["perturbation"])
        self._level = np.asarray(table["level"].to_numpy(), dtype=np.float64)
        self._score = np.asarray(table["score"].to_numpy(), dtype=np.float64)

    def of_network(self, network: str, layers: Sequence[str], cells: Sequence[CellKey]) -> Iterator[tuple[list[int], Array]]:
        """Yield places in ``entries`` and their scores: all blind ones together, then each aware one by itself.

        Args:
            network: its name.
            layers: its layers ``(n_layers,)``; scores of others are left out.
            cells: (perturbation, summary, level) of its truth ``(n_cells,)``.

        Yields:
            Blind: ``(n_entries, n_layers)``. Aware: one entry and ``(n_cells, n_layers)``, nan where it says nothing.
        """
        if network not in self._networks:
            return
        rows = np.flatnonzero(self._network == self._networks.index(network))
        position = {name: i for i, name in enumerate(layers)}
        layer = np.array([position.get(name, -1) for name in self._layers])[self._layer[rows]]
        rows, layer = rows[layer >= 0], layer[layer >= 0]
        entry = self._entry[rows]
        blind = np.array([track == "blind" for _, track in self.entries])[entry]
        present, line = np.unique(entry[blind], return_inverse=True)
        scores = np.full((len(present), len(layers)), np.nan)
        scores[line, layer[blind]] = self._score[rows[blind]]
        if len(present):
            yield present.tolist(), scores
        for aware in np.unique(entry[~blind]).tolist():
            own = entry == aware
            yield [aware], self._in_cells(self.entries[aware][1], rows[own], layer[own], cells, len(layers))

    def _in_cells(self, track: str, rows: Array, layer: Array, cells: Sequence[CellKey], n_layers: int) -> Array:
        """Return the scores of one aware entry ``(n_cells, n_layers)`` from its rows, the layer of each in ``layer``."""
        code, unknown = self._perturbation[rows], np.full(n_layers, np.nan)
        known: dict[tuple[str, float | None], Array] = {}
        for each in np.unique(code).tolist():
            name, own = self._perturbations[each], code == each
            by_level = self._by_level(name, track, rows[own], layer[own], n_layers)
            known |= {(name, level): scores for level, scores in by_level.items()}
        levels = [level if track == "level_aware" else None for _, _, level in cells]
        return np.stack([known.get((name, level), unknown) for (name, _, _), level in zip(cells, levels, strict=True)])

    def _by_level(self, name: str, track: str, rows: Array, layer: Array, n_layers: int) -> dict[float | None, Array]:
        """Return the scores ``(n_layers,)`` under a perturbation at each level, and at None in area.

        A perturbation-aware entry has the latter alone, as it was given; a level-aware one's levels are averaged.
        """
        if track == "perturbation_aware":
            return {None: _of_layers(self._score[rows], layer, n_layers)}
        level = self._level[rows]
        by_level = {
            each: _of_layers(self._score[rows[level == each]], layer[level == each], n_layers)
            for each in np.unique(level).tolist()
        }
        levels, unknown = self._facts.levels[name], np.full(n_layers, np.nan)
        stacked = np.stack([by_level.get(each, unknown) for each in levels])
        return {**by_level, None: area_of(stacked, levels, self._facts.scales[name])}


def _of_layers(scores: Array, layer: Array, n_layers: int) -> Array:
    placed = np.full(n_layers, np.nan)
    placed[layer] = scores
    return placed


def _coded(column: pa.ChunkedArray) -> tuple[list[str], Array]:
    """Return the values of a column of text, and the number of each row's; -1 for null."""
    coded = column.combine_chunks().dictionary_encode()
    return coded.dictionary.to_pylist(), np.asarray(pc.fill_null(coded.indices, -1).to_numpy())
