"""Code in a process of its own: what it cannot reach, and that it ends whatever it does."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from safer_bench.dataset.submissions.sandbox import Limits, Stopped, closed_files, readable_folders, run_apart

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux confines")
ENTRY = Path(__file__).parents[2] / "made_up" / "confined.py"
TRY = """
import ctypes, os, signal, socket, subprocess, sys, time
def attempt(what):
    try:
        say(what())
    except Exception as error:
        say(type(error).__name__)
"""


PATIENT = Limits(seconds=30)


@pytest.fixture
def scratch(tmp_path):
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


@pytest.fixture
def run(scratch):
    """Run code apart; return the lines that it says and, last, how it was stopped."""

    def run(source, limits=PATIENT, hidden=(), own=(), n_lines=None, **given):
        job = {"source": TRY + source, "given": given | {"scratch": str(scratch)}, "unprotected": False}
        job |= {"readable": readable_folders(*own), "hidden": closed_files(*hidden)}
        lines = []
        with closing(run_apart(ENTRY, job, scratch, limits, 100_000)) as found:
            try:
                while len(lines) != n_lines:
                    lines.append(json.loads(next(found)))
            except Stopped as error:
                lines.append(str(error))
        return lines

    return run


def test_lines_come_back_and_what_is_printed_does_not(run):
    found = run("print('junk'); sys.stderr.write('Error: junk'); say({'a': 1}); say([2])")
    assert found[:2] == [{"a": 1}, [2]]
    assert found[2].startswith("its process ended (exit status 0) before all scores were there")


def test_files_of_the_maintainer_cannot_be_read_in_any_way(run, tmp_path):
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "cells.json").write_text("answers")
    source = """
libc = ctypes.CDLL(None, use_errno=True)
attempt(lambda: open(path).read())
attempt(lambda: os.read(os.open(path, os.O_RDONLY), 100).decode())
attempt(lambda: subprocess.run(['cat', path], capture_output=True, check=True).stdout.decode())
attempt(lambda: subprocess.run([sys.executable, '-c', 'print(open(%r).read())' % path], capture_output=True).stdout.decode())
attempt(lambda: 'OSError' if libc.open(path.encode(), 0) < 0 else 'opened')
attempt(lambda: os.link(path, scratch + '/linked'))
attempt(lambda: os.rename(path, scratch + '/moved'))
attempt(lambda: (os.symlink(path, scratch + '/there'), open(scratch + '/there').read())[1])
attempt(lambda: os.listdir(os.path.dirname(path)))
attempt(lambda: 'PermissionError' if libc.mount(b'/', scratch.encode(), None, 4096, None) else 'mounted')
if os.fork() == 0:
    attempt(lambda: open(path).read())
    os._exit(0)
os.wait()
"""
    found = run(source, path=str(tmp_path / "truth" / "cells.json"))
    assert [line for line in found[:-1] if line not in ("PermissionError", "OSError")] == []
    assert len(found) == 12


def test_what_is_handed_over_can_be_read_but_for_what_is_hidden_in_it(run, tmp_path):
    own = tmp_path / "own"
    names = ["a.txt", "deep/b.txt", "deep/truth/c.txt", "d.txt", "out.txt", "linked/secret.txt"]
    for name in names[:-2]:
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_text(name)
    (tmp_path / "secret.txt").write_text("secret")
    (own / "out.txt").symlink_to(tmp_path / "secret.txt")
    (own / "linked").symlink_to(tmp_path)  # such a one beside what is hidden kept everything from being confined
    source = "for path in paths: attempt(lambda: open(path).read())"
    found = run(source, own=[own], hidden=[own / "deep" / "truth"], paths=[str(own / name) for name in names])
    assert found[:-1] == ["a.txt", "deep/b.txt", "PermissionError", "d.txt", "PermissionError", "PermissionError"]


def test_images_that_judge_networks_stay_closed(run):
    from sklearn.datasets import _base

    path = Path(_base.__file__).parent / "data" / "digits.csv.gz"
    assert path.is_file()
    source = "attempt(lambda: open(path, 'rb').read(9)); attempt(lambda: open(other).read(9))"
    assert run(source, path=str(path), other=_base.__file__)[:-1] == [
        "PermissionError",
        Path(_base.__file__).read_text()[:9],
    ]


def test_there_is_no_network(run, tmp_path):
    servers = [socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)]
    servers[1].bind(str(tmp_path / "socket"))
    servers[1].listen()
    source = """
attempt(lambda: socket.create_connection(('127.0.0.1', port), timeout=2) and 'connected')
attempt(lambda: socket.socket(socket.AF_UNIX).connect(path))
attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'a', ('127.0.0.1', port)))
attempt(lambda: socket.getaddrinfo('localhost', 80) and 'PermissionError')
"""
    found = run(source, port=servers[0].getsockname()[1], path=str(tmp_path / "socket"))
    for server in servers:
        server.close()
    assert found[:3] == ["PermissionError"] * 3


def test_nothing_is_written_but_in_its_own_folder(run, tmp_path, scratch):
    path = tmp_path / "mine.txt"
    path.write_text("as it was")
    path.chmod(0o640)
    source = """
attempt(lambda: open(path, 'w'))
attempt(lambda: open(path + '.new', 'w'))
attempt(lambda: os.remove(path))
attempt(lambda: os.truncate(path, 0))
attempt(lambda: os.chmod(path, 0o777))
attempt(lambda: os.utime(path))
attempt(lambda: os.setxattr(path, 'user.a', b'b'))
attempt(lambda: os.mkdir(os.path.dirname(path) + '/new'))
attempt(lambda: os.memfd_create('a'))
attempt(lambda: open(scratch + '/own.txt', 'w').write('kept'))
"""
    before = path.stat().st_mtime_ns
    assert run(source, path=str(path))[:-1] == ["PermissionError"] * 9 + [4]
    assert (path.read_text(), path.stat().st_mode & 0o777, path.stat().st_mtime_ns) == ("as it was", 0o640, before)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["mine.txt", "scratch"]
    assert (scratch / "own.txt").read_text() == "kept"


def test_the_environment_is_empty(run, scratch, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    source = "say(dict(os.environ))\nfor pid in ('self', 1): attempt(lambda: open(f'/proc/{pid}/environ').read())"
    found = run(source)
    expected = {"HOME": str(scratch), "TMPDIR": str(scratch), "OMP_NUM_THREADS": "3"}
    assert {name: value for name, value in found[0].items() if name != "LC_CTYPE"} == expected
    assert found[1:3] in (["PermissionError"] * 2, ["FileNotFoundError", "PermissionError"])


BEAT = """
def beat():
    ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
    if os.fork() == 0:
        os.setsid()
        while True:
            open(scratch + '/beats', 'a').write('.')
            time.sleep(0.01)
    while not os.path.exists(scratch + '/beats'):
        time.sleep(0.01)
beat()
"""
GONE = "its process ended (exit status 0) before all scores were there"
FORK = "for _ in range(N):\n if os.fork() == 0: break\n"
LITTLE = Limits(seconds=60, memory=200_000_000, written=20_000_000, processes=9)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (BEAT + "os._exit(0)", GONE),
        (BEAT + "sys.exit(7)", GONE.replace("0", "7")),
        (BEAT + "os.kill(os.getpid(), signal.SIGKILL)", GONE.replace("exit status 0", "SIGKILL")),
        (BEAT + "os.killpg(0, signal.SIGTERM)", GONE.replace("exit status 0", "SIGTERM")),
        (BEAT + "for pid in (os.getppid(), -1, 1): attempt(lambda: os.kill(pid, signal.SIGKILL))", GONE),
        (BEAT + "os.closerange(0, 1000)", GONE),
        (BEAT + "os.kill(os.getpid(), signal.SIGSTOP)", "not done after 1 s"),
        (BEAT + "[signal.signal(s, signal.SIG_IGN) for s in (1, 2, 3, 14, 15)]\nwhile True: pass", "not done after 1 s"),
        ("os.close(out); time.sleep(60)", GONE.replace("exit status 0", "no longer writing")),
        ("bytearray(100_000_000_000)", GONE.replace("0", "1") + ": MemoryError"),
        ("kept = [b'a' * 10_000_000 + bytes([i]) for i in range(30)]; time.sleep(60)", "held more than 0.2 GB of memory"),
        (FORK.replace("N", "3") + "kept = b'a' * 90_000_000 + b'b'; time.sleep(60)", "held more than 0.2 GB of memory"),
        (FORK.replace("N", "20") + "time.sleep(60)", "ran more than 9 processes at a time"),
        ("while os.fork() or True: time.sleep(0.01)", "ran more than 9 processes at a time"),
        ("while True: os.write(out, b'junk' * 1000)", "wrote more than 100,000 bytes where scores were expected"),
        ("i = 0\nwhile (i := i + 1): open(f'{scratch}/{i}', 'wb').write(b'a' * 1_000_000)", "wrote files of more than 0.02 GB"),
        (
            "kept = []\nfor i in range(40):\n kept.append(open(f'{scratch}/a', 'wb', 0)); kept[-1].write(b'a' * 1_000_000)\n"
            " os.remove(f'{scratch}/a')\ntime.sleep(60)",
            "wrote files of more than 0.02 GB",
        ),
        ("f = open(f'{scratch}/a', 'wb', 0)\nwhile True: f.write(b'a' * 1_000_000)", GONE.replace("0", "1") + ": OSError"),
    ],
)  # fmt: skip
def test_whatever_code_does_it_is_ended_with_all_that_it_started(run, scratch, source, reason):
    limits = replace(LITTLE, seconds=1) if reason.startswith("not done") else LITTLE
    assert run(source, limits)[-1].startswith(reason)
    assert _stands_still(scratch / "beats"), "a process that it started goes on"


def _stands_still(path):
    size = path.stat().st_size if path.exists() else None
    time.sleep(0.05)
    return size == (path.stat().st_size if path.exists() else None)


def test_what_has_all_its_lines_is_ended_at_once(run, scratch):
    assert run(BEAT + "say(1); time.sleep(60)", n_lines=1) == [1]
    assert _stands_still(scratch / "beats")


def test_no_process_of_the_maintainer_can_be_signalled_or_seen(run):
    source = "attempt(lambda: os.kill(pid, 0)); attempt(lambda: os.getppid()); attempt(lambda: os.listdir('/proc'))"
    assert run(source, pid=os.getpid())[:-1] == ["ProcessLookupError", 1, "PermissionError"]


def test_it_ends_with_the_command_even_if_that_is_killed(scratch):
    job = {"source": TRY + BEAT + "time.sleep(60)", "given": {"scratch": str(scratch)}, "unprotected": False}
    job |= {"readable": readable_folders(), "hidden": []}
    program = (
        "from pathlib import Path\nfrom safer_bench.dataset.submissions.sandbox import Limits, run_apart\n"
        f"list(run_apart(Path({str(ENTRY)!r}), {job!r}, Path({str(scratch)!r}), Limits(), 1000))"
    )
    command = subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).parents[3])
    while not (scratch / "beats").exists():
        time.sleep(0.01)
        assert command.poll() is None
    command.send_signal(signal.SIGKILL)
    command.wait()
    time.sleep(0.3)
    assert _stands_still(scratch / "beats")
