"""A dataset tree on disk: one folder a table, one Parquet file a split, a card and a manifest that pins every file."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from io import RawIOBase
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.dataset.pinned import REPO_ID, REVISION, pulled_folder
from safer_bench.errors import BadInput, MissingData, text_of
from safer_bench.tables import files, schema

DEFAULT = Path("data_cards/safer-bench")
MANIFEST = "manifest.json"
SPLITS = ("validation", "test")
HASHED_ROWS = 2**18  # at once; part of what a content hash is: another number, and every large tree has another revision
Documents = Callable[[Mapping[str, pa.Table], Mapping[str, str], Mapping[str, str]], Mapping[str, str]]
NO_SPLIT = "full"  # of tables without networks; `all` would be the obvious name, but `datasets` reserves it and fails


@dataclass(frozen=True)
class Tree(Mapping[str, pa.Table]):
    """All tables of a dataset tree, read and checked when asked for: ``tree["cells"]``."""

    path: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The manifest: schema, protocol, seed, SHA-256 of each file, content hash of each table.

        Raises:
            MissingData: there is no tree.
            BadInput: the manifest is damaged or of another schema version.
        """
        path = self.path / MANIFEST
        try:
            found = json.loads(path.read_text())
        except (FileNotFoundError, NotADirectoryError) as error:
            raise MissingData(
                f"{self.path}: no dataset tree (it has no {MANIFEST}). Name the folder of one, or make one: safer-bench demo"
            ) from error
        except ValueError as error:
            raise BadInput(f"{path}: damaged ({text_of(error)}); get the tree again") from error
        if not isinstance(found, dict) or not {"schema", "contents", "files", "seed"} <= set(found):
            raise BadInput(f"{path}: no manifest of a dataset tree (it lacks schema, contents, files or seed)")
        if found.get("schema") != schema.VERSION:
            raise BadInput(
                f"{self.path}: schema version {found.get('schema')}, expected {schema.VERSION}. Use the safer-bench "
                "release that wrote it, or get the current truth"
            )
        return found

    @property
    def revision(self) -> str:
        """First 16 hex digits of the content hash of ``layer_drops``: names the truth."""
        return str(self.manifest["contents"]["layer_drops"])[:16]

    def __getitem__(self, table: str) -> pa.Table:
        if table not in self:
            raise KeyError(table)
        return _read_table(self, table)

    def __contains__(self, table: object) -> bool:
        return table in self.manifest["contents"]

    def __iter__(self) -> Iterator[str]:
        return iter(self.manifest["contents"])

    def __len__(self) -> int:
        return len(self.manifest["contents"])


def load_tree(path: str | Path | None = None) -> Tree:
    """Return a dataset tree; its tables are read when asked for.

    Args:
        path: its folder; where None, ``./data_cards/safer-bench``, else the pinned truth in the Hugging Face cache.

    Raises:
        MissingData: there is no tree.
        BadInput: it is damaged or of another schema version.
    """
    tree = Tree(Path(path) if path is not None else _truth_at_hand())
    tree.manifest  # noqa: B018  read now, so that a missing tree is told at once
    return tree


def _truth_at_hand() -> Path:
    if (DEFAULT / MANIFEST).is_file():
        return DEFAULT
    folder = pulled_folder()
    if folder is None:
        raise MissingData(
            f"no truth here: neither in ./{DEFAULT} nor, of {REPO_ID} {REVISION}, in the Hugging Face cache. "
            "Fetch it: safer-bench pull; or name the folder of a tree"
        )
    return folder


def load_truth(path: str | Path | None = None, table: str = "layer_drops", split: str | None = None) -> pa.Table:
    """Return one table of a dataset tree.

    Args:
        path: folder of the tree; where None, ``./data_cards/safer-bench``, else the pinned truth in the Hugging Face cache.
        table: name of the table.
        split: ``validation`` or ``test``; both where None.

    Raises:
        MissingData: there is no tree.
        BadInput: an unknown table or split, a file that differs from the manifest, or a file the manifest does not know.
    """
    tree = load_tree(path)
    if table not in tree:
        raise BadInput(f"{tree.path}: has no table {table!r}; its tables: {', '.join(tree)}")
    found = tree[table]
    if split is None:
        return found
    if "split" not in found.schema.names or split not in SPLITS:
        raise BadInput(f"{tree.path}: table {table!r} has no split {split!r}; tables of networks have {', '.join(SPLITS)}")
    return found.filter(pc.field("split") == split)


def _read_table(tree: Tree, table: str) -> pa.Table:
    known = {name: digest for name, digest in tree.manifest["files"].items() if name.startswith(f"{table}/")}
    there = {f"{table}/{path.name}" for path in (tree.path / table).glob("*")}
    if there - set(known):
        raise BadInput(f"{tree.path}: {min(there - set(known))} is not in the manifest; remove it, or pack the tree again")
    parts = [_read_file(tree.path / name, digest, table) for name, digest in sorted(known.items())]
    return schema.in_order(pa.concat_tables(parts))


def _read_file(path: Path, digest: str, table: str) -> pa.Table:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise BadInput(f"{path}: missing, but in the manifest; get the tree again") from error
    found = files.sha256_of(data)
    if found != digest:
        raise BadInput(f"{path}: SHA-256 {found[:16]}, the manifest says {digest[:16]}; get the tree again")
    try:
        result = files.read_parquet(data)
    except pa.ArrowException as error:
        raise BadInput(f"{path}: no Parquet file ({text_of(error)})") from error
    schema.check_schema(result, table, str(path))
    return result


def content_hash(table: pa.Table) -> str:
    """Return the SHA-256 of a table's rows in canonical order, independent of the Parquet encoding."""
    digest = sha256()
    ordered = schema.in_order(table)
    kinds = files.plain(ordered.slice(0, 0)).schema
    with pa.ipc.new_stream(pa.PythonFile(_Sink(digest.update), mode="w"), kinds) as writer:
        for batch in files.batches(ordered, HASHED_ROWS):
            writer.write_table(batch)
    return digest.hexdigest()


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
    parts: dict[str, list[pa.Table]] = {split: [] for split in SPLITS}
    for run in runs(table, "split"):
        parts[run["split"][0].as_py()].append(run)
    return {f"{name}/{split}-00000-of-00001.parquet": pa.concat_tables(part) for split, part in parts.items() if part}


def runs(table: pa.Table, column: str) -> Iterator[pa.Table]:
    """Yield the table cut, without a copy, where a column of strings changes."""
    values = table[column].cast(pa.string())
    changed = pc.not_equal(values.slice(1), values.slice(0, max(table.num_rows - 1, 0)))
    ends = [*(np.flatnonzero(changed.to_numpy()) + 1).tolist(), table.num_rows]
    for start, end in pairwise([0, *ends]):
        if end > start:
            yield table.slice(start, end - start)


def write_tree(out: Path, tables: Mapping[str, pa.Table], facts: Mapping[str, Any], render: Documents) -> None:
    """Write a dataset tree, complete or not at all; an older tree in its place is replaced.

    Args:
        out: its folder: new, empty, or an older tree.
        tables: every table.
        facts: what the manifest says besides files and contents: protocol and seed.
        render: makes the documents beside the tables from tables, content hashes and digests of files.

    Raises:
        BadInput: the folder holds something else, or cannot be written to.
    """
    _check_replaceable(out)
    out = out.resolve()
    partial, old = out.with_name(f".{out.name}.partial"), out.with_name(f".{out.name}.old")
    for leftover in (partial, old):
        shutil.rmtree(leftover, ignore_errors=True)
    files.make_folder(partial)
    try:
        _fill(partial, tables, facts, render)
        _put_in_place(partial, out, old)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)  # half a tree would stay on the full disk
        raise


def _put_in_place(partial: Path, out: Path, old: Path) -> None:
    """Replace a tree by the one beside it; where the system refuses, the older one stays."""
    try:
        if out.exists():
            out.rename(old)
        partial.rename(out)
    except OSError as error:
        if old.exists() and not out.exists():
            old.rename(out)
        raise files.unwritable(out, error) from error
    shutil.rmtree(old, ignore_errors=True)


def _check_replaceable(out: Path) -> None:
    """Refuse to replace anything that is not a tree and nothing but a tree."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir() or not (out / MANIFEST).is_file():
        raise BadInput(f"{out}: not empty and no dataset tree; use a new folder")
    known = {*Tree(out).manifest["files"], MANIFEST}
    foreign = sorted({str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} - known)
    if foreign:
        raise BadInput(f"{out}: holds {foreign[0]}, which is no part of the tree there; move it away or use a new folder")


def _fill(folder: Path, tables: Mapping[str, pa.Table], facts: Mapping[str, Any], render: Documents) -> None:
    contents, digests = {}, {}
    for name, table in tables.items():
        ordered = schema.in_order(table)
        contents[name] = content_hash(ordered)
        for path, part in split_files(name, ordered).items():
            data = files.parquet_bytes(part)
            digests[path] = files.sha256_of(data)
            files.write_bytes(folder / path, data)
    documents = render(tables, contents, dict(digests))
    for path, text in documents.items():
        digests[path] = files.sha256_of(text.encode())
        files.write_text(folder / path, text)
    manifest = {"schema": schema.VERSION, **facts, "contents": contents, "files": digests}
    files.write_text(folder / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True) + "\n")
