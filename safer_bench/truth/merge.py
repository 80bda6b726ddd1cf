"""Tables of several run folders as one: repeated rows once, rows that contradict each other refused."""

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.errors import BadInput
from safer_bench.tables import schema
from safer_bench.truth.parts import Parts, expected_of, read_parts
from safer_bench.truth.request import another_file, other_answers
from safer_bench.truth.run_folder import RunFolder

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


def parts_by_network(folders: Sequence[RunFolder]) -> dict[str, list[Parts]]:
    """Return the parts of each network, in order of names, by the folders that hold some.

    Raises:
        BadInput: a run is not finished.
    """
    finished = [folder.finished() for folder in folders]
    names = sorted({network for networks in finished for network in networks})
    return {network: [networks[network] for networks in finished if network in networks] for network in names}


def merged_probes(name: str, parts: Sequence[Parts], tables: Mapping[str, pa.Table]) -> pa.Table:
    """Return the probes of one network, by all folders, in canonical order.

    Args:
        name: of the network.
        parts: those of each folder.
        tables: networks, layers and perturbations of all folders.

    Raises:
        BadInput: two rows of one key differ, but for losses; or a part is not what its run measured there.
    """
    read = [read_parts(of_one.paths, expected_of(of_one.request, name, tables)) for of_one in parts]
    return merge("probes", read, PROBE_KEY).combine_chunks()


def check_same_code(folders: Sequence[RunFolder]) -> None:
    """Refuse folders in which one network answers otherwise, or one perturbation is made by other files.

    Raises:
        BadInput: they are; the message names it.
    """
    requests = [(folder.path, folder.request()) for folder in folders]
    for (a, one), (b, other) in combinations(requests, 2):
        found = other_answers(one.get("clean", {}), other.get("clean", {}))
        if found is None and "files" in one and "files" in other:
            files = [request["files"]["perturbations"] for request in (one, other)]
            both = files[0].keys() & files[1].keys()
            alike = [{"networks": {}, "perturbations": {name: of_one[name] for name in both}} for of_one in files]
            found = another_file(*alike)
        if found is not None:
            raise BadInput(f"{b} and {a} contradict each other: {found}; measure both by the same code, or pack them apart")


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
