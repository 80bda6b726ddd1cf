"""What a folder holds, a tree that is another one, a file that was changed."""

import json

import pyarrow as pa
import pyarrow.parquet as pq

from safer_bench.tables import files


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def other_card(copy):
    """Make another tree of it that is in order: one with another card."""
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "README.md").write_text("another card\n")
    manifest["files"]["README.md"] = files.sha256_of(b"another card\n")
    (copy / "manifest.json").write_text(json.dumps(manifest))
    return copy


def rewrite(path, change):
    """Change a Parquet file, keeping its schema."""
    table = pq.read_table(path)
    pq.write_table(pa.Table.from_pylist(change(table.to_pylist()), schema=table.schema), path)
