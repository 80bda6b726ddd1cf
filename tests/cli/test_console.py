"""What commands print with."""

import io
import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from safer_bench.cli import console


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [0.0]
    monkeypatch.setattr(console, "BEAT", 3600.0)
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


def test_where_no_terminal_is_progress_is_a_line_now_and_then(clock, capsys):
    with console.progress() as report:
        for now, step, done, total in ((1, "one", 1, 10), (6, "two", 3, 10), (9, "three", 4, 10), (12, "four", 0, 0)):
            clock[0] = now
            report(step, done, total)
    assert capsys.readouterr().err.splitlines() == ["6 s: two, 30%", "12 s: four"]


def test_a_step_that_takes_long_is_told_again(monkeypatch, capsys):
    monkeypatch.setattr(console, "EVERY", 0.05)
    monkeypatch.setattr(console, "BEAT", 0.01)
    with console.progress() as report:
        report("one", 1, 10)
        time.sleep(0.5)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 1
    assert all(line.endswith(" s: one, 10%") for line in lines)
    time.sleep(0.1)
    assert capsys.readouterr().err == ""


def test_in_a_long_run_lines_get_rarer(clock, capsys):
    with console.progress() as report:
        for clock[0] in range(0, 100_000, 10):
            report("step", clock[0], 100_000)
    lines = capsys.readouterr().err.splitlines()
    assert 100 < len(lines) < 200
    assert lines[-1].startswith("1 d ")


def test_who_wants_it_quiet_gets_no_line_of_progress_and_no_note(clock, capsys):
    console.set_quiet(quiet=True)
    try:
        with console.progress() as report:
            clock[0] = 100.0
            report("step", 1, 2)
        console.note("a note")
    finally:
        console.set_quiet(quiet=False)
    assert capsys.readouterr().err == ""
    console.note("a note")
    assert capsys.readouterr().err == "a note\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_gets_a_bar_and_colours_unless_no_color_is_set(monkeypatch, no_color):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    with console.progress() as report:
        report("measuring", 1, 2)
    shown = sys.stderr.getvalue()
    assert "measuring" in shown
    assert "50%" in shown
    assert any(f"\x1b[{code}" in shown for code in ("38;5;", "35m", "32m", "36m")) is not no_color


def test_json_has_no_number_that_json_lacks(capsys):
    console.print_json({"a": float("nan"), ("b"): [Path("x") / "y", (1, 2.5)], 3: None})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": ["x/y", [1, 2.5]], "3": None}


def test_results_printed_beside_a_bar_stay_on_standard_output():
    """rich would take what is printed to standard error, wrapped."""
    code = (
        "from safer_bench.cli import console\n"
        "with console.progress() as report:\n    report('step', 0, 0)\n    print('{\"long\": \"' + 'word ' * 100 + '\"}')"
    )
    ours, theirs = pty.openpty()
    try:
        found = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=theirs, check=True)
    finally:
        os.close(ours)
        os.close(theirs)
    assert json.loads(found.stdout) == {"long": "word " * 100}
