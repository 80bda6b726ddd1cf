"""Files of one folder that are all new or all as before."""

import json
import threading

import pytest
from filelock import FileLock

from safer_bench.errors import BadInput
from safer_bench.tables import files, together
from safer_bench.tables.together import PENDING, settle, write_together

OLD, NEW = {"a": b"old a", "b": b"old b"}, {"a": b"new a", "b": b"new b"}


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def folder(tmp_path):
    write_together(tmp_path / "out", OLD)
    (tmp_path / "out" / "notes").write_bytes(b"mine")
    return tmp_path / "out"


def interrupted(folder, monkeypatch, at):
    """Write new files and end at one of the renames that put them in place."""
    with monkeypatch.context() as context:
        replace, seen = type(folder).replace, []

        def end(path, target):
            seen.append(target.name)
            if len(seen) > at:
                raise OSError(28, "No space left on device")
            return replace(path, target)

        context.setattr(type(folder), "replace", end)
        with pytest.raises(BadInput, match=r"cannot be written \(No space left on device\); make room there"):
            write_together(folder, NEW)


def test_nothing_else_is_left_and_other_files_stay(folder):
    write_together(folder, NEW)
    assert content(folder) == NEW | {"notes": b"mine"}
    write_together(folder, {"a": b"a"}, gone=("b", "absent"))
    assert content(folder) == {"a": b"a", "notes": b"mine"}


def test_before_all_are_written_nothing_changes(folder, monkeypatch):
    interrupted(folder, monkeypatch, at=0)  # the list of renames itself
    assert content(folder) == OLD | {"notes": b"mine"}


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("then", ["read", "written"])
def test_when_all_are_written_the_next_command_finishes_them(folder, monkeypatch, at, then):
    interrupted(folder, monkeypatch, at)
    assert content(folder) != NEW | {"notes": b"mine"}
    if then == "read":
        settle(folder)
        assert content(folder) == NEW | {"notes": b"mine"}
    else:
        write_together(folder, {"c": b"c"})
        assert content(folder) == NEW | {"notes": b"mine", "c": b"c"}


def test_half_a_file_of_a_later_command_is_never_put_in_place(folder, monkeypatch):
    interrupted(folder, monkeypatch, at=1)
    files.partial_of(folder / "b").write_bytes(b"ne")
    settle(folder)
    assert (folder / "b").read_bytes() == b"old b"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "damaged (Expecting property name enclosed in double quotes: line 1 column 2 (char 1))"),
        ('{"files": {"../a": ""}, "gone": []}', "files.../a: found '../a'; expected text of the pattern"),
        ('{"files": {}, "gone": ["/etc/passwd"]}', "gone.0: found '/etc/passwd'; expected text of the pattern"),
        ('{"files": {}}', "gone is missing"),
    ],
)  # fmt: skip
def test_a_list_of_renames_that_nobody_here_wrote_is_refused(folder, text, said):
    (folder / PENDING).write_text(text)
    for read in (settle, lambda at: write_together(at, NEW)):
        with pytest.raises(BadInput) as error:
            read(folder)
        assert str(error.value).startswith(f"{folder / PENDING}: {said}")
        assert str(error.value).endswith("; remove it, and repeat the command that wrote this folder")
    assert content(folder) == OLD | {"notes": b"mine", PENDING: text.encode()}


def test_a_list_of_renames_that_leads_out_through_a_link_is_refused(folder, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").write_bytes(b"precious")
    (outside / ".mine.partial").write_bytes(b"half")
    (folder / "link").symlink_to(outside)
    (folder / PENDING).write_text(json.dumps({"files": {"link/mine": files.sha256_of(b"half")}, "gone": []}))
    with pytest.raises(
        BadInput, match=r"\.pending\.json: 'link/mine' leads out of the folder through a symbolic link; remove"
    ):
        settle(folder)
    assert (outside / "mine").read_bytes() == b"precious"


def test_a_second_command_waits_and_then_says_so(folder, monkeypatch):
    monkeypatch.setattr(together, "PATIENCE", 0.1)
    with FileLock(folder / ".lock"):
        with pytest.raises(BadInput) as error:
            write_together(folder, NEW)
        assert str(error.value) == f"{folder}: another command writes there; repeat this one when it is done"
    (folder / ".lock").unlink()
    assert content(folder) == OLD | {"notes": b"mine"}


def test_two_at_once_leave_the_files_of_one_of_them(folder):
    each = [{name: bytes([65 + i]) * 100_000 for name in "abcdef"} for i in range(4)]
    threads = [threading.Thread(target=write_together, args=(folder, made)) for made in each]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert content(folder) in [made | {"notes": b"mine"} for made in each]


def test_ctrl_c_between_two_renames_still_ends_with_all_of_them(folder, monkeypatch):
    replace, seen = type(folder).replace, []

    def interrupt(path, target):
        seen.append(target.name)
        if len(seen) == 3:  # the list, a, and then b
            raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(type(folder), "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_together(folder, NEW)
    assert content(folder) == NEW | {"notes": b"mine"}


def test_the_list_of_renames_says_what_is_to_come(folder, monkeypatch):
    interrupted(folder, monkeypatch, at=1)
    assert json.loads((folder / PENDING).read_text()) == {
        "files": {name: files.sha256_of(data) for name, data in NEW.items()},
        "gone": [],
    }
