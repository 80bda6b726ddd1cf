"""Every step of whatever writes, disturbed in turn, in a process of its own."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.long
@pytest.mark.timeout(900)
def test_every_step_of_whatever_writes_is_killed_once_and_failed_twice_and_nothing_is_lost():
    """Measure, pack by one step and by two, evaluate, budget, score and train; see ``tests/made_up/write_steps.py``."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.made_up.write_steps"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [line for each in report.values() for line in each["wrong"]] == []
    assert set(report) == {"measure", "pack", "pack without exchange", "evaluate", "budget", "score", "train"}
    counts = [sum(each["steps"].get(how, 0) for each in report.values()) for how in ("killed", "failed", "full")]
    assert min(counts) > 200, counts
