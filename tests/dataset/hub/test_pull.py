"""Pulling over real HTTP: the truth that was asked for, checked, or a clear message; never a stale or foreign one."""

import errno
import json
import os
import shutil
import subprocess
import sys

import pytest
from huggingface_hub import constants

from safer_bench.dataset import pinned
from safer_bench.dataset.hub.publishing import publish
from safer_bench.dataset.hub.pulling import pull
from safer_bench.dataset.pinned import REPO_ID, REVISION
from safer_bench.dataset.release import read_release
from safer_bench.dataset.tree import load_tree, load_truth
from safer_bench.errors import BadInput, HubError, HubUnreachable, MissingData
from tests.made_up.repos import TOKEN
from tests.made_up.trees import other_card


def test_the_pinned_truth_is_pulled_and_then_found_without_a_hub(published, cli, copy, monkeypatch, tmp_path):
    found = cli("pull")
    tree = load_tree(copy)
    folder = found.out.split(": ")[0]
    assert (found.code, found.out) == (
        0,
        f"{folder}: {len(tree.manifest['files'])} files as in the manifest, revision {tree.revision}\n"
        "Next: safer_bench.load_truth()\n",
    )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    assert load_tree().path.samefile(folder)
    assert load_truth(table="cells").equals(load_truth(copy, table="cells"))


def test_without_a_path_the_tree_of_the_working_folder_comes_first(published, copy, monkeypatch, tmp_path):
    pull()
    work = tmp_path / "work"
    shutil.copytree(other_card(copy), work / "data_cards" / "safer-bench")
    monkeypatch.chdir(work)
    assert load_tree().manifest["files"]["README.md"] == load_tree(copy).manifest["files"]["README.md"]


def test_without_any_truth_the_message_names_pull(published, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingData) as error:
        load_truth()
    assert str(error.value) == (
        f"no truth here: neither in ./data_cards/safer-bench nor, of {REPO_ID} {REVISION}, in the Hugging Face cache. "
        "Fetch it: safer-bench pull; or name the folder of a tree"
    )


def test_another_revision_is_pulled_beside_the_pinned_one(published, cli, copy, monkeypatch, tmp_path):
    pull()
    commit = publish(read_release(other_card(copy)), REPO_ID, "v9.0.0")
    for revision in ("main", "v9.0.0", commit):
        found = pull(REPO_ID, revision)
        assert (found.path / "README.md").read_text() == "another card\n"
    assert cli("pull", "--revision", "v9.0.0").out.endswith(f"Next: safer_bench.load_truth('{found.path}')\n")
    monkeypatch.chdir(tmp_path)
    assert (load_tree().path / "README.md").read_text() != "another card\n"


def test_a_branch_that_moved_is_never_given_stale(published, copy):
    pull(REPO_ID, "main")
    publish(read_release(other_card(copy)), REPO_ID)
    published.fail("GET", "/revision/main", 500, times=99)
    with pytest.raises(HubUnreachable, match=f"cannot be reached to pull {REPO_ID} .it answers 500.; try again later"):
        pull(REPO_ID, "main")
    published.faults.clear()
    assert (pull(REPO_ID, "main").path / "README.md").read_text() == "another card\n"


def test_a_hub_that_fails_between_two_requests_does_not_bring_the_cache_back(published, copy, monkeypatch):
    """huggingface_hub falls back on an older snapshot without a word when its own look at the branch fails."""
    old = pull(REPO_ID, "main").path
    publish(read_release(other_card(copy)), REPO_ID)
    monkeypatch.setattr("huggingface_hub.HfApi.hf_hub_download", lambda _, __, name, **___: str(old / name))
    with pytest.raises(HubUnreachable) as error:
        pull(REPO_ID, "main")
    assert str(error.value) == f"{REPO_ID}: main changed while it was fetched; pull again"


def test_an_interrupted_download_is_no_truth_and_is_taken_up_again(published, copy, monkeypatch, tmp_path):
    published.fail("GET", "/resolve/.*layer_drops/test", "half", times=99)
    with pytest.raises(HubUnreachable):
        pull()
    monkeypatch.chdir(tmp_path)
    with pytest.raises((MissingData, BadInput)):
        load_truth()
    published.faults.clear()
    pull()
    assert load_truth().equals(load_truth(copy))


def test_a_damaged_cache_is_refused_by_the_loader_and_mended_by_pull(published, copy, monkeypatch, tmp_path):
    path = pull().path / "layer_drops" / "test-00000-of-00001.parquet"
    path.resolve().write_bytes(path.read_bytes().replace(b"digits_resnet", b"digits_forged"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="the manifest says"):
        load_truth()
    pull()
    assert load_truth().equals(load_truth(copy))


def test_a_repository_with_files_beside_the_tree_is_refused(published, copy):
    repo = published.repo(REPO_ID)
    extra = "layer_drops/test-00001-of-00002.parquet"
    repo.tags["odd"] = repo.add(repo.commits[repo.branches["main"]] | {extra: b"PAR1"}, "a shard by hand")
    with pytest.raises(BadInput) as error:
        pull(REPO_ID, "odd")
    assert str(error.value) == (
        f"{REPO_ID} at odd: not what its manifest says: {extra}: not in the manifest; pull another revision"
    )


@pytest.mark.parametrize(
    ("repo_id", "revision"), [("me/absent", "v0.1.0"), (REPO_ID, "v7.7.7")], ids=["no repository", "no revision"]
)
def test_what_the_hub_does_not_have_is_told(published, cli, repo_id, revision):
    found = cli("pull", "--repo-id", repo_id, "--revision", revision)
    assert (found.code, found.err.splitlines()[-1]) == (
        2,
        f"Error: the Hub refused to pull {repo_id} (404): there is no such repository or revision, or the token may not see "
        "it; check --repo-id and --revision",
    )


def test_a_repository_without_a_tree_is_told(hub):
    hub.make("me/other", files={"README.md": b"hello"})
    with pytest.raises(HubError) as error:
        pull("me/other", "main")
    assert str(error.value) == (
        "me/other at main: is not a dataset tree (it has no manifest.json); name a repository made by `publish`"
    )


def test_two_folders_of_one_name_are_not_mixed_up(little_tree, tmp_path):
    """load_dataset gives the second folder's readers the first one's rows; our loader reads the folder it is given."""
    import datasets
    import pyarrow.parquet as pq

    first, second = (shutil.copytree(little_tree, tmp_path / side / "tree") for side in ("a", "b"))
    path = second / "layers" / "test-00000-of-00001.parquet"
    pq.write_table(pq.read_table(path).slice(2), path)
    cache = str(tmp_path / "cache")
    theirs = [datasets.load_dataset(str(at), "layers", split="test", cache_dir=cache) for at in (first, second)]
    assert theirs[0].num_rows == theirs[1].num_rows
    assert load_truth(first, "layers", "test").num_rows == theirs[0].num_rows
    with pytest.raises(BadInput, match="the manifest says"):
        load_truth(second, "layers", "test")


LOADS = """
import os
import sys
import datasets
repo_id, expected, revisions = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
for revision in revisions:
    rows = datasets.load_dataset(repo_id, "layer_drops", split="test", revision=revision)
    assert rows.num_rows == expected, (revision, rows.num_rows)
stream = datasets.load_dataset(repo_id, "layer_drops", split="test", revision=revisions[0], streaming=True)
print(next(iter(stream.select_columns(["network", "broken"]))), flush=True)
os._exit(0)  # a thread that reads ahead once aborted the interpreter's end, when everything had been loaded
"""


def test_load_dataset_loads_main_tag_commit_and_streams(published, copy, tmp_path):
    """In a process of its own: `datasets` takes the address of the Hub when it is imported."""
    commit = published.repo(REPO_ID).branches["main"]
    truth = load_truth(copy, split="test")
    environment = {
        "HF_ENDPOINT": published.endpoint,
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": TOKEN,
    }
    environment |= {"HF_DATASETS_CACHE": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1"}
    words = [REPO_ID, str(truth.num_rows), REVISION, "main", commit]
    ran = subprocess.run(
        [sys.executable, "-c", LOADS, *words], capture_output=True, text=True, env=os.environ | environment, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == f"{truth.select(['network', 'broken']).slice(0, 1).to_pylist()[0]}\n"


def test_the_revision_that_load_dataset_ignores_is_not_ignored_here(published, copy, monkeypatch, tmp_path):
    """Without a network another revision than the pinned one is not taken for it."""
    publish(read_release(other_card(copy)), REPO_ID)
    pull(REPO_ID, "main")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingData, match="Fetch it: safer-bench pull"):
        load_truth()
    assert pinned.pulled_folder() is None


def test_a_manifest_that_lacks_a_table_is_no_truth(published, copy):
    """Every file is as the manifest says: what it does not say of `outcomes` would never be missed."""
    repo = published.repo(REPO_ID)
    files = repo.commits[repo.branches["main"]]
    manifest = json.loads(files["manifest.json"])
    del manifest["contents"]["outcomes"]
    manifest["files"] = {name: digest for name, digest in manifest["files"].items() if not name.startswith("outcomes/")}
    kept = {name: data for name, data in files.items() if not name.startswith("outcomes/")}
    repo.tags["less"] = repo.add(kept | {"manifest.json": json.dumps(manifest).encode()}, "less")
    with pytest.raises(BadInput) as error:
        pull(REPO_ID, "less")
    assert str(error.value) == (
        f"{REPO_ID} at less: not what its manifest says: outcomes: no such table, which every truth has; pull another revision"
    )


def test_a_revision_is_known_to_the_cache_only_after_its_files_were_checked(published, copy, monkeypatch, tmp_path):
    """Of a truth that was refused, the loader would find the folder and tell of the first wrong file alone."""
    repo = published.repo(REPO_ID)
    files = repo.commits[repo.tags[REVISION]]
    repo.tags[REVISION] = repo.add(files | {"README.md": b"another card"}, "not as the manifest says")
    with pytest.raises(BadInput, match=r"README.md: differs from the manifest"):
        pull()
    assert pinned.pulled_folder() is None


def test_a_full_disk_is_told_as_one(published, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "/cache/blobs/x")

    monkeypatch.setattr("huggingface_hub.HfApi.hf_hub_download", full)
    with pytest.raises(BadInput) as error:
        pull()
    assert str(error.value) == (
        f"cannot pull {REPO_ID}: No space left on device: /cache/blobs/x; mend that (HF_HOME names the cache), and repeat "
        "the command"
    )
