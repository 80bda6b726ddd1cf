"""Publishing over real HTTP: one commit and a tag, or a clear refusal that changes nothing."""

import json
import logging
import shutil
import socket

import pytest

from safer_bench import files
from safer_bench.dataset import hub as our_hub
from safer_bench.dataset.release import read_release
from safer_bench.errors import BadInput, HubError, HubUnreachable
from tests.conftest import COMMITTED
from tests.hub.conftest import point_to
from tests.hub.fake import TOKEN

ZOO = COMMITTED.with_name("safer-bench-zoo")


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def other_card(copy):
    """Make another tree of it that is in order: one with another card."""
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "README.md").write_text("another card\n")
    manifest["files"]["README.md"] = files.sha256_of(b"another card\n")
    (copy / "manifest.json").write_text(json.dumps(manifest))
    return copy


def test_a_tree_is_published_by_one_commit_and_a_tag(hub, cli, copy, repo_files):
    found = cli("publish", copy, "--repo-id", "me/truth", "--tag", "v0.1.0", "--private")
    repo = hub.repo("me/truth")
    n_files = len(content(copy))
    assert (found.code, found.out) == (
        0,
        f"{copy}: {n_files} files in order, for a dataset repository\n"
        f"me/truth: published at commit {repo.branches['main']}, tag v0.1.0\n",
    )
    assert repo_files(hub) == repo_files(hub, revision="v0.1.0") == content(copy)
    assert len(repo.titles) == 2
    assert repo.private


def test_publishing_the_same_again_changes_nothing(hub, copy):
    first = our_hub.publish(read_release(copy), "me/truth", "v0.1.0")
    assert our_hub.publish(read_release(copy), "me/truth", "v0.1.0") == first
    assert our_hub.publish(read_release(copy), "me/truth") == first
    assert len(hub.repo("me/truth").commits) == 2


def test_a_new_version_removes_files_that_it_no_longer_has_and_spares_submissions(hub, copy, repo_files):
    our_hub.publish(read_release(copy), "me/truth", "v0.1.0")
    repo = hub.repo("me/truth")
    repo.commits[repo.branches["main"]] = before = {**content(copy), "submissions/snip/submission.yaml": b"name: snip"}
    manifest = json.loads((copy / "manifest.json").read_text())
    for name in [name for name in manifest["files"] if name.startswith("costs/")]:
        (copy / name).unlink()
        del manifest["files"][name]
    del manifest["contents"]["costs"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    our_hub.publish(read_release(copy), "me/truth", "v0.2.0")
    assert repo_files(hub) == {**content(copy), "submissions/snip/submission.yaml": b"name: snip"}
    assert repo_files(hub, revision="v0.1.0") == before
    assert len(repo.commits) == 3


def test_the_zoo_is_published_as_a_model_repository(hub, cli, repo_files):
    found = cli("publish", ZOO, "--repo-id", "me/zoo", "--tag", "v0.1.0")
    assert found.code == 0, found.err
    assert repo_files(hub, "me/zoo", "v0.1.0", kind="model") == content(ZOO)
    again = cli("publish", ZOO, "--repo-id", "me/zoo", "--dry-run")
    assert again.out.splitlines()[1:] == ["me/zoo holds these very files", "Nothing was changed."]


def refused(folder, message):
    with pytest.raises(BadInput) as error:
        read_release(folder)
    assert str(error.value) == f"{folder}: cannot be published: {message}"


def test_a_tree_that_differs_from_its_manifest_is_refused(hub, cli, copy):
    (copy / "README.md").write_text("changed")
    mend = f"remove or mend it first: safer-bench verify {copy} --rows 0"
    found = cli("publish", copy, "--repo-id", "me/truth")
    assert (found.code, found.err) == (
        2,
        f"Error: {copy}: cannot be published: README.md: differs from the manifest; {mend}\n",
    )
    assert hub.requests == []


def test_a_tree_with_files_outside_its_manifest_is_refused(copy):
    (copy / "notes.txt").write_text("")
    (copy / ".DS_Store").write_text("")
    mend = f"remove or mend it first: safer-bench verify {copy} --rows 0"
    refused(copy, f".DS_Store: not in the manifest (and 1 more); {mend}")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("resnet20.safetensors", "other weights", "resnet20.safetensors: differs from test_accuracy.json"),
        ("notes.txt", "x", "notes.txt: not in test_accuracy.json"),
        ("resnet20.safetensors", None, "resnet20.safetensors: missing"),
        ("README.md", "| resnet20 | old card", "README.md: does not show "),
        ("test_accuracy.json", "{", "test_accuracy.json: damaged"),
    ],
)
def test_a_zoo_that_differs_from_its_accuracies_is_refused(tmp_path, name, text, message):
    folder = shutil.copytree(ZOO, tmp_path / "zoo")
    (folder / name).unlink(missing_ok=True)
    if text is not None:
        (folder / name).write_text(text)
    with pytest.raises(BadInput) as error:
        read_release(folder)
    assert str(error.value).startswith(f"{folder}: cannot be published: {message}")
    assert str(error.value).endswith("remove or mend it first: safer-bench train NAME writes the zoo's card and accuracies")


def test_a_tag_with_other_content_is_refused(hub, copy, repo_files):
    our_hub.publish(read_release(copy), "me/truth", "v0.1.0")
    before = repo_files(hub)
    with pytest.raises(HubError) as error:
        our_hub.publish(read_release(other_card(copy)), "me/truth", "v0.1.0")
    assert str(error.value) == (
        f"me/truth: tag v0.1.0 is there and names other files than {copy}; a tag never moves: publish it as another"
    )
    assert repo_files(hub) == before


@pytest.mark.parametrize("held", [{"thesis.tex": b"all of it"}, {"manifest.json": b'{"name": "app"}', "thesis.tex": b"x"}])
def test_a_repository_that_publish_did_not_make_is_refused_unless_told(hub, cli, copy, repo_files, held):
    hub.make("me/truth", files=held)
    first = min(held)
    found = cli("publish", copy, "--repo-id", "me/truth")
    assert (found.code, found.err) == (
        2,
        f"Error: me/truth: holds {first}, which `publish` did not put there; name another repository, or replace what it "
        "holds with --into-existing (with --dry-run first: it lists what would be removed)\n",
    )
    assert repo_files(hub) == held
    shown = cli("publish", copy, "--repo-id", "me/truth", "--into-existing", "--dry-run")
    assert "remove thesis.tex" in shown.out.splitlines()
    assert repo_files(hub) == held
    assert cli("publish", copy, "--repo-id", "me/truth", "--into-existing").code == 0
    assert repo_files(hub) == content(copy)


def test_an_empty_repository_made_by_hand_is_filled(hub, copy, repo_files):
    hub.make("me/truth")
    our_hub.publish(read_release(copy), "me/truth")
    assert repo_files(hub) == content(copy)


def test_a_dry_run_lists_what_would_change_and_changes_nothing(hub, cli, copy):
    first = cli("publish", copy, "--repo-id", "me/truth", "--tag", "v0.1.0", "--dry-run")
    assert first.out.splitlines()[1:] == [
        *(f"add {name}" for name in sorted(content(copy))),
        "tag v0.1.0",
        "Nothing was changed.",
    ]
    assert hub.repos == {}
    our_hub.publish(read_release(copy), "me/truth", "v0.1.0")
    other_card(copy)
    second = cli("publish", copy, "--repo-id", "me/truth", "--tag", "v0.2.0", "--dry-run")
    assert second.out.splitlines()[1:] == ["change README.md", "change manifest.json", "tag v0.2.0", "Nothing was changed."]
    assert len(hub.repo("me/truth").commits) == 2


def closed_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_a_dry_run_without_a_hub_says_so_and_is_no_error(cli, copy, monkeypatch, tmp_path):
    point_to(f"http://127.0.0.1:{closed_port()}", monkeypatch, tmp_path)
    found = cli("publish", copy, "--repo-id", "me/truth", "--dry-run")
    assert found.code == 0
    assert found.out.splitlines()[1:] == [*(f"add {name}" for name in sorted(content(copy))), "Nothing was changed."]
    assert found.err.startswith(
        "Not compared with me/truth: the Hub at 127.0.0.1 cannot be reached to look at me/truth (ConnectionRefusedError: "
    )
    real = cli("publish", copy, "--repo-id", "me/truth")
    assert real.code == 2
    assert real.err.startswith("Error: the Hub at 127.0.0.1 cannot be reached to publish to me/truth (")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "it knows no valid token. Log in: hf auth login, or set HF_TOKEN; and check the name"),
        (403, "the token may not do that; use one that may write to this repository"),
        (404, "there is no such repository or revision, or the token may not see it; check --repo-id and --revision"),
        (409, "the repository has changed meanwhile; look with --dry-run and repeat the command"),
    ],
)
def test_a_refusal_of_the_hub_is_one_message(hub, cli, copy, status, message):
    hub.fail("POST", "/commit/main", status)
    found = cli("publish", copy, "--repo-id", "me/truth", "--tag", "v1.0.0")
    assert (found.code, found.err.splitlines()[-1]) == (
        2,
        f"Error: the Hub refused to publish to me/truth ({status}): {message}",
    )
    assert hub.repo("me/truth").tags == {}


@pytest.mark.parametrize(
    ("what", "method", "path"),
    [
        (429, "GET", "/refs"),
        (500, "POST", "/api/repos/create"),
        (500, "POST", "/preupload/"),
        (500, "PUT", "/objects/"),
        (500, "POST", "/commit/"),
        (500, "POST", "/tag/"),
        ("cut", "PUT", "/objects/"),
        ("cut", "POST", "/commit/"),
        ("half", "GET", "/tree/"),
        ("lost", "POST", "/api/repos/create"),
        ("lost", "POST", "/commit/"),
        ("lost", "POST", "/tag/"),
        ("slow", "POST", "/commit/"),
    ],
)
def test_what_fails_on_the_way_is_tried_again_and_nothing_is_done_twice(hub, copy, repo_files, what, method, path):
    hub.fail(method, path, what)
    our_hub.publish(read_release(copy), "me/truth", "v0.1.0")
    assert [fault.times for fault in hub.faults] == [0]
    assert repo_files(hub, revision="v0.1.0") == content(copy)
    assert len(hub.repo("me/truth").commits) == 2


def test_an_interrupted_upload_leaves_the_repository_as_it_was_and_is_repeated(hub, copy, repo_files):
    our_hub.publish(read_release(copy), "me/truth", "v0.1.0")
    before = repo_files(hub)
    hub.fail("POST", "/commit/", "cut", times=99)
    with pytest.raises(HubUnreachable, match="cannot be reached to publish to me/truth"):
        our_hub.publish(read_release(other_card(copy)), "me/truth", "v0.2.0")
    assert repo_files(hub) == before
    assert set(hub.repo("me/truth").tags) == {"v0.1.0"}
    hub.faults.clear()
    our_hub.publish(read_release(copy), "me/truth", "v0.2.0")
    assert repo_files(hub, revision="v0.2.0") == content(copy)


def test_a_commit_of_somebody_else_meanwhile_is_not_overwritten(hub, copy, monkeypatch):
    our_hub.publish(read_release(copy), "me/truth")
    repo, commit = hub.repo("me/truth"), our_hub._commit

    def late(*arguments):
        repo.branches["main"] = repo.add({"theirs.txt": b"x"}, "somebody else")
        commit(*arguments)

    monkeypatch.setattr(our_hub, "_commit", late)
    with pytest.raises(HubError, match=r"\(412\): the repository has changed meanwhile"):
        our_hub.publish(read_release(other_card(copy)), "me/truth")
    assert repo.commits[repo.branches["main"]] == {"theirs.txt": b"x"}


def test_files_that_the_hub_leaves_out_are_told_and_nothing_is_tagged(hub, copy, monkeypatch):
    """A .gitignore in the repository makes huggingface_hub skip files without a word."""
    monkeypatch.setattr(our_hub, "_commit", lambda *_: None)
    with pytest.raises(HubError) as error:
        our_hub.publish(read_release(copy), "me/truth", "v0.1.0")
    assert str(error.value) == f"me/truth: after the commit README.md is not as in {copy}; nothing was tagged"
    assert hub.repo("me/truth").tags == {}


@pytest.mark.parametrize(("status", "times"), [(401, 1), (418, 1), (500, 99)])
def test_the_token_reaches_no_message_and_no_log(hub, cli, copy, caplog, status, times):
    """The fake repeats the credentials it was given in the message of every fault."""
    caplog.set_level(logging.DEBUG)
    hub.fail("POST", "/commit/main", status, times)
    found = cli("publish", copy, "--repo-id", "me/truth")
    assert found.code == 2
    assert f"({status})" in found.err or f"answers {status}" in found.err
    assert TOKEN not in found.out + found.err + caplog.text
    if status == 418:
        assert "fault 418 for Bearer hf_..." in found.err


@pytest.mark.parametrize("name", ["a/b/c", "me/..", "me/tr uth"])
def test_what_is_no_name_of_a_repository_is_refused(hub, cli, copy, name):
    found = cli("publish", copy, "--repo-id", name)
    assert found.code == 2
    assert found.err.startswith("Error: no name of a repository (")
    assert found.err.endswith("; expected ORG/NAME\n")
