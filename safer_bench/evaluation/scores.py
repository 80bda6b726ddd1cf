"""A ``scores`` table as arrays, one row a cell of a network's truth; no I/O."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.evaluation.truths import CellKey
from safer_bench.tables.columns import TRACKS
from safer_bench.truth.area import area_of

Array = np.ndarray
Entry = tuple[str, str]  # (criterion, track)


class ScoreArrays:
    """Finds the scores that criteria give the layers of a network.

    Attributes:
        entries: (criterion, track) of each criterion, sorted.
    """

    def __init__(self, table: pa.Table, perturbations: pa.Table) -> None:
        """Encode a checked ``scores`` table; ``perturbations`` knows the levels and how they average to an area."""
        self.perturbations = {row["perturbation"]: row for row in perturbations.to_pylist()}
        criteria, tracks = (_coded(table[name]) for name in ("criterion", "track"))
        pairs = criteria[1] * len(TRACKS) + tracks[1]
        found, entry = np.unique(pairs, return_inverse=True)
        entries = [(criteria[0][pair // len(TRACKS)], tracks[0][pair % len(TRACKS)]) for pair in found.tolist()]
        order = sorted(range(len(entries)), key=lambda i: entries[i])
        self.entries: list[Entry] = [entries[i] for i in order]
        self._entry = np.argsort(order)[entry]
        self._networks, self._network = _coded(table["network"])
        self._layers, self._layer = _coded(table["layer"])
        self._kinds, self._kind = _coded(table["perturbation"])
        self._level = np.asarray(table["level"].to_numpy(), dtype=np.float64)
        self._score = np.asarray(table["score"].to_numpy(), dtype=np.float64)

    def of_network(self, network: str, layers: Sequence[str], cells: Sequence[CellKey]) -> Iterator[tuple[list[int], Array]]:
        """Yield places in ``entries`` and their scores: all blind ones together, then each aware one by itself.

        Args:
            network: its name.
            layers: its layers ``(n_layers,)``.
            cells: (perturbation, summary, level) of its truth ``(n_cells,)``.

        Yields:
            Blind: ``(n_entries, n_layers)``. Aware: one entry and ``(n_cells, n_layers)``, nan where it says nothing.
        """
        if network not in self._networks:
            return
        rows = np.flatnonzero(self._network == self._networks.index(network))
        place = {name: i for i, name in enumerate(layers)}
        layer = np.array([place.get(name, -1) for name in self._layers])[self._layer[rows]]
        entry, score = self._entry[rows], self._score[rows]
        blind = np.array([track == "blind" for _, track in self.entries])[entry]
        present, line = np.unique(entry[blind], return_inverse=True)
        scores = np.full((len(present), len(layers)), np.nan)
        scores[line, layer[blind]] = score[blind]
        if len(present):
            yield present.tolist(), scores
        for found in np.unique(entry[~blind]).tolist():
            own = entry == found
            kinds, levels = self._kind[rows[own]], self._level[rows[own]]
            yield [found], self._aware(self.entries[found][1], kinds, levels, layer[own], score[own], cells, len(layers))

    def _aware(
        self, track: str, kinds: Array, levels: Array, layer: Array, score: Array, cells: Sequence[CellKey], n_layers: int
    ) -> Array:
        given: dict[tuple[str, float | None], Array] = {}
        for code in np.unique(kinds).tolist():
            for level in [None] if track == "perturbation_aware" else np.unique(levels[kinds == code]).tolist():
                chosen = (kinds == code) & ((levels == level) if level is not None else True)
                scores = given.setdefault((self._kinds[code], level), np.full(n_layers, np.nan))
                scores[layer[chosen]] = score[chosen]
        unknown = np.full(n_layers, np.nan)
        if track == "perturbation_aware":
            return np.stack([given.get((kind, None), unknown) for kind, _, _ in cells])
        for kind in {kind for kind, _ in given}:
            row = self.perturbations[kind]
            each = np.stack([given.get((kind, level), unknown) for level in row["levels"]])
            given[kind, None] = area_of(each, row["levels"], row["scale"])
        return np.stack([given.get((kind, level), unknown) for kind, _, level in cells])


def _coded(column: pa.ChunkedArray) -> tuple[list[str], Array]:
    """Return the values of a column of text, and the number of each row's; -1 for null."""
    coded = column.combine_chunks().dictionary_encode()
    return coded.dictionary.to_pylist(), np.asarray(pc.fill_null(coded.indices, -1).to_numpy())
