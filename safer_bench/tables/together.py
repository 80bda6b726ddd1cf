"""Files that are all new or all as before: a list of renames commits them, and the next command finishes them."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from safer_bench.errors import BadInput
from safer_bench.tables import files
from safer_bench.tables.strict_json import read_json
from safer_bench.tables.validation import sentence_of

PENDING = ".pending.json"  # lies there from the moment that all files are written until all are at their places
PATIENCE = 30.0  # seconds to wait for another command that writes into the folder: it renames a few files
PART = r"(\.?[^./\\\x00][^/\\\x00]*)"  # of a path: neither . nor ..
Name = Annotated[str, StringConstraints(max_length=255, pattern=f"^{PART}$")]
Below = Annotated[str, StringConstraints(max_length=255, pattern=f"^{PART}(/{PART})*$")]


class _Pending(BaseModel):
    """What is to become of a folder: files by name with the SHA-256 of their content, and those to be removed."""

    model_config = ConfigDict(strict=True, extra="forbid")

    files: dict[Below, str]
    gone: list[Name]


def write_together(folder: Path, made: Mapping[str, bytes], gone: Sequence[str] = ()) -> None:
    """Write files of one folder: after a crash or on a full disk all have their old content, or all get the new one.

    Args:
        folder: created where it is not there; other files in it stay as they are.
        made: content by name, which may lead into folders below.
        gone: names of files of before that do not belong to these.

    Raises:
        BadInput: the disk is full, the folder cannot be written to, or another command writes into it.
    """
    files.make_folder(folder)
    pending = _Pending(files={name: files.sha256_of(data) for name, data in made.items()}, gone=list(gone))
    with _alone(folder):
        _finish(folder)
        try:
            for name, data in made.items():
                with _told(folder / name):
                    files.write_partial(folder / name, data)
            with _told(folder):
                _sync(folder, made)
            files.write_bytes(folder / PENDING, json.dumps(pending.model_dump()).encode())
        except BaseException:
            _forget(folder, made)
            raise
        try:
            _finish(folder)
        except KeyboardInterrupt:
            _finish(folder)
            raise


def settle(folder: Path) -> None:
    """Finish what a command that was cut short began to write into a folder; before what lies there is read.

    Raises:
        BadInput: it cannot be finished.
    """
    if (folder / PENDING).is_file():
        with _alone(folder):
            _finish(folder)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with files.locked(
        folder / ".lock", f"{folder}: another command writes there; repeat this one when it is done", PATIENCE
    ):
        yield


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise files.unwritable(path, error) from error


def _finish(folder: Path) -> None:
    path = folder / PENDING
    if not path.is_file():
        return
    mend = "remove it, and repeat the command that wrote this folder"
    try:
        pending = _Pending.model_validate(read_json(path, mend))
    except ValidationError as error:
        raise BadInput(f"{path}: {sentence_of(error)}; {mend}") from error
    for name in pending.files:
        if (folder / name).parent.resolve() != folder.resolve() / Path(name).parent:
            raise BadInput(f"{path}: {name!r} leads out of the folder through a symbolic link; {mend}")
    with _told(folder):
        for name, digest in pending.files.items():
            partial = files.partial_of(folder / name)
            if partial.is_file() and files.sha256_of(partial.read_bytes()) == digest:
                partial.replace(folder / name)
        for name in pending.gone:
            (folder / name).unlink(missing_ok=True)
        _sync(folder, pending.files)
        path.unlink()


def _sync(folder: Path, names: Iterable[str]) -> None:
    for place in {folder, *((folder / name).parent for name in names)}:
        files.sync_folder(place)


def _forget(folder: Path, names: Mapping[str, bytes]) -> None:
    """Remove what was written before it was committed: it would stay on the full disk."""
    with suppress(OSError):
        (folder / PENDING).unlink(missing_ok=True)
        for name in names:
            files.partial_of(folder / name).unlink(missing_ok=True)
