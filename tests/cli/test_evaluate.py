"""The command that ranks criteria."""

import json
import re
import shutil
from dataclasses import replace

import pytest

from safer_bench.cli.board_text import place_text
from safer_bench.dataset.submissions import gather as gathering
from safer_bench.dataset.submissions.gather import gather
from safer_bench.evaluation.boards import boards
from safer_bench.evaluation.evaluate import evaluate
from safer_bench.evaluation.place import places
from safer_bench.tables.controls import FROM_TABLES, REPLICATES
from tests.conftest import ROOT
from tests.made_up.truth import made_up_scores, made_up_truth


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
    first = min(folder.rglob("*.parquet"))
    found = cli("evaluate", small_scores, "--truth", small_tree.path, "--out", tmp_path / "b", "--budget", folder)
    assert (found.code, found.err) == (
        2,
        f"Error: {first}: network {first.parent.name!r} is not in the truth; remove the file, or name a truth that has it\n",
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
        f"Error: {tmp_path}: holds neither a submission nor submissions; expected submissions/NAME with submission.yaml and "
        "scores, which `safer-bench score CRITERION --out submissions/NAME` writes; without a folder the truth's own criteria are judged\n",
    )
    assert not list(tmp_path.iterdir())


def test_what_was_submitted_stands_first_with_its_neighbours_and_the_controls_it_passes(cli, small_tree, tmp_path):
    """It once had to be looked for among all rows of all boards."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "submission.yaml").write_text("name: mine\ncriteria:\n- name: mine\n")
    layers = small_tree["layers"].to_pylist()
    rows = [f"{row['network']},{row['layer']},{i}" for i, row in enumerate(layers)]
    (mine / "scores.csv").write_text("\n".join(["network,layer,score", *rows]) + "\n")
    found = cli("evaluate", mine, "--truth", small_tree.path, "--out", tmp_path / "board")
    assert found.code == 0
    lines = found.out.splitlines()
    assert lines[:3] == [f"Submissions: 1 read: {mine}", "", "mine (reported)"]
    for split, block in (("test", lines[3:6]), ("validation", lines[6:9])):
        board = next(
            each
            for each in boards(evaluate(small_tree, gather(small_tree, [mine]).scores), small_tree)
            if each.split == split
        )
        (place,) = places([board], ["mine"])
        sides = ((place.above, "next higher"), (place.below, "next lower"))
        near = [f"{where} {side[0]} ({side[1]:.2f})" for side, where in sides if side]
        assert near
        assert block == [
            f"  digits, {split}: {place.value:.2f}; 1 family is too few for an interval or ranks",
            f"    neighbours: {', '.join(near)}",
            f"    mean above the controls {', '.join(place.passed)}; not above {', '.join(place.not_passed)}",
        ]
    assert found.err.startswith("Reported scores stand above as they would if they were computed again.")
    assert "not than" not in "\n".join(lines[9:])


def test_scores_that_nobody_recomputed_move_nobody_elses_place(cli, small_tree, small_scores, tmp_path, monkeypatch):
    read = gather(small_tree, [small_scores])
    ((_, names),) = read.submitted.items()
    words = ("evaluate", small_scores, "--truth", small_tree.path, "--out", tmp_path / "board", "--json")

    def places_with(marks):
        monkeypatch.setattr(gathering, "gather", lambda *_, **__: replace(read, marks=read.marks | marks))
        return {(each["criterion"], each["split"]): each for each in json.loads(cli(*words).out)["places"]}

    sure = dict.fromkeys(names, "recomputed")
    alone, whole = places_with(sure | {"snip": "reported"}), places_with(sure)
    assert alone["snip", "test"]["n_ranked"] == whole["snip", "test"]["n_ranked"] == whole["l2_norm", "test"]["n_ranked"]
    assert alone["l2_norm", "test"]["n_ranked"] == whole["l2_norm", "test"]["n_ranked"] - 1
    assert all("snip" not in (each["above"] or []) + (each["below"] or []) for each in alone.values())


def test_boards_of_one_split_can_be_printed_alone(cli, small_tree, small_scores, tmp_path):
    words = ("evaluate", small_scores, "--truth", small_tree.path, "--out", tmp_path / "board")
    told = {split: cli(*words, "--split", split).out for split in ("validation", "test")}
    assert "digits, validation" in told["validation"]
    assert "digits, test" not in told["validation"]
    assert "digits, test" in told["test"]
    assert "digits, validation" not in told["test"]
    as_json = json.loads(cli(*words, "--split", "validation", "--json").out)
    assert {each["split"] for each in [*as_json["places"], *as_json["boards"]]} == {"validation"}
    assert "digits, test" in (tmp_path / "board" / "leaderboard.md").read_text()
    refused = cli(*words[:2], "--held-out", small_tree.path, "--out", tmp_path, "--split", "test")
    assert (refused.code, refused.err) == (2, "Error: --held-out prints means of all its networks; leave out --split\n")


def test_a_place_with_intervals_is_told_with_ranks_and_comparisons():
    truth = made_up_truth(7)
    scores = {
        name: made_up_scores(truth, noise, seed) for seed, (name, noise) in enumerate({"good": 0.2, "poor": 2.0}.items())
    }
    (place,) = places(boards(evaluate(truth, scores), truth), ["good"])
    first, *_, last = place_text(place, in_full=True).splitlines()
    low, high = place.interval
    assert first == (
        f"  {place.dataset}, test: {place.value:.2f} ({low:.2f} to {high:.2f}), "
        f"ranks {place.ranks[0]} to {place.ranks[1]} of {place.n_ranked} blind"
    )
    ((name, difference),) = place.against.items()
    low, high = difference.interval
    assert low > 0
    assert last == f"    minus {name}: {difference.value:+.2f} ({low:.2f} to {high:.2f}), surely higher"
    lower = replace(place, against={name: replace(difference, interval=(-high, -low))})
    assert place_text(lower, in_full=True).endswith(", surely lower")
    assert place_text(place, in_full=False) == first
    part = replace(place, value=None, n_cells=3)
    assert place_text(part, in_full=True) == (
        f"  {place.dataset}, test: no mean, as it scores 3 of {place.n_all_cells} cells (networks under perturbations)"
    )
