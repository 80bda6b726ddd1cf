"""A dataset tree on disk: one folder a table, one Parquet file a split, a card and a manifest that pins every file."""

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.dataset.contents import SPLITS, content_hash, split_files
from safer_bench.dataset.manifest import MEND, read_manifest
from safer_bench.dataset.pinned import REPO_ID, REVISION, pulled_folder
from safer_bench.errors import BadInput, MissingData, text_of
from safer_bench.tables import files, folders, schema

DEFAULT = Path("data_cards/safer-bench")
MANIFEST = "manifest.json"
Documents = Callable[[Mapping[str, pa.Table], Mapping[str, str], Mapping[str, str]], Mapping[str, str]]


class NoTable(BadInput, KeyError):
    """A table that is asked for and that the tree does not have."""

    __str__ = Exception.__str__  # not KeyError's, which puts a text into quotes


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
        try:
            manifest = read_manifest(self.path / MANIFEST)
        except (FileNotFoundError, NotADirectoryError) as error:
            what = f"is not a dataset tree (it has no {MANIFEST})" if self.path.exists() else "there is no such folder"
            raise MissingData(f"{self.path}: {what}. Name the folder of one, or make one: safer-bench demo") from error
        self.check_no_link(MANIFEST)
        return manifest

    @cached_property
    def revision(self) -> str:
        """First 16 hex digits of the content hash of ``layer_drops``: names the truth.

        Raises:
            BadInput: the rows have another hash than the manifest says, or there is no such table.
        """
        if content_hash(self["layer_drops"]) != self.manifest["contents"]["layer_drops"]:
            raise BadInput(f"{self.path}: layer_drops: its rows differ from the manifest's content hash; {MEND}")
        return str(self.manifest["contents"]["layer_drops"])[:16]

    def check_no_link(self, name: str) -> None:
        """Refuse a file that lies elsewhere, but for the Hugging Face cache, whose folders are links to its blobs.

        Raises:
            BadInput: it is a symbolic link, or lies in a folder that is one.
        """
        top = self.path.resolve()
        found = (top / name).resolve()
        if found != top / name and not found.is_relative_to(top.parent.parent / "blobs"):
            raise BadInput(f"{self.path / name}: a symbolic link, expected a file of the tree; put a copy in its place")

    def read(self, name: str) -> bytes:
        """Return the bytes of a file.

        Raises:
            BadInput: it is missing, a symbolic link, or cannot be read.
        """
        path = self.path / name
        try:
            self.check_no_link(name)
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BadInput(f"{path}: missing, but in the manifest; {MEND}") from error
        except (OSError, RuntimeError) as error:  # the latter of links that lead to each other
            raise BadInput(f"{path}: cannot be read ({text_of(error)}); {MEND}") from error

    def __getitem__(self, table: str) -> pa.Table:
        if table not in self:
            raise NoTable(f"{self.path}: has no table {table!r}; its tables: {', '.join(self)}")
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
    if path is not None:
        _bring_back(Path(path))
    tree = Tree(Path(path) if path is not None else _truth_at_hand())
    tree.manifest  # noqa: B018  read now, so that a missing tree is told at once
    return tree


def _bring_back(path: Path) -> None:
    """Put the older tree back where a ``pack`` was killed before the new one was at its place."""
    place = path.resolve()
    try:
        if folders.needs_bringing_back(place, MANIFEST):
            with _packing(place):
                folders.bring_back(place, MANIFEST)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read or put back ({text_of(error)})") from error


def _packing(place: Path) -> AbstractContextManager[None]:
    refusal = f"{place}: another command packs this tree; repeat this one when it is done"
    return files.locked(folders.beside(place, "lock"), refusal)


def _truth_at_hand() -> Path:
    _bring_back(DEFAULT)
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
    rows = tree[table]
    if split is None:
        return rows
    if "split" not in rows.schema.names or split not in SPLITS:
        raise BadInput(f"{tree.path}: table {table!r} has no split {split!r}; tables of networks have {', '.join(SPLITS)}")
    return rows.filter(pc.field("split") == split)


def _read_table(tree: Tree, table: str) -> pa.Table:
    known = {name: digest for name, digest in tree.manifest["files"].items() if name.startswith(f"{table}/")}
    there = {f"{table}/{path.name}" for path in (tree.path / table).glob("*")}
    if there - set(known):
        raise BadInput(f"{tree.path}: {min(there - set(known))} is not in the manifest; remove it, or pack the tree again")
    with ThreadPoolExecutor() as pool:  # most of the time goes into unpacking
        parts = list(pool.map(lambda item: _read_file(tree, item[0], item[1], table), sorted(known.items())))
    return schema.in_order(pa.concat_tables(parts))


def _read_file(tree: Tree, name: str, digest: str, table: str) -> pa.Table:
    path, data = tree.path / name, tree.read(name)
    actual = files.sha256_of(data)
    if actual != digest:
        raise BadInput(f"{path}: SHA-256 {actual[:16]}, the manifest says {digest[:16]}; {MEND}")
    try:
        result = files.read_parquet(data)
    except pa.ArrowException as error:
        raise BadInput(f"{path}: is not a Parquet file ({text_of(error)})") from error
    schema.check_schema(result, table, str(path))
    return result


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
    out = out.resolve()
    _check_replaceable(out)
    files.make_folder(out.parent)
    with _packing(out):
        folders.bring_back(out, MANIFEST)
        _check_replaceable(out)
        partial = folders.beside(out, "partial")
        for leftover in (partial, folders.beside(out, "old")):  # a whole tree is at its place, or there never was one
            folders.discard(leftover, MANIFEST)
        try:
            files.make_folder(partial)
            _fill(partial, tables, facts, render)
            folders.put_in_place(out, MANIFEST)
        except BaseException:
            folders.discard(partial, MANIFEST)  # half a tree would stay on the full disk
            raise


def _check_replaceable(out: Path) -> None:
    """Refuse to replace anything that is not a tree and nothing but a tree."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir() or not (out / MANIFEST).is_file():
        raise BadInput(f"{out}: not empty and not a dataset tree; use a new folder")
    known = {*Tree(out).manifest["files"], MANIFEST}
    foreign = sorted({str(path.relative_to(out)) for path in out.rglob("*") if path.is_file() or path.is_symlink()} - known)
    if foreign:
        raise BadInput(f"{out}: holds {foreign[0]}, which is not part of the tree there; move it away or use a new folder")


def _fill(folder: Path, tables: Mapping[str, pa.Table], facts: Mapping[str, Any], render: Documents) -> None:
    contents, digests = {}, {}
    for name, table in tables.items():
        ordered = schema.in_order(schema.with_descriptions(table, name))
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
