"""Publishing over real HTTP: one commit and a tag, or a clear refusal that changes nothing."""

import json
import shutil
import socket
from functools import partial

import pytest

from safer_bench.dataset.documents.render import render_documents
from safer_bench.dataset.hub import publishing
from safer_bench.dataset.hub.publishing import publish
from safer_bench.dataset.release import read_release
from safer_bench.dataset.tree import load_tree, write_tree
from safer_bench.errors import BadInput, HubError
from tests.conftest import COMMITTED
from tests.dataset.hub.conftest import point_to
from tests.made_up.trees import content, other_card

ZOO = COMMITTED.with_name("safer-bench-zoo")


def test_a_tree_is_published_by_one_commit_and_a_tag(hub, cli, copy, repo_files):
    found = cli("publish", copy, "--repo-id", "me/truth", "--tag", "v0.1.0", "--private")
    repo = hub.repo("me/truth")
    n_files = len(content(copy))
    assert (found.code, found.out) == (
        0,
        f"{copy}: {n_files} files in order, for a dataset repository\n"
        f"me/truth: tag v0.1.0 names these files, at commit {repo.branches['main']}\n",
    )
    assert repo_files(hub) == repo_files(hub, revision="v0.1.0") == content(copy)
    assert len(repo.titles) == 2
    assert repo.private


def test_publishing_the_same_again_changes_nothing(hub, copy):
    first = publish(read_release(copy), "me/truth", "v0.1.0")
    assert publish(read_release(copy), "me/truth", "v0.1.0") == first
    assert publish(read_release(copy), "me/truth") == first
    assert len(hub.repo("me/truth").commits) == 2


def test_a_new_version_removes_files_that_it_no_longer_has_and_spares_submissions(hub, copy, repo_files):
    publish(read_release(copy), "me/truth", "v0.1.0")
    repo = hub.repo("me/truth")
    repo.commits[repo.branches["main"]] = before = {**content(copy), "submissions/snip/submission.yaml": b"name: snip"}
    manifest = json.loads((copy / "manifest.json").read_text())
    for name in [name for name in manifest["files"] if name.startswith("costs/")]:
        (copy / name).unlink()
        del manifest["files"][name]
    del manifest["contents"]["costs"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    publish(read_release(copy), "me/truth", "v0.2.0")
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


def test_what_a_clone_holds_beside_the_tree_is_not_published(copy):
    before = read_release(copy).names
    for name in (".git/HEAD", ".gitattributes", "submissions/mine/submission.yaml"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("")
    assert read_release(copy).names == before


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


@pytest.mark.parametrize(
    ("repo_id", "tag", "message"),
    [
        ("truth", "v1.0.0", "not a repository name ('truth'); expected ORG/NAME"),
        ("me/truth", "1.0", "tag '1.0'; expected vX.Y.Z, such as v1.0.0 (a tag never moves)"),
    ],
)
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_malformed_name_or_tag_is_refused_without_asking_the_hub(cli, copy, monkeypatch, repo_id, tag, message, dry):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    found = cli("publish", copy, "--repo-id", repo_id, "--tag", tag, *dry)
    assert (found.code, found.err) == (2, f"Error: {message}\n")


def test_a_release_is_tagged_with_the_version_that_it_states(hub, cli, copy):
    tree = load_tree(copy)
    facts = {"protocol": 1, "seed": tree.manifest["seed"], "version": "0.2.0"}
    write_tree(copy, dict(tree), facts, partial(render_documents, data_version="0.2.0"))
    found = cli("publish", copy, "--repo-id", "me/truth", "--tag", "v0.1.0")
    assert (found.code, found.err) == (
        2,
        f"Error: tag v0.1.0; {copy} says that it is version 0.2.0: tag it v0.2.0, or pack it again with --data-version 0.1.0\n",
    )
    assert not hub.repos
    tagged = cli("publish", copy, "--repo-id", "me/truth", "--tag", "v0.2.0").out
    assert "\nme/truth: tag v0.2.0 names these files, at commit " in tagged


def test_a_tag_with_other_content_is_refused(hub, copy, repo_files):
    publish(read_release(copy), "me/truth", "v0.1.0")
    before = repo_files(hub)
    with pytest.raises(HubError) as error:
        publish(read_release(other_card(copy)), "me/truth", "v0.1.0")
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
    publish(read_release(copy), "me/truth")
    assert repo_files(hub) == content(copy)


def test_a_dry_run_lists_what_would_change_and_changes_nothing(hub, cli, copy):
    first = cli("publish", copy, "--repo-id", "me/truth", "--tag", "v0.1.0", "--dry-run")
    assert first.out.splitlines()[1:] == [
        *(f"add {name}" for name in sorted(content(copy))),
        "tag v0.1.0",
        "Nothing was changed.",
    ]
    assert hub.repos == {}
    publish(read_release(copy), "me/truth", "v0.1.0")
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


def test_a_commit_of_somebody_else_meanwhile_is_not_overwritten(hub, copy, monkeypatch):
    publish(read_release(copy), "me/truth")
    repo, commit = hub.repo("me/truth"), publishing._commit

    def late(*arguments):
        repo.branches["main"] = repo.add({"theirs.txt": b"x"}, "somebody else")
        commit(*arguments)

    monkeypatch.setattr(publishing, "_commit", late)
    with pytest.raises(HubError, match=r"\(412\): the repository has changed meanwhile"):
        publish(read_release(other_card(copy)), "me/truth")
    assert repo.commits[repo.branches["main"]] == {"theirs.txt": b"x"}


def test_files_that_the_hub_leaves_out_are_told_and_nothing_is_tagged(hub, copy, monkeypatch):
    """A .gitignore in the repository makes huggingface_hub skip files without a word."""
    monkeypatch.setattr(publishing, "_commit", lambda *_: None)
    with pytest.raises(HubError) as error:
        publish(read_release(copy), "me/truth", "v0.1.0")
    assert str(error.value) == f"me/truth: after the commit README.md is not as in {copy}; nothing was tagged"
    assert hub.repo("me/truth").tags == {}


@pytest.mark.parametrize("name", ["a/b/c", "me/..", "me/tr uth"])
def test_what_is_no_name_of_a_repository_is_refused(hub, cli, copy, name):
    found = cli("publish", copy, "--repo-id", name)
    assert found.code == 2
    assert found.err.startswith("Error: not a repository name (")
    assert found.err.endswith("; expected ORG/NAME\n")
