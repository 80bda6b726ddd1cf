"""Disturbs whatever writes at each of its steps in turn, then repeats it undisturbed: ``python -m tests.made_up.write_steps``.

A step is what changes a disk: a file opened, half of it written, synced, renamed or removed, a folder made, removed or swapped.
"""

import errno
import gc
import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from safer_bench.errors import BadInput
from safer_bench.measurement import run_log
from safer_bench.tables import files, folders
from safer_bench.truth import run_folder

NEEDS_ROOM = ("open", "write", "fsync", "mkdir")
HOWS = ("killed", "failed", "full")  # SIGKILL, ENOSPC once, and ENOSPC to all that needs room from there on
DONE, TOLD, ASTRAY = 0, 2, 3


@dataclass(frozen=True)
class Subject:
    """Something that writes.

    Attributes:
        name: of it.
        begin: brings an empty folder into the state of before.
        write: writes into the folder; again and again to the same bytes.
        read: what a reader finds there, after which the files are as he finds them.
        ignored: files that differ from run to run, by the end of their names.
        hows: in which ways it is disturbed.
        trains: whether it is never done in this process, as torch trains in none that forks a process which trains.
        piecewise: whether each file counts alone, so that some may be new and others absent.
    """

    name: str
    begin: Callable[[Path], None]
    write: Callable[[Path], None]
    read: Callable[[Path], None]
    ignored: tuple[str, ...] = ()
    piecewise: bool = False
    hows: tuple[str, ...] = HOWS
    trains: bool = False


class _Disk:
    """Counts steps, and does something at one of them."""

    def __init__(self, how: str = "", at: int = 0) -> None:
        self.how, self.at, self.n = how, at, 0

    def step(self, kind: str) -> None:
        self.n += 1
        if self.how == "killed" and self.n == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        if (self.how == "failed" and self.n == self.at) or (self.how == "full" and self.n >= self.at and kind in NEEDS_ROOM):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class _File:
    """A file of which half is on the disk when the next step comes."""

    def __init__(self, file, disk):
        self.file, self.disk = file, disk

    def write(self, data):
        self.file.write(data[: len(data) // 2])
        self.file.flush()
        self.disk.step("write")
        self.file.write(data[len(data) // 2 :])

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


@contextmanager
def _hooked(disk: _Disk) -> Iterator[None]:
    """Let ``disk`` see every step of this process."""

    def before(function, kind):
        def hooked(*args, **more):
            disk.step(kind)
            return function(*args, **more)

        return hooked

    def opened(path, mode="r", **more):
        if mode[0] not in "wax":
            return open(path, mode, **more)
        disk.step("open")
        return _File(open(path, mode, **more), disk)

    def os_open(path, flags, *args, real=os.open, **more):
        if flags & os.O_CREAT:
            disk.step("open")
        return real(path, flags, *args, **more)

    with ExitStack() as stack:
        for name in ("fsync", "mkdir", "rmdir", "rename", "replace", "unlink"):
            stack.enter_context(patch.object(os, name, before(getattr(os, name), name)))
        stack.enter_context(patch.object(os, "open", os_open))
        stack.enter_context(patch.object(folders, "exchange", before(folders.exchange, "exchange")))
        for module in (files, run_log, run_folder):
            stack.enter_context(patch.object(module, "open", opened, create=True))
        yield


def content(folder: Path, ignored: tuple[str, ...] = ()) -> dict[str, bytes]:
    """Return the files of a folder and of what lies beside it."""
    every = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: _said(path) for name, path in every.items() if not name.endswith(ignored or ("\n",))}


def _said(path: Path) -> bytes:
    """Return the bytes of a file, those of weights with a sorted header, since safetensors writes its keys in any order."""
    data = path.read_bytes()
    if path.suffix != ".safetensors":
        return data
    end = 8 + int.from_bytes(data[:8], "little")
    return json.dumps(json.loads(data[8:end]), sort_keys=True).encode() + data[end:]


def shown(found: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files that are not hidden."""
    return {name: data for name, data in found.items() if not any(part.startswith(".") for part in name.split("/"))}


def _in_child(subject: Subject, folder: Path, disk: _Disk, count: Path | None = None) -> int:
    """Write in a process of its own; return how it ended, negative where by a signal."""
    child = os.fork()
    if not child:
        gc.disable()
        try:
            with _hooked(disk):
                subject.write(folder)
            if count:
                count.write_text(str(disk.n))
            os._exit(DONE)
        except BadInput as error:
            os._exit(TOLD if "\n" not in str(error) else ASTRAY)
        except BaseException as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                os._exit(TOLD)  # by the command line, for any command
            traceback.print_exc()
            os._exit(ASTRAY)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def n_steps(subject: Subject, folder: Path) -> int:
    """Return how many steps it takes, by a trial that is not disturbed."""
    subject.begin(folder)
    count = folder.with_name("count")
    if _in_child(subject, folder, _Disk(), count) != DONE:
        raise RuntimeError(f"{subject.name} fails undisturbed")
    return int(count.read_text())


def disturbed(subject: Subject, scratch: Path) -> tuple[dict[str, int], list[str]]:
    """Disturb each step in each way; return how many were disturbed in which, and what went wrong then."""
    total = n_steps(subject, scratch / "new")
    subject.begin(scratch / "old")
    old, new = (content(scratch / name, subject.ignored) for name in ("old", "new"))
    counts, wrong = dict.fromkeys(subject.hows, 0), []
    for how in subject.hows:
        for at in range(1, total + 1):
            folder = shutil.copytree(scratch / "old", scratch / "now")
            code = _in_child(subject, folder, _Disk(how, at))
            counts[how] += 1
            for fault in _faults(subject, folder, code, how, old, new):
                wrong.append(f"{subject.name}, {how} at step {at} of {total}: {fault}")
            shutil.rmtree(folder)
    return counts, wrong


def _faults(subject: Subject, folder: Path, code: int, how: str, old, new) -> Iterator[str]:
    if code not in ((-signal.SIGKILL,) if how == "killed" else (DONE, TOLD)):
        yield f"ended with {code}"
    try:
        subject.read(folder)
        found = shown(content(folder, subject.ignored))
        if subject.piecewise:
            odd = [name for name, data in found.items() if data not in (new.get(name), old.get(name))]
            odd = [name for name in odd if not name.endswith(".checkpoint")]  # of any epoch; it was read
            odd += [name for name in shown(old) if name not in found and name in new]
        else:
            odd = [] if found in (shown(old), shown(new)) else ["neither the old files nor the new ones"]
        yield from (f"a reader finds {name}" for name in odd)
        if code == DONE and found != shown(new):
            yield "it says that it is done"
    except Exception as error:
        yield f"{type(error).__name__}: {error}"
    if not _repeated(subject, folder):
        yield "a repeat fails"
    again = content(folder, subject.ignored)
    yield from (
        f"after a repeat, {name} differs" for name in sorted(set(again) | set(new)) if again.get(name) != new.get(name)
    )


def _repeated(subject: Subject, folder: Path) -> bool:
    if subject.trains:
        return _in_child(subject, folder, _Disk()) == DONE
    try:
        subject.write(folder)
    except Exception:
        traceback.print_exc()
        return False
    return True


def run(scratch: Path, names: list[str]) -> dict[str, object]:
    """Disturb subjects, all where none is named; return steps and faults by name."""
    from tests.made_up.writers import subjects

    report = {}
    made = subjects(scratch)
    gc.freeze()  # or each child copies the pages that its collector looks at
    with patch.object(time, "monotonic", lambda: 0.0):
        for subject in made:
            if not names or subject.name in names:
                place = scratch / subject.name
                place.mkdir()
                started = time.perf_counter()
                counts, wrong = disturbed(subject, place)
                sys.stderr.write(f"{subject.name}: {counts}, {len(wrong)} faults\n")
                report[subject.name] = {"steps": counts, "wrong": wrong, "seconds": round(time.perf_counter() - started, 1)}
    return report


if __name__ == "__main__":
    with TemporaryDirectory() as place:
        json.dump(run(Path(place), sys.argv[1:]), sys.stdout, indent=1)
