"""What takes longer: the demo in a process of its own, and the committed truth measured again."""

import os
import re
import shlex
import subprocess
import sys
import time

import pytest

from tests.conftest import COMMITTED, ROOT
from tests.made_up.durability import MAIN, kill_and_compare

pytestmark = pytest.mark.long


def run(*words, **environment):
    found = subprocess.run(
        [sys.executable, "-c", "from safer_bench.cli import main; main()", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | environment,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def board_numbers(text):
    """Return {(title, criterion): numbers} of the boards printed in a text."""
    found, title = {}, ""
    for line in text.splitlines():
        title = line if re.match(r"\w+, (test|validation)", line) else title
        match = re.match(r"(\w+) +(-?\d\.\d\d\*?(?: +-?\d\.\d\d)+)$", line)
        if match:
            found[title, match[1]] = [float(word.rstrip("*")) for word in match[2].split()]
    return found


def test_the_demo_takes_under_three_minutes_and_prints_what_the_readme_shows(tmp_path):
    started = time.monotonic()
    output = run("demo", "--out", tmp_path / "demo")
    assert time.monotonic() - started < 180
    page = re.search(r"Leaderboard: +(\S+)\n", output)[1]
    assert page == str(tmp_path / "demo" / "board" / "leaderboard.html")
    loaded = re.search(r"load_dataset: (.*)\)\n", output)[1]
    assert loaded in (ROOT / "README.md").read_text()
    shown = board_numbers((ROOT / "README.md").read_text())
    printed = board_numbers(output)
    assert len(shown) == 8
    for key, numbers in shown.items():
        assert printed[key] == pytest.approx(numbers, abs=0.06), key  # scores are float32: a near tie may fall otherwise


@pytest.mark.parametrize("threads", ["1", "2"])
def test_twenty_rows_of_the_committed_truth_are_measured_again_to_the_same_integers(threads):
    rows = 20
    output = run("verify", COMMITTED, "--rows", rows, "--seed", threads, OMP_NUM_THREADS=threads)
    absent = re.search(r"^(\d+) of \d+ rows were not measured again", output, re.MULTILINE)
    n_absent = int(absent[1]) if absent else 0
    assert n_absent == 0 or not os.environ.get("CI"), "CI has the images of every dataset"
    assert output.splitlines()[-1] == f"{rows - n_absent} of {rows - n_absent} rows equal"


def test_the_benchmark_runs_and_all_contestants_count_the_same(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--network", "digits_mlp", "--examples", "50", "--draws", "1", "--rounds", "1"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")][2:]
    assert [row[0] for row in rows] == ["plain loop", "plain loop, tuned", "engine", "engine --fast", "ceiling"]
    assert {row[-1] for row in rows[:4]} == {"0"}


@pytest.mark.timeout(900)
def test_a_run_killed_ten_times_ends_with_the_same_bytes(tmp_path):
    found = kill_and_compare(tmp_path, n_kills=10, seed=1)
    assert (found.n_kills, found.n_lost, found.n_differing) == (10, 0, 0)
    assert found.n_files > 200
    assert found.n_before_the_first_part < 10, "no kill met a run at work"


def test_the_engineers_example_runs_as_the_docs_show_it(tmp_path):
    """The weights, trained on the spot, differ between machines: lines are compared by their first words."""
    text = (ROOT / "docs" / "runs.md").read_text()
    (tmp_path / "my_network.py").write_text(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[0])
    command = shlex.split(re.findall(r"^```sh\nsafer-bench (measure --network .*?)\n```", text, re.MULTILINE)[0])
    shown = re.findall(r"^```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[:2]
    for words, expected in ((command, shown[0]), ([word for word in command if word != "--dry-run"], shown[1])):
        ran = subprocess.run([sys.executable, "-c", MAIN, *words], cwd=tmp_path, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        assert first_words(ran.stdout) == first_words(expected)
    assert (tmp_path / "runs" / "mine" / "fragile-mine.svg").is_file()


def first_words(output):
    return sorted(line.split()[0] for line in output.splitlines() if line)
