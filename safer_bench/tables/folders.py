"""A folder replaced by another in one step, so that one of them is whole at its place or comes back to it."""

import ctypes
import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

from safer_bench.tables import files

HERE, EXCHANGE = -100, 2  # Linux's AT_FDCWD and RENAME_EXCHANGE
CANNOT = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)  # what file systems without it say


def beside(place: Path, kind: str) -> Path:
    """Return the hidden neighbour of a folder: ``partial`` as it is made, ``old`` where one had to give way, ``lock``."""
    return place.with_name(f".{place.name}.{kind}")


def put_in_place(place: Path, marker: str) -> None:
    """Replace a folder by its neighbour ``partial``, which is whole; where the system refuses, the older one stays.

    Args:
        place: the folder.
        marker: name of the file without which it is no whole one.

    Raises:
        BadInput: the system refuses.
    """
    partial, old = beside(place, "partial"), beside(place, "old")
    try:
        retired = partial if exchange(partial, place) else old
        if retired is old:
            _step_aside(partial, place, old)
        files.sync_folder(place.parent)
    except OSError as error:
        raise files.unwritable(place, error) from error
    discard(retired, marker)


def _step_aside(partial: Path, place: Path, old: Path) -> None:
    """Replace it in two steps; between them ``bring_back`` finds the older one."""
    try:
        if place.exists():
            place.rename(old)
        partial.rename(place)
    except BaseException:
        if old.exists() and not place.exists():
            old.rename(place)
        raise


def exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step; False where there are not two, or the system cannot.

    Raises:
        OSError: it can, and refuses.
    """
    swap = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if os.name == "posix" else None
    if swap is None or not other.exists():
        return False
    if swap(HERE, os.fsencode(one), HERE, os.fsencode(other), EXCHANGE) == 0:
        return True
    if ctypes.get_errno() in CANNOT:
        return False
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(other))


def bring_back(place: Path, marker: str) -> None:
    """Put back the older folder of a command that was killed after it had stepped aside.

    Raises:
        OSError: it cannot be put back.
    """
    if needs_bringing_back(place, marker):
        beside(place, "old").rename(place)
        files.sync_folder(place.parent)


def needs_bringing_back(place: Path, marker: str) -> bool:
    """Tell whether nothing is at its place and the older folder lies beside it."""
    empty = not place.exists() or (place.is_dir() and not any(place.iterdir()))
    return empty and (beside(place, "old") / marker).is_file()


def discard(folder: Path, marker: str) -> None:
    """Remove a folder, its marker first: what a kill leaves of it is never taken for a whole one.

    What people put in its place, a file or a link to a folder of theirs, is removed itself, and nothing that it leads to.
    """
    with suppress(OSError):
        if folder.is_symlink() or folder.is_file():
            folder.unlink()
            return
        (folder / marker).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
