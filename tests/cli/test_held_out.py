"""Submitted code, judged on networks that nobody has seen: what leaves is means, and no word of the code's."""

import csv
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from safer_bench.dataset.pack import pack
from safer_bench.dataset.tree import Tree, load_tree
from safer_bench.evaluation.boards import boards
from safer_bench.evaluation.evaluate import evaluate
from safer_bench.measurement.design import make_protocol
from safer_bench.measurement.run import measure_into
from safer_bench.networks.loading import load_network
from safer_bench.scoring import by_code
from safer_bench.scoring.write import write_scores
from safer_bench.tables.controls import FROM_TABLES, REPLICATES
from safer_bench.tables.files import read_parquet
from tests.conftest import ROOT
from tests.made_up.held_out import LAYERS, NETWORKS, networks_file, submission
from tests.made_up.trees import content

pytestmark = pytest.mark.long  # each is a sandbox of its own
PROGRESS = re.compile(r"(\d+ min )?\d+ s: (rehearsing|scoring by \w+), \d+%$")
SIZE = "return {name: float(model.get_submodule(name).weight.detach().abs().max()) for name in layers}"
MOVED = """import safer_bench as sb
import numpy as np

@sb.criterion(aware=True, source="made up")
def moved(model, batches, perturb, level):
    layers = [name for name, part in model.named_modules() if hasattr(part, "weight")]
    return {name: float(np.abs(perturb(name, level)).sum()) for name in layers}
"""
BY_LEVEL = f"from dataclasses import replace\n{MOVED}\nby_level = replace(moved, name='by_level', track='level_aware')\n"
SAYS = "raise RuntimeError(' '.join(layers) + str(batches[0][0]))"
FORGES = """import json, os

def forges(model, batches):
    layers = [name for name, part in model.named_modules() if hasattr(part, "weight")]
    for number in range(3, 30):
        try:
            os.write(number, (json.dumps({"unprotected": " ".join(layers)}) + chr(10)).encode())
        except OSError:
            pass
    os._exit(0)
"""
PEEKS = """import sys
from pathlib import Path

def peeks(model, batches):
    layers = [name for name, part in model.named_modules() if hasattr(part, "weight")]
    for path in PATHS:
        try:
            Path(path).read_bytes()
        except OSError:
            continue
        raise ValueError("read")
    seen = type(model).forward.__globals__
    assert "EVALUATION" not in seen and "user_file_nets" not in sys.modules
    return {name: float(len(name)) for name in layers}
"""


@dataclass(frozen=True)
class Judged:
    """A tree, and what came of judging submissions on it."""

    tree: Tree
    specs: list[str]
    root: Path
    before: dict[str, bytes]
    out: Path
    temporary: Path
    ran: subprocess.CompletedProcess[str]

    @property
    def rows(self) -> list[dict[str, str]]:
        return list(csv.DictReader((self.out / "held_out.csv").read_text().splitlines()))


@pytest.fixture(scope="module")
def judged(tmp_path_factory) -> Judged:
    base = tmp_path_factory.mktemp("held")
    specs = networks_file(base / "secret")
    networks = [load_network(spec) for spec in specs]
    protocol = make_protocol(("gaussian_noise:0.5,2", "magnitude_prune:0.5,0.9"), 4, 20, deterministic_examples=40)
    measure_into(base / "run", networks, protocol)
    write_scores(base / "scores", ["snip", "measured_drop_32"], networks, protocol.perturbations)
    pack([base / "run"], [base / "scores"], base / "tree")
    root, temporary = base / "submissions", base / "temporary"
    temporary.mkdir()
    paths = [str(path) for path in (base / "secret" / "nets.py", *(base / "tree").rglob("*.parquet"))]
    more = {"moved": ("perturbation_aware", MOVED), "by_level": ("level_aware", BY_LEVEL)}
    submission(root, "largest", SIZE, peeks=("blind", PEEKS.replace("PATHS", repr(paths))), **more)
    submission(root, "says", SAYS)
    submission(root, "forges", FORGES)
    submission(root, "codeless")
    before = content(root)
    words = ["evaluate", root, "--held-out", base / "tree", "--out", base / "out"]
    words += [word for spec in specs for word in ("--network", spec)]
    ran = subprocess.run(
        [sys.executable, "-c", "from safer_bench.cli import main; main()", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)},
    )
    return Judged(load_tree(base / "tree"), specs, root, before, base / "out", temporary, ran)


def test_means_are_those_of_the_ordinary_evaluation_of_the_same_tree(judged, tmp_path):
    own = [f"{judged.root / 'largest' / name}.py:{name}" for name in ("largest", "moved", "by_level")]
    levels = make_protocol(("gaussian_noise:0.5,2", "magnitude_prune:0.5,0.9")).perturbations
    write_scores(tmp_path / "scores", own, [load_network(spec) for spec in judged.specs], levels)
    scores = pa.concat_tables([judged.tree["scores"], read_parquet(tmp_path / "scores" / "scores.parquet")])
    (board,) = [each for each in boards(evaluate(judged.tree, scores), judged.tree) if each.split == "test"]
    expected = {(row.criterion, row.track): round(row.value, 2) for row in board.rows if row.value is not None}
    found = {(row["criterion"], row["track"]): float(row["mean"]) for row in judged.rows if row["criterion"] != "peeks"}
    assert found == expected
    assert {"largest", "moved", "by_level", "snip", "measured_drop_32", "size_depth", *FROM_TABLES, *REPLICATES} == {
        name for name, _ in found
    }
    assert {(row["dataset"], row["split"], row["layers"], row["networks"], row["families"]) for row in judged.rows} == {
        ("own", "test", "fewer than 10", "3", "3")
    }
    brought = {row["criterion"]: row["submission"] for row in judged.rows if row["submission"]}
    assert brought == dict.fromkeys(("largest", "moved", "by_level", "peeks"), "largest")
    assert {row["truth_revision"] for row in judged.rows} == {judged.tree.revision}


def test_nothing_but_means_leaves(judged):
    assert list(content(judged.out)) == ["held_out.csv"]
    told = judged.ran.stdout + judged.ran.stderr + (judged.out / "held_out.csv").read_text()
    for secret in (*NETWORKS, *LAYERS, "kin_", "tensor", "Marsupial"):
        assert secret not in told.replace("held_out", ""), secret
    assert content(judged.root) == judged.before, "neither a record of recomputed scores nor anything else"
    assert not list(judged.temporary.iterdir())


def test_code_that_fails_is_named_and_not_quoted(judged):
    assert judged.ran.returncode == 1
    refused = [line for line in judged.ran.stderr.splitlines() if line and not PROGRESS.match(line)]
    assert refused == [f"Refused: {judged.root / name}: its code failed" for name in ("forges", "says")]


def test_what_was_judged_and_what_brings_no_code_is_named_and_small_boards_are_counted(judged):
    lines = judged.ran.stdout.splitlines()
    assert lines[:2] == [
        f"{judged.root / 'codeless'}: left out, as it brings no code",
        f"Submissions: 1 read: {judged.root / 'largest'}",
    ]
    assert lines[3].startswith(
        "own, test, fewer than ten layers: Spearman correlation with the true area, mean of 3 networks"
    )
    assert lines[-2:] == ["Boards of fewer than 3 networks, left out: 1", f"Means: {judged.out / 'held_out.csv'}"]
    assert not [row for row in judged.rows if row["split"] == "validation"]


def test_other_networks_than_the_trees_are_refused_before_any_code_runs(cli, judged, tmp_path, monkeypatch):
    monkeypatch.setattr(by_code, "run_apart", None)
    specs = [word for spec in networks_file(tmp_path / "other", seed=9) for word in ("--network", spec)]
    found = cli("evaluate", judged.root, "--held-out", judged.tree.path, *specs, "--out", tmp_path / "out")
    assert (found.code, found.out) == (2, "")
    assert "weights_sha256 is " in found.err
    assert not (tmp_path / "out").exists()


def test_a_tree_of_two_networks_tells_nothing_and_runs_no_code(cli, small_tree, tmp_path, monkeypatch):
    monkeypatch.setattr(by_code, "run_apart", None)
    folder = submission(tmp_path / "submissions", "largest", SIZE)
    found = cli("evaluate", folder, "--held-out", small_tree.path, "--out", tmp_path / "out")
    assert (found.code, found.out, found.err) == (
        2,
        "",
        f"Error: {small_tree.path}: no board has 3 networks or more, and what fewer reach is not told\n",
    )
    assert not (tmp_path / "out").exists()


@pytest.fixture
def judging(cli, judged, tmp_path):
    """Judge one submission on the tree."""

    def judge(*submitted):
        folder = submission(tmp_path / "submissions", *submitted)
        specs = [word for spec in judged.specs for word in ("--network", spec)]
        found = cli("evaluate", folder, "--held-out", judged.tree.path, *specs, "--out", tmp_path / "out")
        assert not (tmp_path / "out").exists()
        return folder, found

    return judge


def test_where_no_submission_is_judged_no_file_is_written(judging):
    folder, found = judging("snip", SIZE)
    assert (found.code, found.out) == (1, "")
    assert found.err.startswith(f"Refused: {folder / 'submission.yaml'}: 'snip' is taken by 'snip'")
    folder, found = judging("codeless")
    assert (found.code, found.out, found.err) == (1, f"{folder}: left out, as it brings no code\n", "")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            b'{"unprotected": "Landlock: none"}\n',
            "this system cannot keep the code of submissions from files and network (Landlock: none): it needs Linux with Landlock and user namespaces",
        ),
        (b"", "these networks cannot be scored in a process of their own: "),
    ],
)  # fmt: skip
def test_what_stops_a_criterion_of_ours_is_told_in_full_and_is_no_submissions_fault(
    judging, tmp_path, monkeypatch, line, message
):
    (tmp_path / "entry.py").write_text(f"import sys\nsys.stdout.buffer.write({line!r})")
    monkeypatch.setattr(by_code.child, "__file__", str(tmp_path / "entry.py"))
    _, found = judging("largest", SIZE)
    assert (found.code, found.out) == (2, "")
    assert found.err.startswith(f"Error: {message}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--network", "nets.py:one"), "--network names what builds a network of a held-out tree; give --held-out TREE too"),
        (
            ("--held-out", "tree", "--truth", "tree"),
            "--held-out names the truth, and budgets are of a published one; leave out --truth and --budget",
        ),
        (
            ("--held-out", "absent"),
            "absent: there is no such folder. Name the folder of one, or make one: safer-bench demo",
        ),
    ],
)
def test_options_that_do_not_go_together_are_one_message(cli, tmp_path, words, message):
    found = cli("evaluate", *words, "--out", tmp_path / "out")
    assert (found.code, found.err) == (2, f"Error: {message}\n")
    assert not list(tmp_path.iterdir())
