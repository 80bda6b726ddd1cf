"""What takes longer: the demo in a process of its own, and the committed truth measured again."""

import os
import re
import shlex
import shutil
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


def test_the_demo_takes_under_three_minutes_and_prints_what_the_start_page_shows(tmp_path):
    started = time.monotonic()
    output = run("demo", "--out", tmp_path / "demo")
    assert time.monotonic() - started < 180
    page = re.search(r"Leaderboard: +(\S+)\n", output)[1]
    assert page == str(tmp_path / "demo" / "board" / "leaderboard.html")
    loaded = re.search(r"load_dataset: (.*)\)\n", output)[1]
    page = (ROOT / "docs" / "index.md").read_text()
    assert loaded in page
    shown = board_numbers(page)
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


def benchmark(*words):
    """Run the benchmark for the least number of rounds and return the cells of its tables' lines, heads left out."""
    command = [sys.executable, "-m", "benchmarks", "--network", "digits_mlp", "--minutes", "0", *map(str, words)]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    lines = [re.split(r" ?\| ?", line)[1:-1] for line in output.splitlines() if line.startswith("| ")]
    return [
        cells for cells, after in zip(lines, [*lines[1:], [""]], strict=True) if "---" not in (cells[0], after[0])
    ], output


def test_the_benchmark_runs_and_all_contestants_count_the_same():
    lines, output = benchmark("--flattering", "1x50", "--examples", "50")
    names = ["plain loop", "plain loop, tuned", "engine", "engine --fast", "weights", "ceiling"]
    assert [cells[0] for cells in lines] == names * 4  # noise, the truth, of it ordinary perturbations and faults
    assert {cells[-1] for cells in lines[:4]} == {"0 of 6"}
    assert [cells[-1] for cells in lines[6:10]][2:] == ["0 of 198"] * 2
    assert all(float(cells[1]) > 0 for cells in lines)
    assert re.search(r"suffix work at 50 examples: \d+% \(\d+% to \d+%\) of the ceiling", output)


def test_a_contestant_that_fails_ends_the_benchmark_with_its_message():
    command = [sys.executable, "-m", "benchmarks", "--network", "digits_mpl"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "digits_mlp" in done.stderr  # what it could have been
    assert "failed with exit code 1; its message stands above" in done.stderr


def test_the_benchmark_compares_two_versions_each_with_its_own_package(tmp_path):
    """The other one draws other noise: its integers differ, and the table says so."""
    shutil.copytree(ROOT / "safer_bench", tmp_path / "safer_bench")
    same, _ = benchmark("--against", tmp_path, "--old-protocol", "2x100", "--new-protocol", "4x50")
    assert [cells[-1] for cells in same] == ["0 of 198", "0 of 60", "other work"]
    stream = tmp_path / "safer_bench" / "stream.py"
    stream.write_text(stream.read_text().replace("digest = hashlib", "key = (*key, 1)\n        digest = hashlib"))
    other, _ = benchmark("--against", tmp_path, "--old-protocol", "2x100", "--new-protocol", "4x50")
    assert int(other[0][-1].split()[0]) > 50


@pytest.mark.timeout(900)
def test_a_run_killed_ten_times_ends_with_the_same_bytes(tmp_path):
    found = kill_and_compare(tmp_path, n_kills=10, seed=1)
    assert (found.n_kills, found.n_lost, found.n_differing) == (10, 0, 0)
    assert found.n_files > 200
    assert found.n_before_the_first_part < 10, "no kill met a run at work"


def test_the_engineers_example_runs_as_the_docs_show_it(tmp_path):
    """To the last digit: its weights are trained in float64. Only what time, disk and memory are forecast differs."""
    text = (ROOT / "docs" / "runs.md").read_text()
    (tmp_path / "my_network.py").write_text(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[0])
    command = shlex.split(re.findall(r"^```sh\nsafer-bench (measure --network .*?)\n```", text, re.MULTILINE)[0])
    forecast, result = re.findall(r"^```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[:2]

    def output(words):
        ran = subprocess.run([sys.executable, "-c", MAIN, *words], cwd=tmp_path, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    assert first_words(output(command)) == first_words(forecast)
    assert output([word for word in command if word != "--dry-run"]) == result
    assert (tmp_path / "runs" / "mine" / "fragile-mine.svg").is_file()


def first_words(output):
    return sorted(line.split()[0] for line in output.splitlines() if line)
