"""A tree that is packed again: whatever happens on the way, one whole tree is at its place or comes back."""

import shutil

import pytest
from filelock import FileLock

from safer_bench.dataset.tree import load_tree, load_truth, write_tree
from safer_bench.errors import BadInput, MissingData
from safer_bench.tables import folders
from tests.made_up.cases import first_by_default
from tests.made_up.full_disk import files_of_at_most
from tests.made_up.trees import content

FACTS = {"protocol": 1, "seed": 0}


@pytest.fixture
def copy(small_tree, tmp_path):
    return shutil.copytree(small_tree.path, tmp_path / "tree")


def nothing(tables, contents, digests):
    return {}


def test_a_kill_between_two_renames_and_then_a_full_disk_loses_nothing(cli, copy, small_tree, small_run, monkeypatch):
    before = content(copy)
    copy.rename(folders.beside(copy, "old"))  # the kill, on a file system that cannot swap folders
    monkeypatch.setattr(folders, "exchange", lambda *_: False)
    with files_of_at_most(1_000):
        assert cli("pack", small_run, "--out", copy).code == 2
    assert content(copy) == before
    assert load_tree(copy).revision == small_tree.revision
    assert [path.name for path in copy.parent.iterdir()] == ["tree"]


@pytest.mark.parametrize("read", [load_tree, load_truth, lambda path: write_tree(path, {}, FACTS, nothing)])
def test_whatever_reads_or_writes_a_tree_finds_the_one_that_stepped_aside(copy, monkeypatch, read):
    before = content(copy)
    copy.rename(folders.beside(copy, "old"))
    if read not in (load_tree, load_truth):
        monkeypatch.setattr(folders, "put_in_place", lambda *_: (_ for _ in ()).throw(BadInput("full")))
        with pytest.raises(BadInput, match="full"):
            read(copy)
    else:
        read(copy)
    assert content(copy) == before


def test_half_a_tree_of_a_kill_goes_with_the_next_pack_and_harms_no_reader(copy, small_tree):
    partial = shutil.copytree(copy, folders.beside(copy, "partial"))
    (partial / "manifest.json").unlink()
    assert load_tree(copy).revision == small_tree.revision
    write_tree(copy, dict(small_tree), FACTS, nothing)
    assert [path.name for path in copy.parent.iterdir()] == ["tree"]


def test_two_packs_at_once_are_one_and_a_message(copy, small_tree):
    before = content(copy)
    with FileLock(folders.beside(copy, "lock")):
        with pytest.raises(BadInput) as error:
            write_tree(copy, dict(small_tree), FACTS, nothing)
        assert str(error.value) == f"{copy}: another command packs this tree; repeat this one when it is done"
        assert load_tree(copy).revision == small_tree.revision, "readers need no lock, as a tree is swapped in one step"
    assert content(copy) == before


def test_a_reader_waits_for_no_pack_that_has_put_the_older_tree_aside(copy):
    copy.rename(folders.beside(copy, "old"))
    with FileLock(folders.beside(copy, "lock")), pytest.raises(BadInput, match="another command packs this tree"):
        load_tree(copy)


@pytest.mark.parametrize(
    "kind", first_by_default(["a file", "the manifest", "a folder", "two that lead to each other", "to nothing"], 2)
)
def test_a_symbolic_link_within_a_tree_is_told_by_whatever_reads_it(cli, copy, tmp_path, kind):
    name = {"a folder": "layers", "the manifest": "manifest.json"}.get(kind, "layers/test-00000-of-00001.parquet")
    moved = tmp_path / "moved"
    (copy / name).rename(moved)
    target = {"to nothing": tmp_path / "nowhere", "two that lead to each other": copy / name}.get(kind, moved)
    (copy / name).symlink_to(target)
    at = copy / "layers/test-00000-of-00001.parquet" if kind == "a folder" else copy / name
    said = f"{at}: a symbolic link, expected a file of the tree; put a copy in its place"
    if kind == "two that lead to each other":
        said = f"{at}: cannot be read (Symlink loop from {str(at)!r}); get the tree again"
    with pytest.raises(BadInput) as error:
        load_tree(copy)["layers"]
    assert str(error.value) == said
    found = cli("verify", copy, "--rows", 0)
    assert found.code == (2 if kind == "the manifest" else 1)
    assert said in found.out + found.err
    found = cli("evaluate", "--truth", copy, "--out", tmp_path / "board")
    assert (found.code, found.err) == (2, f"Error: {said}\n")


def test_a_link_to_a_tree_is_read_and_packed_as_the_tree_that_it_leads_to(copy, small_tree, tmp_path):
    (tmp_path / "latest").symlink_to(copy)
    assert load_tree(tmp_path / "latest").revision == small_tree.revision
    write_tree(tmp_path / "latest", {"layers": small_tree["layers"]}, FACTS, nothing)
    assert (tmp_path / "latest").is_symlink()
    assert list(load_tree(copy)) == ["layers"]


@pytest.mark.parametrize(
    "kind", ["file for the tree", "file for a table", "folder for the manifest", "folder for a table's file"]
)
def test_a_file_for_a_folder_and_a_folder_for_a_file_are_told(copy, kind):
    place = {
        "file for the tree": copy,
        "file for a table": copy / "layers",
        "folder for the manifest": copy / "manifest.json",
    }
    place = place.get(kind, copy / "layers/test-00000-of-00001.parquet")
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    place.mkdir() if kind.startswith("folder") else place.write_text("x")
    said = {
        "file for the tree": f"{copy}: is not a dataset tree (it has no manifest.json). Name the folder of one, or make one: safer-bench demo",
        "file for a table": f"{copy}/layers/test-00000-of-00001.parquet: missing, but in the manifest; get the tree again",
        "folder for the manifest": f"{copy}/manifest.json: damaged (Is a directory); get the tree again",
    }.get(kind, f"{place}: cannot be read (Is a directory); get the tree again")
    with pytest.raises((BadInput, MissingData)) as error:
        load_tree(copy)["layers"]
    assert str(error.value) == said


@pytest.mark.parametrize(
    ("name", "said"), [("manifest.json", "damaged"), ("layers/test-00000-of-00001.parquet", "cannot be read")]
)
def test_what_may_not_be_read_is_told(copy, monkeypatch, name, said):
    read = type(copy).read_bytes

    def refuse(path):
        if path == copy / name:
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(type(copy), "read_bytes", refuse)
    with pytest.raises(BadInput) as error:
        load_tree(copy)["layers"]
    assert str(error.value) == f"{copy / name}: {said} (Permission denied); get the tree again"


def test_a_table_that_a_tree_lacks_is_told_by_name(copy, small_tree, cli, tmp_path):
    write_tree(copy, {"layers": small_tree["layers"]}, FACTS, nothing)
    tree = load_tree(copy)
    assert tree.get("scores") is None
    for ask in (lambda: tree["networks"], lambda: load_truth(copy, "networks")):
        with pytest.raises(BadInput) as error:
            ask()
        assert str(error.value) == f"{copy}: has no table 'networks'; its tables: layers"
    found = cli("evaluate", "--truth", copy, "--out", tmp_path / "board")
    assert (found.code, found.err.count("\n")) == (2, 1)
    assert "has no table" in found.err
