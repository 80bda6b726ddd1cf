"""Which cells of the results a board averages over, and what belongs to them; no I/O.

A cell is a network under a perturbation, in area or at a level.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.errors import BadInput

Row = Mapping[str, Any]
GATES = (0.0, 0.5, 0.8)  # published boards are repeated at these
LEVEL_RANKS = ("mild", "mild to middle", "middle", "middle to severe", "severe")


@dataclass(frozen=True, slots=True)
class Scope:
    """The cells of a board.

    Attributes:
        metric: name of a metric.
        perturbation_family: only perturbations of this family; None: all.
        perturbation: only this perturbation; None: all.
        level_rank: only the perturbations' levels of this rank, 1 the mildest; None: areas over levels.
        gate: only cells of at least this reliability; 0: all, also those whose reliability is unknown.
        statistics: intervals, ranks and comparisons are wanted where families support them.
    """

    metric: str = "spearman"
    perturbation_family: str | None = None
    perturbation: str | None = None
    level_rank: int | None = None
    gate: float = 0.0
    statistics: bool = True


@dataclass(frozen=True, slots=True)
class Facts:
    """What boards need of a truth.

    Attributes:
        families: family of each network.
        kinds: family of each perturbation.
        levels: levels of each perturbation, from mild to severe.
        reliability: of each cell (network, perturbation, level or None for the area); absent where unknown.
    """

    families: dict[str, str]
    kinds: dict[str, str]
    levels: dict[str, list[float]]
    reliability: dict[tuple[str, str, float | None], float]


def read_facts(truth: Mapping[str, pa.Table]) -> Facts:
    """Return the facts of a truth; its table ``cells`` may be missing where no gate is asked for."""
    kinds = truth["perturbations"].to_pylist()
    cells = truth["cells"].to_pylist() if "cells" in truth else []
    return Facts(
        {row["network"]: row["family"] for row in truth["networks"].to_pylist()},
        {row["perturbation"]: row["perturbation_family"] for row in kinds},
        {row["perturbation"]: row["levels"] for row in kinds},
        {
            (row["network"], row["perturbation"], row["level"]): row["reliability"]
            for row in cells
            if row["summary"] != "tolerated_level" and row["reliability"] is not None
        },
    )


def result_rows(results: pa.Table, facts: Facts, metric: str, level_rank: int | None = None) -> list[dict[str, Any]]:
    """Return the results of single networks by a metric, in area or at the levels of a rank.

    Raises:
        BadInput: no perturbation has a level of that rank.
    """
    single = (pc.field("metric") == metric) & pc.field("network").is_valid()
    if level_rank is None:
        found: list[dict[str, Any]] = results.filter(single & (pc.field("summary") == "area")).to_pylist()
        return found
    deepest = max((len(levels) for levels in facts.levels.values()), default=0)
    if not 1 <= level_rank <= deepest:
        raise BadInput(f"level rank {level_rank}; expected 1, the mildest, to {deepest}")
    wanted = {name: levels[level_rank - 1] for name, levels in facts.levels.items() if len(levels) >= level_rank}
    found = results.filter(
        single & (pc.field("summary") == "level") & pc.field("level").isin(sorted(set(wanted.values())))
    ).to_pylist()
    return [row for row in found if wanted.get(row["perturbation"]) == row["level"]]


def in_scope(rows: Sequence[dict[str, Any]], facts: Facts, scope: Scope) -> list[dict[str, Any]]:
    """Return the rows of a scope's perturbations; the gate is left to ``reliable``."""
    if scope.perturbation is not None:
        return [row for row in rows if row["perturbation"] == scope.perturbation]
    if scope.perturbation_family is not None:
        return [row for row in rows if facts.kinds[row["perturbation"]] == scope.perturbation_family]
    return list(rows)


def reliable(rows: Sequence[dict[str, Any]], facts: Facts, gate: float) -> Iterator[dict[str, Any]]:
    """Yield the rows of cells whose reliability reaches a gate; one that is unknown reaches none but 0."""
    for row in rows:
        if gate <= 0.0 or facts.reliability.get((row["network"], row["perturbation"], row["level"]), -1.0) >= gate:
            yield row
