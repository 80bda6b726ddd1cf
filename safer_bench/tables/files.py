"""Files that are complete or not there: written beside their place, synced, then renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from safer_bench.errors import BadInput, text_of

BOOKKEEPING = (".git", ".cache")  # folders that git and the Hub's client keep beside what they fetched
MOST_ROWS = 2**18  # of one row group


def make_folder(path: Path) -> Path:
    """Create a folder that can be written to, or find it.

    Raises:
        BadInput: it cannot be created or written to.
    """
    probe = path / ".writable.partial"  # of one name, so that what a kill leaves goes with the next command
    try:
        _make_folders(path)
        with open(probe, "wb"):
            probe.unlink(missing_ok=True)
    except OSError as error:
        why = "Not a directory" if isinstance(error, FileExistsError) else text_of(error)
        raise BadInput(f"{path}: cannot write there ({why}); give another folder with --out") from error
    return path


def _make_folders(path: Path) -> None:
    """Create a folder and those above it, so that they outlive a loss of power."""
    made = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for each in made:
        sync_folder(each.parent)


def check_writable(path: Path) -> None:
    """Find out whether a folder could be created, and leave nothing behind.

    Raises:
        BadInput: it cannot be created or written to.
    """
    there = path.is_dir()
    make_folder(path)
    if not there:
        path.rmdir()


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically and durably: after a crash it has the old content or the new, never a part.

    Every file that a command leaves is written here, or by ``together``. Folders above it are made where they are not there.

    Raises:
        BadInput: the disk is full or the folder cannot be written to.
    """
    try:
        write_partial(path, data)
        partial_of(path).replace(path)
        sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):  # half a file would stay on the full disk; where there is no folder, there is none
            partial_of(path).unlink()
        if isinstance(error, OSError):
            raise unwritable(path, error) from error
        raise


def remove(path: Path) -> None:
    """Remove a file, if it is there, for good.

    Raises:
        BadInput: the system refuses.
    """
    try:
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise BadInput(f"{path}: cannot be removed ({text_of(error)}); remove it") from error


def partial_of(path: Path) -> Path:
    """Return where a file is written before it is at its place."""
    return path.with_name(f".{path.name}.partial")


def write_partial(path: Path, data: bytes) -> None:
    """Write what is to be at ``path`` beside it, and sync it.

    Raises:
        OSError: the disk is full or the folder cannot be written to.
    """
    partial = partial_of(path)
    _make_folders(path.parent)
    with open(partial, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Make what was created, renamed and removed in a folder outlive a loss of power."""
    if os.name == "nt":  # which has no such thing
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def locked(path: Path, refusal: str, seconds: float = 1.0) -> Iterator[None]:
    """Hold a lock file, which vanishes afterwards; the lock itself vanishes with the process.

    Args:
        path: the lock file.
        refusal: what is said where another process holds it for longer than ``seconds``.
        seconds: to wait.

    Raises:
        BadInput: another process holds it, or the folder cannot be written to.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=seconds)
    try:
        lock.acquire()
    except Timeout as error:
        raise BadInput(refusal) from error
    except OSError as error:
        raise unwritable(path.parent, error) from error
    try:
        yield
    finally:
        with suppress(OSError):  # who opened it meanwhile sees that it is gone, and makes a new one
            path.unlink()
        lock.release()


def unwritable(path: Path | str, error: OSError) -> BadInput:
    """Return what tells that a file cannot be written, why, and how to mend it."""
    mend = "make room there or name another place, and repeat the command"
    return BadInput(f"{path}: cannot be written ({text_of(error)}); {mend}")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode())


def parquet_bytes(table: pa.Table, order: np.ndarray | None = None) -> bytes:
    """Return a table as the bytes of a Parquet file; the same rows and pyarrow give the same bytes, however chunked.

    Args:
        table: of any schema, in one chunk where there is an order.
        order: of its rows in the file ``(n_rows,)``, by default as they are.
    """
    buffer = BytesIO()
    with pq.ParquetWriter(buffer, plain(table.slice(0, 0)).schema, compression="zstd") as writer:
        for batch in batches(table, MOST_ROWS, order):
            writer.write_table(batch)
    return buffer.getvalue()


def read_parquet(source: Path | bytes) -> pa.Table:
    """Read a Parquet file, or its bytes, in this thread alone.

    Arrow's own threads may let go of Python's bytes so late that a process that has nothing left to do ends by
    "terminate called without an active exception".
    """
    file = pa.BufferReader(source) if isinstance(source, bytes) else source
    opened = pq.ParquetFile(file, pre_buffer=False)
    repeated, schema = _repeated_strings(opened.metadata, opened.schema_arrow), opened.schema_arrow
    if not repeated:
        return opened.read(use_threads=False)
    return pq.ParquetFile(file, read_dictionary=repeated, pre_buffer=False).read(use_threads=False).cast(schema)


def _repeated_strings(metadata: pq.FileMetaData, schema: pa.Schema) -> list[str]:
    """Return the columns of strings that take less than a byte a row: they are faster read as numbers of a few values."""
    if not metadata.num_row_groups:
        return []
    group = metadata.row_group(0)
    columns = (group.column(i) for i in range(group.num_columns))
    small = {column.path_in_schema for column in columns if column.total_compressed_size < group.num_rows}
    return [field.name for field in schema if pa.types.is_string(field.type) and field.name in small]


def batches(table: pa.Table, n_rows: int, order: np.ndarray | None = None) -> Iterator[pa.Table]:
    """Yield a table in pieces of so many rows, each in one chunk: one piece where there are fewer, or none.

    Each is copied: strings of a slice are streamed in other bytes than the same strings by themselves. Rows come in
    ``order``, by default as they are.
    """
    for start in range(0, max(table.num_rows, 1), n_rows):
        if order is None:
            piece = table.slice(start, n_rows).combine_chunks()
            yield plain(piece.take(pa.array(np.arange(piece.num_rows))))
        else:
            yield plain(table.take(pa.array(order[start : start + n_rows])))


def plain(table: pa.Table) -> pa.Table:
    """Return a table without dictionaries, by which strings that repeat take a third of the memory."""
    kinds = [kind.value_type if pa.types.is_dictionary(kind) else kind for kind in table.schema.types]
    fields = [field.with_type(kind) for field, kind in zip(table.schema, kinds, strict=True)]
    return table.cast(pa.schema(fields, table.schema.metadata))


def names_below(folder: Path) -> set[str]:
    """Return the paths of all files below a folder, relative to it, ``BOOKKEEPING`` left out."""
    every = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    return {path.as_posix() for path in every if path.parts[0] not in BOOKKEEPING}


def sha256_of(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hexadecimal."""
    return sha256(data).hexdigest()
