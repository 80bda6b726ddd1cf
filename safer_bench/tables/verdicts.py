"""What may be said of results of budgets: who beats ``uniform`` at equal spending, and who harms, all rows considered."""

import math
from collections.abc import Mapping
from functools import cache
from operator import itemgetter
from typing import Any

import pyarrow as pa

from safer_bench.tables.controls import UNIFORM
from safer_bench.tables.grouping import grouped

BEATS, HARMS, UNDECIDED = "beats uniform", "harms", "undecided"
CONFIDENCE = 0.95


def with_verdicts(results: pa.Table) -> pa.Table:
    """Return a table ``budget_results`` with its column ``verdict`` filled in; rows without a gain have none.

    A gain is decided where its interval lies on one side of 0. Intervals hold all at once, with 95 %, for one task under
    one perturbation: of m gains, each has 1 - 0.05 / m (Bonferroni). They allow for what the examples did not show, as the
    intervals of a plan do (``budget.intervals.allowing_for_unseen``): else the slope between two uniform allocations, which
    answer alike, is a sure gain. So verdicts depend on what else is in the table:
    whoever puts tables together asks for them again.
    """
    rows = results.to_pylist()
    verdicts: dict[int, str] = {}
    compared = [i for i, row in enumerate(rows) if row["gain"] is not None and row["criterion"] != UNIFORM]
    for members in grouped(compared, key=lambda i: itemgetter("task", "perturbation")(rows[i])).values():
        verdicts |= {i: _verdict(rows[i], len(members)) for i in members}
    column = pa.array([verdicts.get(i) for i in range(len(rows))], pa.string())
    place = results.schema.get_field_index("verdict")
    return results.set_column(place, results.schema.field(place), column)


def _verdict(row: Mapping[str, Any], n_compared: int) -> str:
    if row["gain_error"] is None:
        return UNDECIDED
    sampled = _quantile(row["draws"], n_compared) * row["gain_error"]
    unseen = -math.log(_tail(n_compared)) / (row["n_examples"] + 2)
    if abs(row["gain"]) <= math.hypot(sampled, unseen):
        return UNDECIDED
    return BEATS if row["gain"] > 0 else HARMS


def _tail(n_compared: int) -> float:
    """Return how probable it may be that an interval ends too early on one side."""
    return (1.0 - CONFIDENCE) / (2 * n_compared)


@cache
def _quantile(n_draws: int, n_compared: int) -> float:
    """Return how many standard errors an interval goes each way: Student's over draws, normal where there is one."""
    from scipy import stats  # half a second, which only budgets need

    level = 1.0 - _tail(n_compared)
    return float(stats.norm.ppf(level) if n_draws == 1 else stats.t.ppf(level, n_draws - 1))
