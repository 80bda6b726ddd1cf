"""Offering a submission in a pull request."""

import shutil

import pytest
import yaml

from safer_bench.dataset.hub.publishing import publish
from safer_bench.dataset.hub.submitting import submit
from safer_bench.dataset.release import read_release
from safer_bench.dataset.submissions.submission import read_submission
from safer_bench.dataset.tree import load_tree
from safer_bench.errors import HubError
from tests.conftest import COMMITTED, ROOT
from tests.made_up.trees import content

SNIP = ROOT / "submissions" / "snip"


def test_a_submission_is_offered_in_a_pull_request_and_can_be_read_from_it(hub, cli, copy, tmp_path, repo_files):
    publish(read_release(copy), "me/truth")
    before = repo_files(hub)
    found = cli("submit", SNIP, "--repo-id", "me/truth", "--truth", COMMITTED)
    assert (found.code, found.out) == (0, f"{SNIP}: offered in {hub.endpoint}/datasets/me/truth/discussions/1\n")
    assert repo_files(hub) == before
    offered = repo_files(hub, revision="refs/pr/1")
    assert offered == before | {f"submissions/snip/{name}": data for name, data in content(SNIP).items()}
    folder = tmp_path / "read"
    folder.mkdir()
    for name in content(SNIP):
        (folder / name).write_bytes(offered[f"submissions/snip/{name}"])
    truth = load_tree(COMMITTED)
    assert read_submission(folder, truth).scores.equals(read_submission(SNIP, truth).scores)


def test_only_the_files_of_a_submission_are_offered_and_older_ones_are_replaced(hub, tmp_path, repo_files):
    hub.make("me/truth", files={"submissions/snip/scores.csv": b"old", "submissions/other/scores.csv": b"theirs"})
    folder = shutil.copytree(SNIP, tmp_path / "snip")
    (folder / "secret.env").write_text("TOKEN=1")
    submit(folder, "me/truth", load_tree(COMMITTED))
    assert sorted(repo_files(hub, revision="refs/pr/1")) == [
        "submissions/other/scores.csv",
        *sorted(f"submissions/snip/{name}" for name in content(SNIP)),
    ]


def test_helpers_that_are_no_longer_there_are_removed_and_names_of_another_case_are_taken(hub, repo_files):
    hub.make("me/truth", files={"submissions/snip/old_helper.py": b"old"})
    submit(SNIP, "me/truth", load_tree(COMMITTED))
    assert "submissions/snip/old_helper.py" not in repo_files(hub, revision="refs/pr/1")
    repo = hub.make("me/other", files={"submissions/SNIP/scores.csv": b"theirs"})
    with pytest.raises(HubError) as error:
        submit(SNIP, "me/other", load_tree(COMMITTED))
    assert str(error.value) == (
        "me/other: holds submissions/SNIP/scores.csv; give the submission a name that differs by more than case"
    )
    assert repo.pulls == {}


def test_a_bad_submission_is_refused_before_any_request(hub, cli, tmp_path):
    folder = shutil.copytree(SNIP, tmp_path / "snip")
    (folder / "scores.parquet").unlink()
    found = cli("submit", folder, "--repo-id", "me/truth", "--truth", COMMITTED)
    assert (found.code, found.err) == (
        1,
        f"Refused: {folder}: expected one of scores.parquet and scores.csv, found none\n",
    )
    assert hub.requests == []


@pytest.mark.parametrize("what", ["lost", 500])
def test_a_pull_request_is_never_opened_twice(hub, cli, what):
    repo = hub.make("me/truth")
    hub.fail("POST", "/commit/", what)
    found = cli("submit", SNIP, "--repo-id", "me/truth", "--truth", COMMITTED)
    assert found.code == 2
    told = found.err.splitlines()[-1]
    assert told.startswith("Error: the Hub at 127.0.0.1 cannot be reached to open a pull request on me/truth (")
    assert told.endswith("); look first whether it is open already")
    assert len(repo.pulls) == (what == "lost")


def test_code_that_the_card_names_is_offered_with_it(hub, tmp_path, repo_files):
    hub.make("me/truth")
    folder = shutil.copytree(SNIP, tmp_path / "snip")
    (folder / "mine.py").write_text("import helper\ndef snip(model, batches): ...")
    (folder / "helper.py").write_text("from parts import one")
    (folder / "parts").mkdir()
    (folder / "parts" / "one.py").write_text("")
    (folder / "unused.py").write_text("")
    card = yaml.safe_load((folder / "submission.yaml").read_text())
    card["criteria"][0]["code"] = "mine.py:snip"
    (folder / "submission.yaml").write_text(yaml.safe_dump(card))
    submit(folder, "me/truth", load_tree(COMMITTED))
    offered = repo_files(hub, revision="refs/pr/1")
    code = {name.removeprefix("submissions/snip/"): data for name, data in offered.items() if name.endswith(".py")}
    assert code == {name: (folder / name).read_bytes() for name in ("mine.py", "helper.py", "parts/one.py")}
