"""A board's page as a static Space: what is sent, what a new Space holds to begin with, and what is refused."""

import pytest
import yaml

from safer_bench.dataset.hub.publishing import publish
from safer_bench.dataset.space import read_space
from safer_bench.errors import HubError
from tests.conftest import ROOT
from tests.made_up.fake_hub import BEGUN

BOARD = ROOT / "docs" / "board"
ID = "me/board"


def test_a_board_becomes_a_space_that_holds_nothing_else(hub, cli, repo_files):
    """The Hub begins a new Space with files of its own: they go."""
    found = cli("publish", BOARD, "--space", "--repo-id", ID)
    commit = hub.repo(ID, "space").branches["main"]
    shown = f"{BOARD}: 3 files in order, for a space repository\n{ID}: holds these files, at commit {commit}\n"
    assert (found.code, found.out) == (0, shown), found.err
    held = repo_files(hub, ID, kind="space")
    assert set(held) == {"README.md", "index.html", "leaderboard.csv"}
    assert held["index.html"] == (BOARD / "leaderboard.html").read_bytes()
    assert held["leaderboard.csv"] == (BOARD / "leaderboard.csv").read_bytes()
    again = cli("publish", BOARD, "--space", "--repo-id", ID, "--dry-run")
    assert again.out.splitlines()[1:] == [f"{ID} holds these very files", "Nothing was changed."]


def test_the_card_says_what_a_static_space_needs():
    text = read_space(BOARD).files["README.md"].decode()
    facts = yaml.safe_load(text.split("---\n")[1])
    assert (facts["sdk"], facts["app_file"]) == ("static", "index.html")
    assert len(facts["short_description"]) <= 60  # the Hub's limit
    assert "https://huggingface.co/datasets/" in text


def test_a_new_board_replaces_the_old_one(hub, tmp_path, repo_files):
    old = tmp_path / "old"
    old.mkdir()
    (old / "leaderboard.html").write_text("<title>safer-bench leaderboard</title> of before")
    (old / "leaderboard.csv").write_text("rank\n")
    first, second = publish(read_space(old), ID), publish(read_space(BOARD), ID)
    assert first != second
    assert repo_files(hub, ID, kind="space")["leaderboard.csv"] == (BOARD / "leaderboard.csv").read_bytes()


@pytest.mark.parametrize("held", [BEGUN, {**BEGUN, "app.py": b"print()"}])
def test_a_space_of_others_is_refused_unless_told(hub, cli, repo_files, held):
    hub.make(ID, "space", held)
    with pytest.raises(HubError, match=r"holds README\.md, which `publish` did not put there"):
        publish(read_space(BOARD), ID)
    assert repo_files(hub, ID, kind="space") == held
    assert cli("publish", BOARD, "--space", "--repo-id", ID, "--into-existing").code == 0
    assert set(repo_files(hub, ID, kind="space")) == {"README.md", "index.html", "leaderboard.csv"}


def test_what_is_lost_on_the_way_is_tried_again(hub, repo_files):
    hub.fail("POST", "/api/spaces/.*/commit", "cut")
    publish(read_space(BOARD), ID)
    assert "style.css" not in repo_files(hub, ID, kind="space")


def test_a_folder_without_a_board_is_refused(cli, tmp_path):
    found = cli("publish", tmp_path, "--space", "--repo-id", ID)
    mend = "name a folder that `safer-bench evaluate --out` wrote"
    assert (found.code, found.err) == (2, f"Error: {tmp_path}: holds no leaderboard.html; {mend}\n")
    (tmp_path / "leaderboard.html").write_text("<title>mine</title>")
    (tmp_path / "leaderboard.csv").write_text("rank\n")
    found = cli("publish", tmp_path, "--space", "--repo-id", ID)
    again = f"write it again: safer-bench evaluate --out {tmp_path}"
    message = f"Error: {tmp_path / 'leaderboard.html'}: not a leaderboard's page; {again}\n"
    assert (found.code, found.err) == (2, message)


def test_a_board_without_space_is_told_to_be_one(cli):
    found = cli("publish", ROOT / "docs" / "board", "--repo-id", "me/board", "--dry-run")
    assert (found.code, found.err) == (
        2,
        f"Error: {ROOT / 'docs' / 'board'}: a board; it is published as a Space: add --space\n",
    )
