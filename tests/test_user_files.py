"""A user's file imports what lies beside it, and nothing that lies beside another's."""

import importlib
import pickle
import subprocess
import sys

import pytest

from safer_bench import user_files
from safer_bench.criteria.loading import parse_criterion
from safer_bench.errors import BadInput, UnknownName
from safer_bench.networks.loading import load_network
from safer_bench.perturbations.loading import parse_perturbation
from safer_bench.registry import load_function
from tests.conftest import ROOT

MAIN = """import helper
from package.inner import deep
class Thing:
    pass
def at_once(): return helper.value, deep
def later():
    import late
    from package import other
    return late.value, other.value
def by_name():
    import importlib
    return importlib.import_module("named").value
"""


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """Leave no module of a test behind."""
    before, finders = set(sys.modules), list(sys.meta_path)
    monkeypatch.setattr(user_files, "_folders", {})
    monkeypatch.setattr(sys, "meta_path", [*finders])
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def folder(root, value):
    (root / "package" / "inner").mkdir(parents=True)
    (root / "package" / "__init__.py").write_text("from . import inner\n")
    (root / "package" / "inner" / "__init__.py").write_text("from .deeper import deep\nfrom ..other import value\n")
    (root / "package" / "inner" / "deeper.py").write_text(f"deep = 'deep {value}'\n")
    for name in ("helper", "late", "named", "package/other"):
        (root / f"{name}.py").write_text(f"value = '{value}'\n")
    (root / "helper.py").write_text(f"import second\nvalue = second.value\nclass Held:\n    here = '{value}'\n")
    (root / "second.py").write_text(f"value = '{value}'\n")
    (root / "net.py").write_text(MAIN)
    return root / "net.py"


def test_two_files_of_one_name_each_get_their_own_modules_at_once_and_later(tmp_path):
    a, b = folder(tmp_path / "a", "A"), folder(tmp_path / "b", "B")
    of_a = [load_function(f"{a}:at_once"), load_function(f"{a}:later")]
    of_b = [load_function(f"{b}:at_once"), load_function(f"{b}:later")]
    assert of_a[0]() == ("A", "deep A")
    assert of_b[0]() == ("B", "deep B")
    assert of_a[1]() == ("A", "A")
    assert of_b[1]() == ("B", "B")
    assert of_a[1]() == ("A", "A")
    assert load_function(f"{b}:by_name")() == "B"


def test_what_a_script_imported_from_elsewhere_stays_its_own(tmp_path, monkeypatch):
    (tmp_path / "script").mkdir()
    (tmp_path / "script" / "helper.py").write_text("value = 'the script'\n")
    monkeypatch.syspath_prepend(str(tmp_path / "script"))
    import helper

    found = load_function(f"{folder(tmp_path / 'b', 'B')}:at_once")
    assert found() == ("B", "deep B")
    assert sys.modules["helper"] is helper
    assert importlib.import_module("helper").value == "the script"


def test_what_a_script_imported_from_the_same_folder_is_shared(tmp_path, monkeypatch):
    path = folder(tmp_path, "A")
    monkeypatch.syspath_prepend(str(tmp_path))
    import helper

    assert load_function(f"{path}:at_once").__globals__["helper"] is helper


def test_the_language_and_installed_packages_come_first(tmp_path):
    for name in ("random", "numpy", "safer_bench"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('executed')\n")
    (tmp_path / "net.py").write_text(
        "import random, numpy.linalg, safer_bench\ndef f(): return random.__file__, numpy.__file__\n"
    )
    assert not any(str(tmp_path) in file for file in load_function(f"{tmp_path / 'net.py'}:f")())
    assert list(user_files.digests(tmp_path / "net.py")) == ["net.py"]


def test_an_edited_module_is_read_again_also_within_the_second_and_of_equal_length(tmp_path):
    path = folder(tmp_path, "A")
    assert load_function(f"{path}:at_once")() == ("A", "deep A")
    before = user_files.digests(path)
    (tmp_path / "second.py").write_text("value = 'C'\n")
    assert user_files.digests(path) == before, "what was loaded counts"
    assert load_function(f"{path}:at_once")() == ("C", "deep A")
    after = user_files.digests(path)
    assert [name for name in after if after[name] != before[name]] == ["second.py"]
    assert not list(tmp_path.rglob("__pycache__"))


def test_digests_name_what_is_imported_now_and_later_and_nothing_else(tmp_path):
    path = folder(tmp_path, "A")
    (tmp_path / "unrelated.py").write_text("")
    package = ["__init__.py", "inner/__init__.py", "inner/deeper.py", "other.py"]
    expected = {"net.py", "helper.py", "second.py", "late.py", *(f"package/{name}" for name in package)}
    assert set(user_files.digests(path)) == expected
    load_function(f"{path}:at_once")
    assert set(user_files.digests(path)) == expected


def test_classes_of_a_file_and_of_what_it_imports_can_be_pickled(tmp_path, monkeypatch):
    path = folder(tmp_path, "A")
    for name in ("user_file_net", "helper"):  # those of other tests: of files called alike, the first has the name
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = load_function(f"{path}:at_once").__globals__
    for kind in (module["Thing"], module["helper"].Held):
        assert type(pickle.loads(pickle.dumps(kind()))) is kind
    other = folder(tmp_path / "b", "B")
    held = load_function(f"{other}:at_once").__globals__["helper"].Held
    with user_files.beside(other):
        assert type(pickle.loads(pickle.dumps(held()))) is held
    assert type(pickle.loads(pickle.dumps(module["helper"].Held()))).here == "A"


def test_a_module_that_fails_is_tried_again(tmp_path):
    path = folder(tmp_path, "A")
    (tmp_path / "second.py").write_text("raise OSError('not yet')\n")
    with pytest.raises(BadInput, match=r"failed with OSError: not yet \(second.py:1, in <module>\)"):
        load_function(f"{path}:at_once")
    (tmp_path / "second.py").write_text("value = 'A'\n")
    assert load_function(f"{path}:at_once")() == ("A", "deep A")


def test_a_folder_without_init_is_a_package_too(tmp_path):
    for name in "ab":
        (tmp_path / name / "parts").mkdir(parents=True)
        (tmp_path / name / "parts" / "one.py").write_text(f"import two\nvalue = '{name}' + two.value\n")
        (tmp_path / name / "two.py").write_text(f"value = '{name}'\n")
        (tmp_path / name / "net.py").write_text("import parts.one\ndef f(): return parts.one.value\n")
    assert [load_function(f"{tmp_path / name / 'net.py'}:f")() for name in "ab"] == ["aa", "bb"]
    assert list(user_files.digests(tmp_path / "a" / "net.py")) == ["net.py", "parts/one.py", "two.py"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"def f(:\n", "SyntaxError: "),
        (b"\xff\xfe\x00", "SyntaxError: "),
        (b"x = '\xe9'\n", "SyntaxError: "),
        (b"\x7fELF\x00\x00", "SyntaxError: "),
        (b"import sys; sys.exit(3)\n", "SystemExit: 3"),
    ],
)
def test_a_file_that_is_no_python_is_named(tmp_path, text, message):
    (tmp_path / "net.py").write_bytes(text)
    with pytest.raises(BadInput) as error:
        load_function(f"{tmp_path / 'net.py'}:f")
    assert str(error.value).startswith(f"{tmp_path / 'net.py'}:f: importing '{tmp_path / 'net.py'}' failed with {message}")


def test_a_file_alone_and_a_function_that_is_not_there_are_told_what_there_is(tmp_path):
    path = tmp_path / "net.py"
    path.write_text("def build(): ...\ndef other(): ...\ndef _hidden(): ...\nx = 3\n")
    for load in (parse_criterion, parse_perturbation):
        with pytest.raises(BadInput) as alone:
            load(str(path))
        assert str(alone.value) == (
            f"'{path}': a file without a function; expected FILE.py:FUNC, such as {path}:build. It defines: build, other"
        )
    for name in ("nope", "x", ""):
        with pytest.raises(BadInput) as absent:
            load_function(f"{path}:{name}")
        assert str(absent.value) == f"{path}:{name}: '{path}' defines no function {name!r}. It defines: build, other"
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(BadInput) as of_folder:
        load_function(f"{tmp_path / 'folder.py'}:build")
    assert str(of_folder.value) == (
        f"{tmp_path / 'folder.py'}:build: '{tmp_path / 'folder.py'}' is a folder; expected FILE.py:FUNC"
    )
    with pytest.raises(UnknownName, match=r"no network is called 'digits_mpl'\. Did you mean 'digits_mlp'"):
        load_network("digits_mpl")


def test_a_file_of_another_working_folder_wins_over_that_folder(tmp_path):
    path = folder(tmp_path / "a", "A")
    (tmp_path / "cwd").mkdir()
    (tmp_path / "cwd" / "helper.py").write_text("value = 'cwd'\n")
    code = f"import sys; sys.path.insert(0, ''); from safer_bench.registry import load_function as f; print(f('{path}:at_once')())"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "cwd", env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert ran.stdout == "('A', 'deep A')\n", ran.stderr
