"""The contract of imports can fail: on a file that stands in no line of it, and on a way back."""

import ast
import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

LINT = str(Path(sys.executable).with_name("lint-imports"))


@pytest.fixture
def house(tmp_path):
    """A copy of the package's code and its contracts."""
    shutil.copytree(ROOT / "safer_bench", tmp_path / "safer_bench", ignore=shutil.ignore_patterns("__pycache__", "weights"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    return tmp_path


def linted(house):
    """Return exit code and output of import-linter, on one line."""
    run = subprocess.run([LINT, "--no-cache"], cwd=house, capture_output=True, text=True, check=False)
    return run.returncode, " ".join(run.stdout.split())


def add(house, name, line):
    with open(house / "safer_bench" / name, "a") as file:
        file.write(f"\n{line}\n")


def test_the_house_keeps_its_law(house):
    assert linted(house)[0] == 0


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("attic.py", "", "safer_bench.attic"),
        (
            "dataset/tree.py",
            "from safer_bench.evaluation import boards",
            "safer_bench.dataset.tree -> safer_bench.evaluation.boards",
        ),
        ("truth/area.py", "from safer_bench.dataset import tree", "safer_bench.truth.area -> safer_bench.dataset.tree"),
        (
            "criteria/lamp.py",
            "from safer_bench.tables import schema",
            "safer_bench.criteria.lamp -> safer_bench.tables.schema",
        ),
        ("criteria/lamp.py", "from safer_bench.truth import area", "safer_bench.criteria.lamp -> safer_bench.truth.area"),
        ("metrics.py", "from safer_bench import judging", "safer_bench.metrics -> safer_bench.judging"),
        ("tables/files.py", "import torch", "safer_bench.tables.files -> torch"),
    ],
)
def test_what_breaks_the_law_is_named(house, name, line, message):
    add(house, name, line)
    code, out = linted(house)
    assert code == 1
    assert message in out


def public_names_taken(path):
    """Return what a file takes from the package's face, whose names are found late and are no arrow for import-linter."""
    taken = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            taken += [alias.name for alias in node.names if alias.name in ("safer_bench", "importlib")]
        elif isinstance(node, ast.ImportFrom) and node.module in ("safer_bench", "importlib"):
            taken += [alias.name for alias in node.names]
    return taken


def test_no_room_takes_public_names_past_the_law(tmp_path):
    """`import safer_bench as sb` in a criterion would reach the truth, and no contract sees it."""
    package = ROOT / "safer_bench"
    allowed = {
        package / "__init__.py": ["import_module", "metrics"],
        package / "registry.py": ["importlib"],
        package / "cli" / "__init__.py": ["__version__"],
    }
    for path in package.rglob("*.py"):
        assert public_names_taken(path) == allowed.get(path, []), path
    for line in ("import safer_bench as sb", "from safer_bench import load_truth", "from importlib import import_module"):
        (tmp_path / "lamp.py").write_text(f"def f():\n    {line}\n")
        assert len(public_names_taken(tmp_path / "lamp.py")) == 1


def test_the_light_contract_names_every_room_that_says_it_is_light():
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    named = set(contracts["importlinter:contract:light"]["source_modules"].split())
    package = ROOT / "safer_bench"
    ground = {path.stem for path in package.glob("*.py")} - {"__init__", "catalogue"}
    says = {init.parent.relative_to(package).parts for init in package.rglob("__init__.py") if "Light:" in init.read_text()}
    folders = {".".join(parts) for parts in says if parts and parts[:-1] not in says - {()}} - {"cli"}
    assert named == {f"safer_bench.{name}" for name in ground | folders}
