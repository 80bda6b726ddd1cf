"""The command that ranks criteria."""

import re
import shutil

import pytest

from safer_bench.dataset.tree import load_tree
from safer_bench.tables.controls import FROM_TABLES, REPLICATES
from tests.conftest import COMMITTED, ROOT


def test_results_of_budgets_are_shown_or_missed_aloud(cli, small_tree, small_scores, tmp_path):
    found = cli("evaluate", small_scores, "--truth", small_tree.path, "--out", tmp_path / "board", "--budget", tmp_path)
    assert (found.code, found.err) == (
        2,
        f"Error: {tmp_path}: no budget_results-*.parquet; `safer-bench budget --task TASK --out {tmp_path}` writes one\n",
    )
    (tmp_path / "budget_results-prune.parquet").write_bytes(b"PAR1")
    found = cli("evaluate", small_scores, "--truth", small_tree.path, "--out", tmp_path / "board", "--budget", tmp_path)
    assert found.code == 2
    assert f"{tmp_path / 'budget_results-prune.parquet'}: cannot be read" in found.err
    folder = ROOT / "docs" / "budgets"
    found = cli("evaluate", small_scores, "--truth", small_tree.path, "--out", tmp_path / "b", "--budget", folder)
    assert (found.code, found.err) == (
        2,
        f"Error: {folder / 'budget_results-protect-int8_bit_flip.parquet'}: of truth {load_tree(COMMITTED).revision}, not {small_tree.revision}; "
        "repeat the budget command that wrote it\n",
    )


def test_evaluate_says_which_submissions_it_read(cli, small_tree, small_scores, tmp_path):
    folder = shutil.copytree(small_scores, tmp_path / "submissions" / "mine")
    found = cli("evaluate", folder.parent, "--truth", small_tree.path, "--out", tmp_path / "board")
    assert (found.code, found.out.splitlines()[0]) == (0, f"Submissions: 1 read: {folder}")
    found = cli("evaluate", "--truth", small_tree.path, "--out", tmp_path / "own")
    assert (found.code, found.out.splitlines()[0]) == (0, "Submissions: none; the truth's own criteria alone")
    assert (tmp_path / "own" / "leaderboard.md").is_file()


def test_a_tree_without_any_scores_has_a_board_of_controls_and_they_can_be_compared(cli, small_run, tmp_path):
    assert cli("pack", small_run, "--out", tmp_path / "tree").code == 0
    found = cli("evaluate", "--truth", tmp_path / "tree", "--out", tmp_path / "board")
    assert found.code == 0
    for name in (*FROM_TABLES, *REPLICATES):
        assert re.search(rf"^{name} +\w+ +-?\d", found.out, re.MULTILINE), name
        assert f"| {name} |" in (tmp_path / "board" / "leaderboard.md").read_text()
    compared = cli("compare", "parameters", "first_last", "--truth", tmp_path / "tree")
    assert (compared.code, compared.out.splitlines()[0]) == (
        0,
        "digits, test: spearman of parameters and first_last, mean over families",
    )


@pytest.mark.parametrize(
    "words", [("evaluate", "{folder}", "--out", "{folder}/b"), ("compare", "snip", "l2_norm", "--submissions", "{folder}")]
)
def test_a_folder_without_any_submission_is_refused(cli, small_tree, tmp_path, words):
    """Its user once got a board, and no word that nothing of theirs was on it."""
    found = cli(*(word.replace("{folder}", str(tmp_path)) for word in words), "--truth", small_tree.path)
    assert (found.code, found.err) == (
        2,
        f"Error: {tmp_path}: holds no submission; expected submissions/NAME with submission.yaml and scores, which `safer-bench "
        f"score CRITERION --out {tmp_path}/NAME` writes; without a folder the truth's own criteria are judged\n",
    )
    assert not list(tmp_path.iterdir())
