"""Which cells of the results a board averages over; no I/O."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from safer_bench.errors import BadInput
from safer_bench.evaluation.cell_values import BoardCell, CellValues
from safer_bench.tables.facts import TruthFacts

Array = np.ndarray
GATES = (0.0, 0.5, 0.8)  # published boards are repeated at these
LEVEL_RANKS = ("mild", "mild to middle", "middle", "middle to severe", "severe")


@dataclass(frozen=True, slots=True)
class Scope:
    """The cells of a board.

    Attributes:
        metric: name of a metric.
        use_case: only its perturbations; None: those of all use cases.
        perturbation: only this perturbation; None: all.
        level_rank: only the perturbations' levels of this rank, 1 the mildest (a single level has none); None: areas over
            levels.
        gate: only cells of at least this reliability; 0: all, also those whose reliability is unknown.
        statistics: intervals, ranks and comparisons are wanted where families support them.
        reported: criteria whose scores are their authors' word alone: shown, but not ranked.
    """

    metric: str = "spearman"
    use_case: str | None = None
    perturbation: str | None = None
    level_rank: int | None = None
    gate: float = 0.0
    statistics: bool = True
    reported: frozenset[str] = frozenset()


def at_rank(values: CellValues, facts: TruthFacts, level_rank: int | None = None) -> CellValues:
    """Return the part of values in area, or at the levels of a rank.

    Raises:
        BadInput: no perturbation has a level of that rank.
    """
    levels: dict[str, float | None] = dict.fromkeys(facts.levels)
    if level_rank is not None:
        if not 1 <= level_rank <= facts.deepest:
            raise BadInput(f"level rank {level_rank}; expected 1, the mildest, to {facts.deepest}")
        ranked = {name: levels for name, levels in facts.levels.items() if 1 < len(levels) >= level_rank}
        levels = {name: of_one[level_rank - 1] for name, of_one in ranked.items()}
    inside = [cell.perturbation in levels and cell.level == levels[cell.perturbation] for cell in values.cells]
    return values.part(np.array(inside, dtype=bool))


def in_scope(facts: TruthFacts, scope: Scope, cells: Sequence[BoardCell]) -> Array:
    """Tell which cells are of a scope's perturbations ``(n_cells,)``; the gate is left to ``reliable``."""
    if scope.perturbation is not None:
        inside = [cell.perturbation == scope.perturbation for cell in cells]
    elif scope.use_case is not None:
        inside = [facts.use_cases[cell.perturbation] == scope.use_case for cell in cells]
    else:
        inside = [facts.use_cases[cell.perturbation] != "" for cell in cells]
    return np.array(inside, dtype=bool)


def reliable(facts: TruthFacts, gate: float, cells: Sequence[BoardCell]) -> Array:
    """Tell which cells' reliability reaches a gate ``(n_cells,)``; one that is unknown reaches none but 0."""
    known = [facts.reliability.get((cell.network, cell.perturbation, cell.level), -1.0) for cell in cells]
    return np.array([gate <= 0.0 or reliability >= gate for reliability in known], dtype=bool)
