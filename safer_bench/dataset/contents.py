"""A table of a dataset tree: the hash of its rows, and the files that it is cut into."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from io import RawIOBase
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.tables import files, schema
from safer_bench.tables.columns import SPLITS as SPLITS

HASHED_ROWS = 2**18  # at once; part of what a content hash is: another number, and every large tree has another revision
NO_SPLIT = "full"  # of tables without networks; `all` would be the obvious name, but `datasets` reserves it and fails


def content_hash(table: pa.Table) -> str:
    """Return the SHA-256 of a table's rows in canonical order, independent of the Parquet encoding."""
    digest = sha256()
    ordered = schema.in_order(table)
    kinds = files.plain(ordered.slice(0, 0)).schema
    with pa.ipc.new_stream(pa.PythonFile(_Sink(digest.update), mode="w"), kinds) as writer:
        for batch in files.batches(ordered, HASHED_ROWS):
            writer.write_table(batch)
    return digest.hexdigest()


def network_revisions(drops: pa.Table) -> dict[str, str]:
    """Return, by network, the first 16 hex digits of the content hash of its rows of ``layer_drops``.

    It names what was measured of the network, whatever other networks the truth has and however columns are described.
    """
    bare = drops.cast(pa.schema([(field.name, field.type) for field in drops.schema]))
    return {run["network"][0].as_py(): content_hash(run)[:16] for run in runs(schema.in_order(bare), "network")}


class _Sink(RawIOBase):
    """A file that hands on what is written to it."""

    def __init__(self, take: Callable[[Any], None]) -> None:
        self._take = take

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._take(data)
        return len(data)


def split_files(name: str, table: pa.Table) -> dict[str, pa.Table]:
    """Return a table by file name within the tree: one file a split, or ``full`` for tables without networks."""
    if "split" not in table.schema.names:
        return {f"{name}/{NO_SPLIT}-00000-of-00001.parquet": table}
    by_split: dict[str, list[pa.Table]] = {split: [] for split in SPLITS}
    for run in runs(table, "split"):
        by_split[run["split"][0].as_py()].append(run)
    return {
        f"{name}/{split}-00000-of-00001.parquet": pa.concat_tables(of_split)
        for split, of_split in by_split.items()
        if of_split
    }


def runs(table: pa.Table, column: str) -> Iterator[pa.Table]:
    """Yield the table cut, without a copy, where a column of strings changes."""
    values = table[column].cast(pa.string())
    changed = pc.not_equal(values.slice(1), values.slice(0, max(table.num_rows - 1, 0)))
    ends = [*(np.flatnonzero(changed.to_numpy()) + 1).tolist(), table.num_rows]
    for start, end in pairwise([0, *ends]):
        if end > start:
            yield table.slice(start, end - start)
