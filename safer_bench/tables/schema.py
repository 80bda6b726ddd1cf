"""Tables by their schema: build them, check them, bring them into canonical order."""

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.errors import BadInput
from safer_bench.tables.columns import METRIC_NAMES as METRIC_NAMES
from safer_bench.tables.columns import TABLES as TABLES
from safer_bench.tables.columns import VERSION as VERSION

SORT_KEYS = (
    *("criterion", "network", "perturbation", "summary", "metric", "level", "layer_index", "layer", "draw"),
    *("task", "budget", "set"),
)
MOST_RUNS = 1000  # of equal values, from which a table is sorted row by row


def described(item: pa.Field | pa.Schema) -> tuple[str, str]:
    """Return description and unit of a column, or description and nothing of a table."""
    metadata = item.metadata or {}
    return metadata.get(b"description", b"").decode(), metadata.get(b"unit", b"").decode()


def with_descriptions(table: pa.Table, name: str) -> pa.Table:
    """Return the columns of table ``name`` under today's descriptions: a run folder has those of when it was measured."""
    columns = TABLES[name]
    fields = [columns.field(field.name).with_type(field.type) for field in table.schema]
    return pa.Table.from_arrays(table.columns, schema=pa.schema(fields, columns.metadata))


def check_schema(table: pa.Table, name: str, where: str) -> None:
    """Refuse a table that is not of the current schema.

    Raises:
        BadInput: another schema version, or other columns or types; the message names the first difference.
    """
    found = (table.schema.metadata or {}).get(b"safer_bench.schema", b"none").decode()
    if found != VERSION:
        raise BadInput(
            f"{where}: schema version {found}, expected {VERSION}. Use the safer-bench release that wrote it, "
            "or get the current truth"
        )
    for field in TABLES[name]:
        if field.name not in table.schema.names:
            raise BadInput(
                f"{where}: column {field.name!r} is missing; expected those of table {name!r} in this release: make it "
                "again (a dataset tree by `pack --base`, or from its run folders), or use the safer-bench "
                "release that wrote it"
            )
        if table.schema.field(field.name).type != field.type:
            kind = table.schema.field(field.name).type
            raise BadInput(f"{where}: column {field.name!r} is {kind}, expected {field.type}")


def build(name: str, rows: list[dict[str, object]]) -> pa.Table:
    """Return ``rows`` as table ``name``, in the canonical order of rows.

    A row's missing keys become null; keys that are no column are ignored.
    """
    return in_order(pa.Table.from_pylist(rows, schema=TABLES[name]))


def in_order(table: pa.Table) -> pa.Table:
    """Return the rows in canonical order: by the columns of ``SORT_KEYS`` that the table has."""
    keys = [key for key in SORT_KEYS if key in table.schema.names]
    if _is_in_order(table, keys):
        return table
    by_runs = _runs_in_order(table, keys[0])
    return by_runs if _is_in_order(by_runs, keys) else table.sort_by([(key, "ascending") for key in keys])


def _runs_in_order(table: pa.Table, key: str) -> pa.Table:
    """Return a table with its runs of equal values of a column in the order of these, which copies nothing.

    Where files of two splits follow each other, this orders their networks without sorting rows.
    """
    column = table[key].cast(pa.string()) if pa.types.is_dictionary(table[key].type) else table[key]
    changes = np.flatnonzero(pc.not_equal(column.slice(0, table.num_rows - 1), column.slice(1))) + 1
    if column.null_count or len(changes) >= MOST_RUNS:
        return table
    ends = [0, *changes.tolist(), table.num_rows]
    runs = [(column[start].as_py(), start, end) for start, end in pairwise(ends)]
    return pa.concat_tables([table.slice(start, end - start) for _, start, end in sorted(runs)])


def _is_in_order(table: pa.Table, keys: list[str]) -> bool:
    """Tell whether sorting would change nothing: to look costs a tenth of sorting millions of rows, and no copy."""
    if any(table[key].null_count for key in keys):
        return False
    open_pairs: Any = pa.scalar(True)  # pairs of neighbours that no earlier key has decided
    for key in keys:
        column = table[key].cast(pa.string()) if pa.types.is_dictionary(table[key].type) else table[key]
        before, after = column.slice(0, max(table.num_rows - 1, 0)), column.slice(1)
        if pc.any(pc.and_(open_pairs, pc.greater(before, after))).as_py():
            return False
        open_pairs = pc.and_(open_pairs, pc.equal(before, after))
    return True
