"""A folder that replaces another: one of them is whole at its place, or comes back to it."""

import os
from pathlib import Path

import pytest

from safer_bench.errors import BadInput
from safer_bench.tables import folders


def made(path, text):
    path.mkdir()
    (path / "marker").write_text(text)
    return path


@pytest.fixture
def place(tmp_path):
    made(folders.beside(tmp_path / "tree", "partial"), "new")
    return made(tmp_path / "tree", "old")


def found(place):
    return {
        path.relative_to(place.parent).as_posix(): path.read_text() for path in place.parent.rglob("*") if path.is_file()
    }


def test_two_folders_are_swapped_in_one_step_where_the_system_can(place):
    can = folders.exchange(folders.beside(place, "partial"), place)
    assert found(place) == (
        {"tree/marker": "new", ".tree.partial/marker": "old"}
        if can
        else {"tree/marker": "old", ".tree.partial/marker": "new"}
    )
    assert can or os.uname().sysname != "Linux"


@pytest.mark.parametrize("can", [True, False])
def test_nothing_of_the_older_one_stays(place, monkeypatch, can):
    if not can:
        monkeypatch.setattr(folders, "exchange", lambda *_: False)
    folders.put_in_place(place, "marker")
    assert found(place) == {"tree/marker": "new"}
    assert [path.name for path in place.parent.iterdir()] == ["tree"]


def test_a_folder_that_had_to_step_aside_comes_back_and_only_then(place):
    place.rename(folders.beside(place, "old"))  # where a kill between two renames leaves it
    assert folders.needs_bringing_back(place, "marker")
    folders.bring_back(place, "marker")
    assert (place / "marker").read_text() == "old"
    made(folders.beside(place, "old"), "older still")
    folders.bring_back(place, "marker")
    assert (place / "marker").read_text() == "old"


def test_what_is_left_of_a_removal_never_comes_back(place, monkeypatch):
    place.rename(folders.beside(place, "old"))
    (folders.beside(place, "old") / "table").write_text("x")
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)  # killed, when the marker is gone
    folders.discard(folders.beside(place, "old"), "marker")
    assert not folders.needs_bringing_back(place, "marker")


def test_a_system_that_refuses_both_renames_leaves_the_older_one(place, monkeypatch):
    monkeypatch.setattr(folders, "exchange", lambda *_: False)
    rename = Path.rename

    def refuse(path, target):
        if path.name == ".tree.partial":
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(BadInput) as error:
        folders.put_in_place(place, "marker")
    assert str(error.value) == (
        f"{place}: cannot be written (No space left on device); make room there or name another place, and repeat the command"
    )
    assert (place / "marker").read_text() == "old"


def test_a_link_or_a_file_in_the_place_of_what_is_removed_goes_alone(tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "marker").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "theirs")
    (tmp_path / "file").write_text("x")
    for name in ("link", "file", "nothing"):
        folders.discard(tmp_path / name, "marker")
    assert [path.name for path in tmp_path.rglob("*")] == ["theirs", "marker"]
