"""Submissions whose code can be run on a truth that nobody has seen; the others are named."""

import pytest
import yaml

from safer_bench.dataset.submissions.with_code import MOST_CRITERIA, read_code
from tests.made_up.held_out import submission

ONE = "return dict.fromkeys(layers, 1.0)"
TAKEN = ("snip", "constant")


def test_criteria_with_code_are_taken_and_submissions_without_any_are_named(tmp_path):
    both, none = submission(tmp_path, "both", ONE, reported=("blind", "")), submission(tmp_path, "none")
    found = read_code([both, none], TAKEN)
    assert {folder: [item.name for item in card.criteria] for folder, card in found.cards.items()} == {both: ["both"]}
    assert (found.without, found.refused) == ([none], {})


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda root: submission(root, "Snip", ONE), "submission.yaml: 'Snip' is taken by 'snip', which is not a submission's; rename it"),
        (lambda root: submission(root, "broken", "def broken(:"), "broken.py: is not Python that can be read"),
        (
            lambda root: submission(root, "many", ONE, **{f"c{i}": ("blind", ONE) for i in range(MOST_CRITERIA)}),
            "submission.yaml: 11 criteria with code; a held-out truth judges 10 of a submission at most",
        ),
        (lambda root: submission(root, "here", ONE).rename(root / "there"), "submission.yaml: name is 'here'; expected that of its folder, 'there'"),
    ],
    ids=["taken", "no Python", "many", "misnamed"],
)  # fmt: skip
def test_what_cannot_be_run_or_named_is_refused_and_stops_no_other(tmp_path, write, message):
    bad, good = write(tmp_path), submission(tmp_path, "good", ONE)
    found = read_code([bad, good], TAKEN)
    assert list(found.cards) == [good]
    assert message in found.refused[bad]


def test_names_that_are_taken_for_each_other_are_refused_all(tmp_path):
    mine, theirs = submission(tmp_path, "mine", ONE), submission(tmp_path, "theirs", ONE, MINE=("blind", ONE))
    found = read_code([mine, theirs], TAKEN)
    assert found.cards == {}
    assert f"'mine' would be taken for 'MINE' of {theirs}" in found.refused[mine]
    assert f"'MINE' would be taken for 'mine' of {mine}" in found.refused[theirs]


def test_a_refused_submission_takes_no_name_from_another(tmp_path):
    good, bad = submission(tmp_path, "good", ONE), submission(tmp_path, "bad", "def bad(:", good=("blind", ONE))
    found = read_code([good, bad], TAKEN)
    assert (list(found.cards), list(found.refused)) == ([good], [bad])


def test_a_card_is_all_that_is_read(tmp_path):
    folder = submission(tmp_path, "mine", ONE)
    (folder / "scores.csv").write_bytes(b"\xff no scores")
    assert list(read_code([folder], TAKEN).cards) == [folder]
    (folder / "submission.yaml").write_text(yaml.safe_dump({"criteria": []}))
    assert list(read_code([folder], TAKEN).refused) == [folder]
