"""A full disk: whatever a command writes, it ends by one message that names the file, exit code 2, and no traceback."""

import re
import shutil
import sys

import pytest

from safer_bench.cli.demo import _count_rows
from tests.made_up.cases import first_by_default
from tests.made_up.full_disk import files_of_at_most

MEND = r"\(File too large\); make room there or name another place, and repeat the command\n"


def refused(cli, n_bytes, *words):
    """Run a command on a disk that takes files of so many bytes; return the name of the file that it could not write."""
    with files_of_at_most(n_bytes):
        found = cli(*words)
    match = re.search(rf"^Error: (.+): cannot be written {MEND}\Z", found.err, re.MULTILINE)
    assert (found.code, bool(match)) == (2, True), found.err
    return match[1]


@pytest.mark.parametrize(
    ("n_bytes", "name"),
    first_by_default(
        [
            (9_650, r"parts/digits_mlp/000000-000060-0000\.[0-9a-f]{16}\.parquet"),
            (100, "networks.parquet"),
            (24_000, r"fragile-digits_mlp\.png"),
        ]
    ),
)
def test_measure_names_the_file_and_repeating_it_finishes(cli, tmp_path, n_bytes, name):
    words = (
        "measure",
        "--network",
        "digits_mlp",
        "--perturbation",
        "quantize:6,5,4,3,2",
        "--perturbation",
        "quantize_per_channel:6,5,4,3,2",
        "--perturbation",
        "magnitude_prune:0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9",
        "--deterministic-examples",
        60,
        "--out",
        tmp_path / "run",
    )
    assert re.fullmatch(f"{tmp_path}/run/{name}", refused(cli, n_bytes, *words))
    assert not list(tmp_path.rglob("*.partial")), "half a file would stay on the full disk"
    assert cli(*words).code == 0
    assert len(list(tmp_path.glob("run/fragile-digits_mlp.*"))) == 2


def test_a_plan_of_draws_is_named(cli, tmp_path):
    words = ("--network", "digits_mlp", "--perturbation", "quantize", "--reliability", 0.9, "--plan-only")
    assert refused(cli, 100, "measure", *words, "--out", tmp_path / "run") == str(tmp_path / "run" / "draws.json")


@pytest.mark.parametrize(("n_bytes", "name"), [(1_000, "layers/validation-00000-of-00001.parquet"), (20_000, "README.md")])
def test_pack_leaves_the_older_tree_as_it_was(cli, small_run, small_tree, tmp_path, n_bytes, name):
    shutil.copytree(small_tree.path, tmp_path / "tree")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    found = refused(cli, n_bytes, "pack", small_run, "--out", tmp_path / "tree")
    assert found == str(tmp_path / ".tree.partial" / name)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(("n_bytes", "name"), [(1_000, "results.parquet"), (40_000, "leaderboard.html")])
def test_evaluate(cli, small_tree, tmp_path, n_bytes, name):
    assert refused(cli, n_bytes, "evaluate", "--truth", small_tree.path, "--out", tmp_path) == str(tmp_path / name)


@pytest.mark.parametrize(("n_bytes", "name"), [(500, "budget_results-prune.parquet"), (18_000, "budget-prune.png")])
def test_budget(cli, small_tree, tmp_path, n_bytes, name):
    words = ("--task", "prune", "--network", "digits_mlp", "--truth", small_tree.path, "--criterion", "snip")
    assert refused(cli, n_bytes, "budget", *words, "--budget", 0.5, "--out", tmp_path) == str(tmp_path / name)


@pytest.mark.parametrize(("n_bytes", "name"), [(500, r"unfinished/[0-9a-f]{64}\.json"), (3_000, r"scores\.parquet")])
def test_score(cli, tmp_path, n_bytes, name):
    words = ("snip", "--network", "digits_mlp", "--out", tmp_path / "mine")
    assert re.fullmatch(f"{tmp_path}/mine/{name}", refused(cli, n_bytes, "score", *words))


def test_compare(cli, small_tree, tmp_path):
    path = tmp_path / "plots" / "compare.png"
    assert refused(cli, 1_000, "compare", "snip", "l2_norm", "--truth", small_tree.path, "--out", path) == str(path)


@pytest.mark.long
def test_the_record_of_check_recompute(cli, small_tree, small_scores, tmp_path):
    shutil.copytree(small_scores, tmp_path / "scores")
    words = ("check", tmp_path / "scores", "--truth", small_tree.path, "--recompute", "--network", "digits_mlp")
    assert cli(*words).code == 0, "not noted, as another network is scored too"
    found = refused(cli, 10, *words, "--network", "digits_resnet")
    assert found.startswith(str(tmp_path / "recomputed" / "scores-")), "the scores that came out, before the record"
    assert not (tmp_path / "recomputed.json").exists()


@pytest.mark.parametrize(("n_bytes", "name"), [(1_000, "digits_mlp.checkpoint"), (150_000, "digits_mlp.checkpoint")])
def test_train(cli, tmp_path, n_bytes, name):
    assert refused(cli, n_bytes, "train", "digits_mlp", "--out", tmp_path) == str(tmp_path / name)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "/cache/data"), "/cache/data: cannot be written (No space left on device)"),
        (
            OSError(122, "Disk quota exceeded"),
            "the output, or a temporary or cached file: cannot be written (Disk quota exceeded)",
        ),
    ],
)
def test_what_a_library_cannot_write_is_told_alike(cli, monkeypatch, error, said):
    def refuse(*_):
        raise error

    monkeypatch.setattr("safer_bench.dataset.hub.pulling.pull", refuse)
    found = cli("pull")
    mend = "make room there or name another place, and repeat the command"
    assert (found.code, found.err) == (2, f"Error: {said}; {mend}\n")


def test_the_demo_tells_of_the_cache_that_it_reads_its_tree_through(cli, small_tree, monkeypatch):
    module = sys.modules["safer_bench.cli.demo"]  # the package has the command under this name
    monkeypatch.setattr(module, "run_demo", lambda *_: _count_rows(small_tree.path))
    assert refused(cli, 1_000, "demo") == "the output, or a temporary or cached file"


def test_any_other_error_of_the_system_keeps_its_traceback(cli, monkeypatch):
    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("safer_bench.dataset.hub.pulling.pull", fail)
    with pytest.raises(OSError, match="Input/output error"):
        cli("pull")
