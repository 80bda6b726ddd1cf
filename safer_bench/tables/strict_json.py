"""JSON of our own as input: read within bounds, each key once, and checked by a pydantic model."""

import json
from pathlib import Path
from typing import Any

from safer_bench.errors import BadInput, text_of

MOST_BYTES = 2**20
SHOWN = 60  # letters of what was found


def read_json(path: Path, mend: str, most_bytes: int = MOST_BYTES) -> Any:
    """Return what a JSON file holds.

    Args:
        path: the file.
        mend: what to do where it is damaged, for the message.
        most_bytes: of the file.

    Raises:
        FileNotFoundError, NotADirectoryError: there is none.
        BadInput: it cannot be read, is too large, is no JSON, or says a key twice.
    """
    try:
        size = path.stat().st_size
        if size > most_bytes:
            raise BadInput(f"{path}: {size:,} bytes, expected {most_bytes:,} at most; {mend}")
        return parse(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise
    except (ValueError, OSError) as error:
        raise BadInput(f"{path}: damaged ({text_of(error)[:200]}); {mend}") from error


def parse(data: bytes) -> Any:
    r"""Return what JSON says; stricter than Python's reader, which takes NaN and the last of two equal keys.

    >>> parse(b'{"a": [1, null]}')
    {'a': [1, None]}

    Raises:
        ValueError: it is no JSON, nests without end, or says a key twice.
    """
    try:
        return json.loads(data, object_pairs_hook=_once, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(key for key in keys if keys.count(key) > 1)!r:.{SHOWN}} is there twice")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")
