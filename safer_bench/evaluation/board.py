"""What a board is: its rows, and what it can and cannot tell in words; no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isnan

import numpy as np

from safer_bench.evaluation.bootstrap import MIN_FAMILIES
from safer_bench.evaluation.kinds import numbered_kinds, resemblance
from safer_bench.tables.controls import CONTROLS, LEARNED
from safer_bench.tables.text import number_of

Array = np.ndarray
Entry = tuple[str, str]  # (criterion, track)


@dataclass(frozen=True, slots=True)
class Difference:
    """A criterion's mean minus another's, with the interval that holds for all differences of the board at once.

    The interval is None where the families' differences, or resamples of them, do not spread.
    """

    value: float
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class BoardRow:
    """One criterion on one board.

    Attributes:
        criterion: its name.
        track: what it sees.
        value: mean over families; None where it did not score every network and perturbation.
        by_network: mean over perturbations for each network it scored.
        by_family: mean over networks for each family it scored.
        n_undefined: cells without a value (a constant score or truth), counted as 0.
        n_cells: all cells.
        interval: 95 % interval of ``value``; None where families are too few, or too nearly alike to support one.
        ranks: best and worst rank within the track that the data allow; None likewise, and for replicates.
        against: ``{criterion: difference}``, the declared comparisons; empty likewise.
        reported: whether its scores are its author's word alone: then it has no interval, rank or comparison.
    """

    criterion: str
    track: str
    value: float | None
    by_network: dict[str, float]
    by_family: dict[str, float]
    n_undefined: int
    n_cells: int
    interval: tuple[float, float] | None = None
    ranks: tuple[int, int] | None = None
    against: dict[str, Difference] = field(default_factory=dict)
    reported: bool = False


@dataclass(frozen=True, slots=True)
class Standings:
    """What criteria reached, as arrays with one row a criterion.

    Attributes:
        entries: (criterion, track) of each.
        networks, families: names.
        values: means over families ``(n_rows,)``; nan where not every network and perturbation was scored.
        by_network: means over perturbations ``(n_rows, n_networks)``; nan where none was scored.
        by_family: means over networks ``(n_rows, n_families)``; likewise.
        limits: least and greatest possible means of families ``(2, n_rows, n_families)``.
        n_undefined, n_cells: ``(n_rows,)``, as of ``BoardRow``.
        reported: ``(n_rows,)``, likewise.
        intervals: ends ``(n_rows, 2)``; nan where there is none.
        ranks: best and worst ``(n_rows, 2)``; 0 where there is none.
        against: the declared comparisons of those that have any.
    """

    entries: list[Entry]
    networks: list[str]
    families: list[str]
    values: Array
    by_network: Array
    by_family: Array
    limits: Array
    n_undefined: Array
    n_cells: Array
    reported: Array
    intervals: Array
    ranks: Array
    against: Mapping[Entry, dict[str, Difference]] = field(default_factory=dict)

    def row(self, i: int) -> BoardRow:
        """Return one criterion."""
        entry, (low, high), (best, worst) = self.entries[i], self.intervals[i].tolist(), self.ranks[i].tolist()
        return BoardRow(
            *entry,
            value=None if isnan(self.values[i]) else float(self.values[i]),
            by_network=_known(self.networks, self.by_network[i]),
            by_family=_known(self.families, self.by_family[i]),
            n_undefined=int(self.n_undefined[i]),
            n_cells=int(self.n_cells[i]),
            interval=None if isnan(low) else (low, high),
            ranks=(best, worst) if best else None,
            against=self.against.get(entry, {}),
            reported=bool(self.reported[i]),
        )


def _known(names: list[str], means: Array) -> dict[str, float]:
    return {name: mean for name, mean in zip(names, means.tolist(), strict=True) if not isnan(mean)}


@dataclass(frozen=True, slots=True)
class Board:
    """One board: a dataset, a split, a metric, a size class of networks, and the cells of a scope.

    Attributes:
        dataset, split, metric: what it is about.
        headline: its networks have ten layers or more.
        families: family of each network.
        standings: by track, within it by falling value, those without a value last; then reported ones likewise.
        ceilings: what each track could reach, averaged like a criterion over the ``n_cells`` cells that have one; without
            a value where these are less than half of the board's. Of aware criteria: the noise-free truth. Of blind ones,
            by Spearman's correlation, the best single ranking of each network's layers.
        gate: reliability that its cells reach; 0: all.
        n_cells: networks under perturbations that it averages.
        n_left_out: those whose reliability is under the gate.
        kinds: of each family.
    """

    dataset: str
    split: str
    metric: str
    headline: bool
    families: dict[str, str]
    standings: Standings
    ceilings: dict[str, BoardRow]
    gate: float = 0.0
    n_cells: int = 0
    n_left_out: int = 0
    kinds: dict[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> tuple[BoardRow, ...]:
        """The standings, one by one."""
        return tuple(self.standings.row(i) for i in range(len(self.standings.entries)))

    @property
    def criteria(self) -> list[BoardRow]:
        """The ranked rows that are no controls and have not learnt from the board's own networks."""
        others = (*CONTROLS, *LEARNED) if self.split == "validation" else CONTROLS
        return [row for row in self.rows if row.value is not None and not row.reported and row.criterion not in others]

    @property
    def tracks(self) -> set[str]:
        """Those of its rows."""
        return {track for _, track in self.standings.entries}

    @property
    def has_intervals(self) -> bool:
        """Whether there are families enough for intervals and ranks."""
        return len(set(self.families.values())) >= MIN_FAMILIES

    @property
    def note(self) -> str:
        """What the board can and cannot tell."""
        n_families, n_networks = len(set(self.families.values())), len(self.families)
        if self.has_intervals and not self.standings.ranks.any():
            return f"{n_networks} networks of {n_families} families. Means alone, without intervals or ranks.{self._gated}"
        if self.has_intervals:
            return (
                f"{n_networks} networks of {n_families} families. Intervals are 95 %, unadjusted: each holds by itself. "
                "Ranks within a track and differences are 95 %, corrected for multiple comparisons: they hold all at once."
                f"{self._resembling}{self._gated}{self._taught}"
            )
        return (
            f"{number_of(n_networks, 'network')} of {number_of(n_families, 'family', 'families')}: too few for an "
            f"interval (at least {MIN_FAMILIES} families), so the order of the rows is no ranking of "
            f"criteria.{self._gated}{self._taught}"
        )

    def ceiling_note(self, track: str) -> str:
        """Which part of the cells a track's ceiling is of, or why there is none; empty where it is of all."""
        ceiling = self.ceilings[track]
        part = f"{ceiling.n_cells} of {self.n_cells} cells"
        if ceiling.value is None:
            return f"none: {part} have one"
        return "" if ceiling.n_cells == self.n_cells else f"over {part}"

    @property
    def _resembling(self) -> str:
        kinds = numbered_kinds([self.kinds.get(family, "") for family in self.standings.families])
        blind = [i for i, (name, track) in enumerate(self.standings.entries) if track == "blind" and name not in CONTROLS]
        values = self.standings.by_family[[i for i in blind if not isnan(self.standings.values[i])]]
        n_kinds = len(set(kinds.tolist()))
        if n_kinds == len(kinds) or not len(values):
            return ""
        return (
            f" The families are of {n_kinds} kinds. Those of one kind resemble each other (intraclass correlation "
            f"{np.median(resemblance(values, kinds)):.2f} in the median over blind criteria), which widens intervals."
        )

    @property
    def _taught(self) -> str:
        learned = [name for name, _ in self.standings.entries if name in LEARNED and self.split == "validation"]
        return f" {learned[0]} has learnt from validation networks, so its value here is no test." if learned else ""

    @property
    def _gated(self) -> str:
        if self.gate <= 0.0:
            return ""
        return (
            f" {self.n_left_out} of {self.n_cells + self.n_left_out} cells (network, perturbation) are left out: their "
            f"reliability is under {self.gate:g} or unknown."
        )
