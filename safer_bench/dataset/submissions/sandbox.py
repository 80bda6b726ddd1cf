"""Runs a Python file of ours in a process of its own, with nothing of the maintainer's in reach, and reads what it writes.

It is watched from here: time, memory, processes, files and length of its answer. The process confines itself before it does
anything for a submission (``scoring/confine.py``), and is gone, with all that it started, when this is done with it.
"""

import json
import os
import select
import signal
import stat
import subprocess
import sys
import sysconfig
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from safer_bench.errors import BadInput

TICK = 0.2  # seconds between two looks at the process
NEEDED = (  # by the loader, by numpy and torch to choose their arithmetic
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/etc/localtime", "/dev/urandom",
    "/dev/zero", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu", "/sys/devices/system/node",
)  # fmt: skip
KEPT = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # of the environment


@dataclass(frozen=True, slots=True)
class Limits:
    """What code may use.

    Attributes:
        seconds: by the clock.
        memory: bytes that its processes hold together.
        written: bytes of its files together; a tenth for each.
        processes: at a time.
    """

    seconds: int = 3600
    memory: int = 8_000_000_000
    written: int = 1_000_000_000
    processes: int = 64


class Stopped(Exception):
    """The process ended before it was done, or was ended as it used too much; the text says how."""


def closed_files(*trees: Path) -> list[str]:
    """Return what stays closed where it lies among what may be read: trees of truth, and the images that judge networks."""
    hidden = [tree.resolve() for tree in trees]
    if "SAFER_BENCH_DATA" in os.environ:
        hidden.append(Path(os.environ["SAFER_BENCH_DATA"]).resolve())
    found = find_spec("sklearn")
    if found and found.origin:
        hidden.append(Path(found.origin).resolve().parent / "datasets" / "data" / "digits.csv.gz")
    return list(map(str, hidden))


def readable_folders(*own: Path) -> list[str]:
    """Return what an interpreter with torch reads: its library, packages and ours, and of the system what it needs."""
    package = Path(__file__).resolve().parents[2]
    library = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    library += [f"{prefix}/lib" for prefix in (sys.prefix, sys.base_prefix)]
    return sorted({str(Path(path).resolve()) for path in [*library, *NEEDED, str(package), *map(str, own)]})


def run_apart(
    entry: Path, job: dict[str, Any], scratch: Path, limits: Limits, most_bytes: int
) -> Generator[bytes, None, None]:
    """Start a file in a fresh interpreter and yield the lines that it writes to standard output.

    Close the generator to end the process and all that it started.

    Args:
        entry: the file, of ours.
        job: what it reads from standard input, as JSON; limits are added.
        scratch: the folder that it may write to.
        limits: what it may use.
        most_bytes: that it may write to standard output.

    Raises:
        Stopped: it ended, or used too much.
        BadInput: the system cannot run it.
    """
    if sys.platform == "win32":
        raise BadInput("Windows: the code of submissions runs on Linux, and with --unprotected on macOS")
    package = str(Path(__file__).resolve().parents[3])
    bounds = {"seconds": limits.seconds, "data_bytes": 2 * limits.memory, "file_bytes": limits.written // 10}
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    environment |= {"HOME": str(scratch), "TMPDIR": str(scratch)}
    with TemporaryFile() as given, TemporaryFile() as said:
        given.write(json.dumps(job | bounds | {"package": package, "scratch": str(scratch)}).encode())
        given.seek(0)
        process = subprocess.Popen(  # noqa: S603 (a file of ours)
            [sys.executable, "-I", "-B", "-X", "utf8", str(entry)],
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=said,
            env=environment,
            start_new_session=True,
        )
        try:
            yield from _lines(process, scratch, limits, most_bytes)
            raise Stopped(f"its process ended ({_how(process)}) before all scores were there{_last_words(said)}")
        finally:
            _end(process)


def _lines(process: subprocess.Popen[bytes], scratch: Path, limits: Limits, most_bytes: int) -> Iterator[bytes]:
    """Yield lines until nobody can write any more, while the process keeps to its limits."""
    assert process.stdout is not None  # noqa: S101 (a pipe was asked for)
    end, rest, n_bytes, looked = time.monotonic() + limits.seconds, b"", 0, 0.0
    while True:
        if select.select([process.stdout], [], [], TICK)[0]:
            part = os.read(process.stdout.fileno(), 2**16)
            if not part:
                return
            n_bytes += len(part)
            if n_bytes > most_bytes:
                raise Stopped(f"wrote more than {most_bytes:,} bytes where scores were expected")
            *lines, rest = (rest + part).split(b"\n")
            yield from lines
        elif process.poll() is not None:
            return  # what it left behind may hold the pipe
        now = time.monotonic()
        if now > end:
            raise Stopped(f"not done after {limits.seconds} s")
        if now > looked + TICK:
            looked = now
            _check_use(process.pid, scratch, limits)


def _check_use(pid: int, scratch: Path, limits: Limits) -> None:
    """Refuse a process that, with all below it, holds too much."""
    members = _below(pid)
    if len(members) > limits.processes:
        raise Stopped(f"ran more than {limits.processes} processes at a time")
    if sum(map(_resident, members)) > limits.memory:
        raise Stopped(f"held more than {limits.memory / 1e9:g} GB of memory")
    if not _fits(scratch, limits.written - _nameless(members)):
        raise Stopped(f"wrote files of more than {limits.written / 1e9:g} GB, or more than 10,000")


def _below(pid: int) -> list[int]:
    """Return a process and all that it started, where the system tells."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            parent = int(path.read_bytes().rpartition(b")")[2].split()[1])
            children.setdefault(parent, []).append(int(path.parent.name))
    found, queue = [pid], [pid]
    while queue:
        new = children.get(queue.pop(), [])
        found += new
        queue += new
    return found


def _resident(pid: int) -> int:
    """Return the bytes of memory that a process holds."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _nameless(pids: list[int]) -> int:
    """Return the bytes of files that processes hold open and have removed: no folder shows them."""
    sizes: dict[tuple[int, int], int] = {}
    for pid in pids:
        with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
            for entry in entries:
                with suppress(OSError):
                    found = entry.stat()
                    if stat.S_ISREG(found.st_mode) and not found.st_nlink:
                        sizes[found.st_dev, found.st_ino] = found.st_blocks * 512
    return sum(sizes.values())


def _fits(folder: Path, n_bytes: int) -> bool:
    """Tell whether files below a folder take no more than so many bytes."""
    count = total = 0
    queue = [str(folder)] if n_bytes >= 0 else []
    while queue:
        with suppress(OSError), os.scandir(queue.pop()) as entries:
            for entry in entries:
                count += 1
                total += entry.stat(follow_symlinks=False).st_blocks * 512
                if count > 10_000 or total > n_bytes:
                    return False
                if entry.is_dir(follow_symlinks=False):
                    queue.append(entry.path)
    return n_bytes >= 0


def _how(process: subprocess.Popen[bytes]) -> str:
    with suppress(subprocess.TimeoutExpired):
        code = process.wait(timeout=1)
        number = -code if code < 0 else code - 2**8 if code > 2**7 else 0
        names = {int(each): each.name for each in signal.Signals}
        return names.get(abs(number), f"exit status {code}") if number else f"exit status {code}"
    return "no longer writing"


def _last_words(said: IO[bytes]) -> str:
    """Return the last line of an error of ours: once a submission's code runs, nothing is written there."""
    said.seek(0, os.SEEK_END)
    said.seek(max(0, said.tell() - 1000))
    lines = said.read().decode(errors="replace").strip().splitlines()
    return f": {lines[-1]:.300}" if lines and "Error" in lines[-1] else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and its group; the kernel ends what else it started with the first process of its namespace."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdout is not None  # noqa: S101
    for _ in range(int(5 / TICK)):  # until the last that could write is gone
        if select.select([process.stdout], [], [], TICK)[0] and not os.read(process.stdout.fileno(), 2**16):
            break
    process.stdout.close()
