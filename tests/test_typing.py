"""Editors and type checkers see what every public name is."""

import ast
import inspect
import subprocess
import sys
import textwrap
import types

import pytest

import safer_bench as sb
from tests.conftest import ROOT

# public signatures that hold Any in so many words, and why
OPEN = {
    "Network": "output: a model may return anything",
    "metrics": "a float for one ranking, an array for a stack of them",
}


PUBLIC = [*sb.__all__, "metrics.spearman"]


def imported_for_type_checkers(source):
    """Return ``{name: module it is imported from}`` of what stands below ``if TYPE_CHECKING``."""
    blocks = [
        node for node in ast.parse(source).body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    assert all(name.asname == name.name for node in imports for name in node.names), "`as` hands a name on"
    return {name.name: node.module for node in imports for name in node.names}


def test_type_checkers_find_each_public_name_where_it_comes_from():
    found = imported_for_type_checkers((ROOT / "safer_bench" / "__init__.py").read_text())
    expected = {name: f"safer_bench.{home}" for name, home in sb._HOMES.items()}
    assert found == expected | dict.fromkeys(sb._MODULES, "safer_bench")


def test_public_signatures_say_what_they_take_and_return():
    vague = {name for name in sb.__all__ for each in functions(getattr(sb, name)) if "Any" in words(each)}
    assert vague == set(OPEN)


def functions(value):
    """Return a function, or those of a module that are its own."""
    if not isinstance(value, types.ModuleType):
        return [value]
    own = [each for name, each in vars(value).items() if inspect.isfunction(each) and not name.startswith("_")]
    return [each for each in own if each.__module__ == value.__name__]


def words(function):
    """Return the names that its annotations are written with; an alias such as ``Given`` is one."""
    source = textwrap.dedent(inspect.getsource(function.__init__ if inspect.isclass(function) else function))
    (written,) = ast.parse(source).body
    arguments = [*written.args.args, *written.args.kwonlyargs]
    annotations = [each for each in (*(argument.annotation for argument in arguments), written.returns) if each]
    return {node.id for each in annotations for node in ast.walk(each) if isinstance(node, ast.Name)}


@pytest.mark.long
def test_mypy_reveals_the_type_of_each_public_name(tmp_path):
    """Each was ``Any`` while ``__getattr__`` was all that a type checker saw."""
    script = tmp_path / "user.py"
    lines = ["import safer_bench as sb", *(f"reveal_type(sb.{name})" for name in PUBLIC), "sb.leaderbord"]
    script.write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml", "--no-error-summary", script]
    found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    revealed = [line.partition("Revealed type is ")[2] for line in found.stdout.splitlines() if "Revealed" in line]
    assert len(revealed) == len(PUBLIC), found.stdout + found.stderr
    assert [text for text in revealed if text in {'"Any"', '"builtins.object"'} or text.startswith('"def (*Any')] == []
    assert found.stdout.splitlines()[-1].endswith('error: Module has no attribute "leaderbord"  [attr-defined]')
