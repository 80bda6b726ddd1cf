"""Tables of several run folders as one: repeated rows once, rows that contradict each other refused."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.errors import BadInput
from safer_bench.tables import schema
from safer_bench.truth.run_folder import RunFolder, read_parts

PROBE_KEY = ["network", "layer", "perturbation", "level", "draw"]
NOT_CANONICAL = "loss_increase"  # may differ between machines


def merge(name: str, parts: Sequence[pa.Table], key: Sequence[str]) -> pa.Table:
    """Return the rows of all parts in canonical order, those that are measured twice once.

    Args:
        name: what the rows are, for messages.
        parts: tables of one schema.
        key: columns that name a row.

    Raises:
        BadInput: two rows of one key differ, but for losses.
    """
    table = pa.concat_tables(parts).combine_chunks()
    if table.num_rows < 2:
        return table
    table = table.take(pc.sort_indices(table, sort_keys=[(column, "ascending") for column in key]))  # stable
    repeats = np.logical_and.reduce([_as_before(table[column]) for column in key])
    for column in table.schema.names:
        differing = repeats & ~_as_before(table[column])
        if column != NOT_CANONICAL and differing.any():
            raise _contradiction(name, table.slice(int(differing.argmax()), 2).to_pylist(), column, key)
    return schema.in_order(table.filter(pa.array(np.append(True, ~repeats))))


def parts_by_network(folders: Sequence[RunFolder]) -> dict[str, list[list[Path]]]:
    """Return the parts of each network, in order of names, by the folders that hold some.

    Raises:
        BadInput: a run is not finished.
    """
    finished = [folder.finished() for folder in folders]
    names = sorted({network for networks in finished for network in networks})
    return {network: [networks[network] for networks in finished if network in networks] for network in names}


def merged_probes(parts: Sequence[Sequence[Path]]) -> pa.Table:
    """Return the probes of one network, by all folders, in canonical order.

    Raises:
        BadInput: two rows of one key differ, but for losses.
    """
    return merge("probes", [read_parts(paths) for paths in parts], PROBE_KEY).combine_chunks()


def _as_before(column: pa.ChunkedArray) -> np.ndarray:
    """Tell of each row but the first whether its value is that of the row before: ``(n_rows - 1,)``."""
    if pa.types.is_nested(column.type):
        values = column.to_pylist()
        return np.array([after == before for before, after in pairwise(values)], dtype=bool)
    before, after = column.slice(0, len(column) - 1), column.slice(1)
    equal = pc.fill_null(pc.equal(after, before), False)
    return pc.or_(equal, pc.and_(pc.is_null(after), pc.is_null(before))).to_numpy().astype(bool)


def _contradiction(name: str, rows: list[dict[str, object]], column: str, key: Sequence[str]) -> BadInput:
    where = ", ".join(str(rows[0][column_of_key]) for column_of_key in key)
    return BadInput(
        f"the run folders contradict each other in {name}: {where}: {column} is {rows[0][column]} and {rows[1][column]}; "
        "measure both by the same protocol, or pack them apart"
    )
