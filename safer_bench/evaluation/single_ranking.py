"""The ceiling of a blind criterion: what the best single ranking of a network's layers reaches over several perturbations.

A blind criterion ranks the layers once for all perturbations, which rank them differently. No I/O.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.evaluation.aggregation import Cells, group_weights
from safer_bench.evaluation.cell_values import BoardCell
from safer_bench.ranks import of_length_1
from safer_bench.tables.coding import numbered
from safer_bench.tables.facts import Cell, TruthFacts

Array = np.ndarray
HALVES = ("half_a", "half_b")


def read_halves(truth: Mapping[str, pa.Table]) -> dict[Cell, Array]:
    """Return how each half of the truth ranks the layers of each cell that can be halved ``(2, n_layers)``.

    Ranks are centred and of length 1, so that the product of two rankings is their Spearman correlation; a half that is the
    same for all layers is 0.

    Args:
        truth: table ``layer_sensitivity``; without it there are none.
    """
    if "layer_sensitivity" not in truth:
        return {}
    table = truth["layer_sensitivity"].filter((pc.field("summary") != "tolerated_level") & pc.field("half_a").is_valid())
    if not table.num_rows:
        return {}
    names, where = _cells(table)
    order = np.argsort(where, kind="stable")  # layers of a cell stay in the order of the table, by name
    halves = np.stack([table[half].to_numpy() for half in HALVES])[:, order]
    ends = np.cumsum(np.bincount(where, minlength=len(names)))[:-1]
    return dict(zip(names, map(of_length_1, np.split(halves, ends, axis=1)), strict=True))


def _cells(table: pa.Table) -> tuple[list[Cell], Array]:
    """Return the cells of a table, and which of them each row is of."""
    columns = [table[name].combine_chunks().dictionary_encode() for name in ("network", "perturbation", "level")]
    codes = [pc.fill_null(column.indices, len(column.dictionary)).to_numpy() for column in columns]
    shape = [len(column.dictionary) + 1 for column in columns]
    keys, where = numbered(np.ravel_multi_index(codes, shape))
    values = [[*column.dictionary.to_pylist(), None] for column in columns]
    places = np.transpose(np.unravel_index(keys, shape)).tolist()
    return [tuple(of[i] for of, i in zip(values, place, strict=True)) for place in places], where


def ceilings(
    cells: Sequence[BoardCell], numbers: Cells, halves: Mapping[Cell, Array], limits: Array, facts: TruthFacts
) -> Array:
    """Return what the best single ranking of each network reaches in each cell, Spearman's correlation ``(n_cells,)``.

    The ranking of a mean of centred ranks has the highest mean correlation with them. It is found on one half of draws and
    examples and judged on the other, each way; what the noise of the judging half and that of the half that it is found on
    take off is given back, and what the noise of the whole truth takes off is taken. In the mean over a network's cells it
    is no more than the true ranking of each would reach, and of one cell that is it.

    nan of a network where a cell cannot be halved, or where the halves' rankings contradict each other, and of a cell that
    has no limit.

    Args:
        cells: of a board.
        numbers: the same by number.
        halves: what ``read_halves`` returns.
        limits: what the noise-free truth would reach in each cell ``(n_cells,)``; nan where that is not known.
        facts: of the truth, with reliabilities.

    Source: Spearman 1904, "The proof and measurement of association between two things" (attenuation).
    """
    found = np.full(len(cells), np.nan)
    weights = group_weights(numbers, np.arange(len(numbers.networks)))
    keys = [(cell.network, cell.perturbation, cell.level) for cell in cells]
    for network, of_network in enumerate(weights):
        mine = np.flatnonzero(numbers.network == network)
        if all(keys[i] in halves and keys[i] in facts.reliability for i in mine):
            rankings = np.stack([halves[keys[i]] for i in mine])  # (n_cells, 2, n_layers)
            reliabilities = np.array([facts.reliability[keys[i]] for i in mine])
            found[mine] = _of_network(rankings, of_network[mine], reliabilities, limits[mine])
    return found


def _of_network(rankings: Array, weights: Array, reliabilities: Array, limits: Array) -> Array:
    best = of_length_1(np.sum(weights[:, None, None] * rankings, axis=0))
    agreement = float(np.sum(best[0] * best[1]))
    if agreement <= 0.0:
        return np.full(len(rankings), np.nan)
    if len(rankings) == 1:
        return limits
    crossed = (np.sum(rankings[:, 1] * best[0], axis=-1) + np.sum(rankings[:, 0] * best[1], axis=-1)) / 2.0
    of_half = reliabilities / (2.0 - reliabilities)
    found = crossed / np.sqrt(agreement) * np.sqrt(2.0 / (1.0 + of_half))
    found = np.where(np.isfinite(limits), found, np.nan)
    mean, most = float(np.nansum(weights * found)), float(np.nansum(weights * limits))
    return found * (most / mean) if mean > most else found
