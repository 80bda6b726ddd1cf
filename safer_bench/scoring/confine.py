"""Takes from this process, and from all that it starts, what a criterion's code has no use for: files, network, company.

Linux only, of the standard library alone: it has to run before the first thread does, and numpy and torch start some.
"""

import ctypes
import errno
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

NEW_USER, NEW_PID, NEW_NET, NEW_IPC = 0x10000000, 0x20000000, 0x40000000, 0x08000000
PARENT_DEATH, NO_NEW_PRIVILEGES, SECCOMP, FILTER = 1, 38, 22, 2  # of prctl
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # Landlock's system calls, on every architecture
PATH_BENEATH, ABI = 1, 1
READ_FILE, READ_DIR, WRITE_FILE = 1 << 2, 1 << 3, 1 << 1
OF_FILES = 1 << 0 | WRITE_FILE | READ_FILE | 1 << 14 | 1 << 15  # rights that a file by itself can have
SCRATCH = WRITE_FILE | READ_FILE | READ_DIR | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 13 | 1 << 14
RIGHTS_OF_ABI = (13, 14, 15, 15, 16)  # how many rights on files each version of Landlock knows
# What Landlock does not hold: sockets, owners and modes of files, memory of other processes, files of memory alone.
REFUSED_CALLS = {
    "x86_64": (0xC000003E, (41, 90, 91, 92, 93, 94, 101, 132, 165, 188, 189, 190, 197, 198, 199, 235, 250, 260, 261, 268,
                            272, 280, 298, 308, 310, 311, 319, 321, 323, 425, 452, 463, 466, 469)),
    "aarch64": (0xC00000B7, (5, 6, 7, 14, 15, 16, 40, 52, 53, 54, 55, 88, 97, 117, 198, 219, 241, 268, 270, 271, 279,
                             280, 282, 425, 452, 463, 466, 469)),
}  # fmt: skip


def end_with_parent() -> None:
    """Have the kernel kill this process when the one that started it ends."""
    if sys.platform == "linux":
        _libc().prctl(PARENT_DEATH, int(signal.SIGKILL), 0, 0, 0)


def separate() -> str | None:
    """Go on in a process of its own namespaces: no network, no other process in sight, and all it starts ends with it.

    The processes before it wait for it and end as it did. What it starts cannot stop the first one of its namespace, which
    ends with the one before, which ends with the caller: nothing outlives any of them.

    Returns:
        Why the system does not allow it, or None.
    """
    if sys.platform != "linux":
        return f"{sys.platform} has no namespaces"
    libc = _libc()
    if libc.unshare(NEW_USER | NEW_PID | NEW_NET | NEW_IPC):
        return f"namespaces of its own: {os.strerror(ctypes.get_errno())}"
    _bound(resource.RLIMIT_NPROC, 1_000)  # counted in the new namespace alone
    for _ in range(2):
        child = os.fork()
        if child:
            _end_as(child)
        end_with_parent()
    os.setsid()
    return None


def _end_as(child: int) -> None:
    """Wait for a child, and for what it left to this process, then end as it did."""
    os.closerange(3, 256)  # the way back for scores is the child's alone
    while True:
        ended, status = os.wait()
        if ended == child:
            os._exit(os.waitstatus_to_exitcode(status) % 256)


def limit(n_seconds: int, n_bytes: int, n_bytes_of_file: int) -> None:
    """Bound processor time, private memory, files and dumps of this process and of each that it starts."""
    wanted = {
        resource.RLIMIT_CPU: n_seconds,
        resource.RLIMIT_DATA: n_bytes,
        resource.RLIMIT_FSIZE: n_bytes_of_file,
        resource.RLIMIT_NOFILE: 256,
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in wanted.items():
        _bound(kind, value)


def _bound(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    most = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (most, most))


def restrict(readable: Iterable[str], hidden: Iterable[str], scratch: str) -> str | None:
    """Leave this process some folders to read, one to write to, and no program to start.

    Args:
        readable: files and folders, no links.
        hidden: files below them that stay closed.
        scratch: the folder for files of its own.

    Returns:
        Why the system does not allow it, or None.
    """
    if sys.platform != "linux" or platform.machine() not in REFUSED_CALLS:
        return f"{sys.platform} on {platform.machine()}: no way is known here to close files and network to a process"
    libc = _libc()
    libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    version = libc.syscall(CREATE_RULESET, None, 0, ABI)
    if version < 1:
        return f"Landlock: {os.strerror(ctypes.get_errno())}"
    known = (1 << RIGHTS_OF_ABI[min(version, len(RIGHTS_OF_ABI)) - 1]) - 1
    wanted = struct.pack("<QQQ", known, 0b11, 0b11)[: 8 if version < 4 else 16 if version < 6 else 24]
    rules = libc.syscall(CREATE_RULESET, wanted, len(wanted), 0)
    if rules < 0:
        return f"Landlock: {os.strerror(ctypes.get_errno())}"
    try:
        for path in readable:
            for part, rights in _open(Path(path), [Path(each) for each in hidden]):
                _allow(rules, part, rights & known)
        _allow(rules, Path(scratch), SCRATCH & known)
        _allow(rules, Path(os.devnull), (READ_FILE | WRITE_FILE) & known)
    except OSError as error:
        return f"Landlock: {error}"
    if libc.syscall(RESTRICT_SELF, rules, 0):
        return f"Landlock: {os.strerror(ctypes.get_errno())}"
    os.close(rules)
    return _refuse_calls(libc)


def _open(path: Path, hidden: list[Path]) -> list[tuple[Path, int]]:
    """Return what has to be opened so that all below a path can be read, but for what is hidden; names may be listed."""
    inside = [each for each in hidden if each.is_relative_to(path)]
    if not inside:
        return [(path, READ_FILE | READ_DIR)]
    if path in inside:
        return []
    return [(path, READ_DIR), *(part for entry in path.iterdir() for part in _open(entry, inside))]


def _allow(rules: int, path: Path, rights: int) -> None:
    if path.is_symlink():
        return  # what counts is where it leads
    try:
        place = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)  # type: ignore[attr-defined,unused-ignore]
    except OSError:
        return  # not there: nothing to open
    rights = rights if path.is_dir() else rights & OF_FILES
    if rights and _libc().syscall(ADD_RULE, rules, PATH_BENEATH, struct.pack("<Qi", rights, place), 0):
        raise OSError(ctypes.get_errno(), f"Landlock: {path}")
    os.close(place)


def _refuse_calls(libc: ctypes.CDLL) -> str | None:
    """Have some system calls fail from now on, by a filter of the kernel: a program of jumps over the call's number."""
    architecture, numbers = REFUSED_CALLS[platform.machine()]
    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06
    end = len(numbers) + 5  # the last step, where what is refused jumps to
    steps = [(load, 0, 0, 4), (equal, 0, end - 2, architecture), (load, 0, 0, 0), (at_least, end - 4, 0, 0x40000000)]
    steps += [(equal, end - i - 1, 0, number) for i, number in enumerate(numbers, start=4)]
    steps += [(answer, 0, 0, 0x7FFF0000), (answer, 0, 0, 0x00050000 | errno.EPERM)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(code)))
    if libc.prctl(SECCOMP, FILTER, program, 0, 0):
        return f"seccomp: {os.strerror(ctypes.get_errno())}"
    return None


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
