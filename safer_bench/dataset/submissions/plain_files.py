"""Files of strangers: looked at before they are opened, and of scores only what is needed is read."""

import csv
import re
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from safer_bench.dataset.submissions.parquet_pages import BY_DICTIONARY, DELTA_BYTE_ARRAY, pages
from safer_bench.errors import BadInput, text_of
from safer_bench.tables.text import visible

Kind = Literal["text", "number"]
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
MOST_ROWS = 1_000_000  # nearly three times what 87 criteria on 26 networks have
MOST_TEXT = 300  # characters of a name
BASE_BYTES, ROW_BYTES = 1_000_000, 250  # of a file of scores: by itself, and for each row that it may have
READING = (pa.ArrowException, OSError, ValueError, KeyError, MemoryError, OverflowError)  # what a damaged file may raise


class BadSubmission(BadInput):
    """A submission that ``check`` refuses."""


def check_file(path: Path, most: int) -> None:
    """Refuse a link, what is no file, and a file of too many bytes; nothing is opened.

    Raises:
        BadSubmission: it is one, or is not there.
    """
    try:
        found = path.lstat()
    except (OSError, ValueError) as error:
        raise BadSubmission(f"{path}: cannot be read ({text_of(error)}); expected a file") from error
    if stat.S_ISLNK(found.st_mode):
        raise BadSubmission(f"{path}: a symbolic link; expected the file itself: links are not followed")
    if not stat.S_ISREG(found.st_mode):
        raise BadSubmission(f"{path}: a folder, pipe or device; expected a file")
    if found.st_size > most:
        raise BadSubmission(f"{path}: {found.st_size:,} bytes; expected {most:,} at most")


def is_there(path: Path) -> bool:
    """Tell whether anything has this name, also a link that leads nowhere, and what nobody here may look at."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def read_columns(path: Path, kinds: Mapping[str, Kind], most_rows: int) -> pa.Table:
    """Return such of the columns wanted as a Parquet or CSV file has: text as strings, numbers as float64.

    Args:
        path: ends in .parquet or .csv.
        kinds: of each column wanted; all others are left unread.
        most_rows: refused where there are more, before they are read.

    Raises:
        BadSubmission: a link or no file; too many bytes or rows; a column that is there twice, or of another kind; a text
            that is too long; what is no number; or a damaged file.
    """
    check_file(path, BASE_BYTES + ROW_BYTES * most_rows)
    try:
        table = _parquet(path, kinds, most_rows) if path.suffix == ".parquet" else _csv(path, kinds, most_rows)
    except BadInput:
        raise
    except (*READING, csv.Error) as error:
        raise BadSubmission(f"{path}: cannot be read ({visible(text_of(error))})") from error  # may hold the file's bytes
    for name, kind in kinds.items():
        longest = pc.max(pc.utf8_length(table[name])).as_py() if kind == "text" and name in table.schema.names else 0
        if (longest or 0) > MOST_TEXT:
            raise BadSubmission(
                f"{path}: column {name!r} has a text of {longest:,} characters; expected {MOST_TEXT} at most"
            )
    return table


def _check_header(path: Path, names: list[str]) -> None:
    twice = next((name for name, times in Counter(names).items() if times > 1), None)
    if twice is not None:
        raise BadSubmission(f'{path}: column "{visible(twice[:80])}" is there twice; expected each once')


def _check_rows(path: Path, n_rows: int, most_rows: int) -> None:
    if n_rows > most_rows:
        raise BadSubmission(
            f"{path}: {n_rows:,} rows or more; expected {most_rows:,} at most: a score of each layer of the truth for each "
            "criterion of the card, and for each perturbation and level that its track names"
        )


def _parquet(path: Path, kinds: Mapping[str, Kind], most_rows: int) -> pa.Table:
    """Read a Parquet file; its types, rows and sizes are asked for before anything is unpacked."""
    data = path.read_bytes()  # once: what is looked at is what is read
    with pq.ParquetFile(pa.BufferReader(data), pre_buffer=False) as file:
        names, about = file.schema_arrow.names, file.metadata
        _check_header(path, names)
        wanted = {name: kind for name, kind in kinds.items() if name in names}
        for name, kind in wanted.items():
            _check_kind(path, file.schema_arrow.field(name), kind)
        groups = [about.row_group(i) for i in range(about.num_row_groups)]
        _check_rows(path, max(about.num_rows, sum(group.num_rows for group in groups)), most_rows)
        chunks = [group.column(i) for group in groups for i in range(group.num_columns)]
        listed = _check_unpacked(path, data, [each for each in chunks if each.path_in_schema in wanted], most_rows)
    texts = [name for name, kind in wanted.items() if kind == "text" and name in listed]
    with pq.ParquetFile(
        pa.BufferReader(data), pre_buffer=False, read_dictionary=texts
    ) as file:  # a text that repeats is there once
        table = file.read(columns=list(wanted), use_threads=False)
    _check_rows(path, table.num_rows, most_rows)
    table.validate(full=True)  # also that text is UTF-8
    return pa.table({name: _column(path, table, name, kind) for name, kind in wanted.items()})


def _check_kind(path: Path, field: pa.Field, kind: Kind) -> None:
    of, types = field.type, pa.types
    inner = of.value_type if types.is_dictionary(of) else of
    is_text = types.is_string(inner) or types.is_large_string(inner) or types.is_string_view(inner)
    is_number = types.is_integer(of) or types.is_floating(of)
    if not (types.is_null(of) or (is_text if kind == "text" else is_number)):
        expected = "text" if kind == "text" else "numbers (integers or floats)"
        raise BadSubmission(f"{path}: column {field.name!r} is {str(of)[:80]}; expected {expected}")


def _check_unpacked(path: Path, data: bytes, chunks: list[pq.ColumnChunkMetaData], most_rows: int) -> set[str]:
    """Refuse columns that are much when they are unpacked, by the headers of their pages; the footer could lie.

    Returns:
        The columns with a dictionary, by which a long text is there once and stands for many.
    """
    most, size, listed = BASE_BYTES + ROW_BYTES * most_rows, 0, set()
    for chunk in chunks:
        starts = [chunk.data_page_offset, chunk.dictionary_page_offset if chunk.has_dictionary_page else None]
        start = min(each for each in starts if each is not None)
        for page in pages(data, start, start + chunk.total_compressed_size):
            size += page.size
            listed |= {chunk.path_in_schema} if page.encoding in BY_DICTIONARY else set()
            if size > most:
                raise BadSubmission(f"{path}: {size:,} bytes or more when it is unpacked; expected {most:,} at most")
            if page.encoding == DELTA_BYTE_ARRAY:
                raise BadSubmission(
                    f"{path}: column {chunk.path_in_schema!r} is encoded as DELTA_BYTE_ARRAY; write it as plain text"
                )
    return listed


def _column(path: Path, table: pa.Table, name: str, kind: Kind) -> pa.ChunkedArray:
    column = table[name]
    if kind == "number":
        return column.cast(pa.float64(), safe=False)  # a large integer becomes the nearest number
    for chunk in column.chunks if pa.types.is_dictionary(column.type) else ():
        longest = pc.max(pc.binary_length(chunk.dictionary.cast(pa.large_string()))).as_py() or 0
        if longest > 4 * MOST_TEXT:  # before it is written out in each row
            raise BadSubmission(f"{path}: column {name!r} has a text of {longest:,} bytes; expected {MOST_TEXT} characters")
    return column.cast(pa.string())


def _csv(path: Path, kinds: Mapping[str, Kind], most_rows: int) -> pa.Table:
    with StringIO(path.read_bytes().decode("utf-8-sig"), newline="") as lines:
        reader = csv.reader(lines, strict=True)
        header = next(reader, [])
        _check_header(path, header)
        places = {name: header.index(name) for name in kinds if name in header}
        columns: dict[str, list[str]] = {name: [] for name in places}
        for number, row in _rows(path, reader, len(header)):
            _check_rows(path, number, most_rows)
            for name, place in places.items():
                columns[name].append(row[place])
    made = {name: _texts_or_numbers(path, name, values, kinds[name]) for name, values in columns.items()}
    return pa.table(made)


def _rows(path: Path, reader: Iterator[list[str]], width: int) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with its number, from 1 without the header; empty lines are none."""
    for number, row in enumerate((row for row in reader if row), start=1):
        if len(row) != width:
            raise BadSubmission(f"{path}, row {number}: {len(row)} values; expected {width}, as the header has")
        yield number, row


def _texts_or_numbers(path: Path, name: str, values: list[str], kind: Kind) -> pa.Array:
    if kind == "text":
        return pa.array(values, pa.string())
    for number, text in enumerate(values, start=1):
        if text and not NUMBER.fullmatch(text):
            raise BadSubmission(f"{path}, row {number}: {name} is {text[:80]!r}; expected a number")
    return pa.array([float(text) if text else None for text in values], pa.float64())
