"""Every folder says its law; the light half never needs torch, and importing the package is quick."""

import ast
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

LIGHT, HEAVY = "Light: never imports torch.", "Needs torch."
PACKAGE = ROOT / "safer_bench"
FACES = {PACKAGE / "__init__.py", PACKAGE / "cli" / "__init__.py"}  # hand on public names and commands
IMPORT = """
import importlib, os, sys, traceback
import datasets, huggingface_hub, jinja2, numpy, pyarrow.compute, pyarrow.csv, pyarrow.parquet, pydantic, scipy.stats, typer, yaml

heavy = {"torch", "safetensors", "sklearn"}
assert not heavy & set(sys.modules)
for name in sys.argv[1:]:
    child = os.fork()  # a process of its own, which has imported what takes long
    if not child:
        try:
            importlib.import_module(name)
            os._exit(bool(heavy & set(sys.modules)))
        except BaseException:
            traceback.print_exc()
            os._exit(2)
    if os.waitpid(child, 0)[1]:
        print(name)
"""


def law(init):
    """Return the last line of a package's docstring."""
    return (ast.get_docstring(ast.parse(init.read_text())) or "").splitlines()[-1]


def light_modules(package):
    """Return every module that lies in a folder whose docstring says that it is light."""
    files = [path for init in package.rglob("__init__.py") if law(init) == LIGHT for path in init.parent.glob("*.py")]
    names = (".".join(path.relative_to(package.parent).with_suffix("").parts) for path in files)
    return sorted(name.removesuffix(".__init__") for name in names)


def importing_torch(package):
    """Return the modules of light folders that import torch, or fail, each in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-c", IMPORT, *light_modules(package)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(package.parent)},
    )
    return run.stdout.split()


def test_every_folder_says_what_it_is_and_its_law_and_nothing_else():
    """What an ``__init__`` imports comes with every file below it, which no contract of imports sees."""
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    for init in (folder / "__init__.py" for folder in folders):
        assert law(init) in {LIGHT, HEAVY}, init
        assert init in FACES or len(ast.parse(init.read_text()).body) == 1, init


def test_the_light_half_does_not_import_torch():
    assert importing_torch(PACKAGE) == []
    assert len(light_modules(PACKAGE)) > 80


def test_the_check_can_fail(tmp_path):
    rooms = {"light": (LIGHT, {"fine": "import numpy", "late": "def f():\n    import torch", "worse": "import torch"}),
             "heavy": (HEAVY, {"right": "import torch"})}  # fmt: skip
    house = tmp_path / "house"
    for name, (said, files) in {"": (LIGHT, {}), **rooms}.items():
        (house / name).mkdir()
        (house / name / "__init__.py").write_text(f'"""A room.\n\n{said}\n"""\n')
        for file, text in files.items():
            (house / name / f"{file}.py").write_text(text)
    assert light_modules(house) == ["house", "house.light", "house.light.fine", "house.light.late", "house.light.worse"]
    assert importing_torch(house) == ["house.light.worse"]


def test_rules_of_a_budget_are_arithmetic():
    """They once brought torch and 58 of our modules, by what the package's ``__init__`` imported."""
    code = "import safer_bench.budget.rules, sys; print(sorted({'torch', 'scipy.stats'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_importing_the_package_is_quick():
    """Under 0.3 s, by the interpreter's own clock: the best of three, as the machine may be busy."""
    code = "import time; t = time.perf_counter(); import safer_bench; print(time.perf_counter() - t)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    assert min(float(run.stdout) for run in runs) < 0.3


@pytest.mark.parametrize("call", ["sb.load_network('digits_mlp')", "sb.measure", "sb.score", "sb.Network", "sb.criterion"])
def test_without_torch_a_message_names_the_extra(call):
    code = f"import sys; sys.modules['torch'] = None; import safer_bench as sb; {call}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.strip().splitlines()[-1] == (
        "safer_bench.errors.MissingExtra: torch is not installed: this needs the torch half; "
        'pip install "safer-bench[measure]"'
    )


def test_public_names_are_not_hidden_by_modules():
    """A submodule called like a public function would replace it as soon as anything imports it."""
    modules = [
        *("networks.loading", "measurement.measure", "scoring.score", "evaluation.evaluate", "criteria.loading"),
        *("perturbations.loading", "dataset.tree"),
    ]
    code = (
        f"import safer_bench as sb, {', '.join(f'safer_bench.{name}' for name in modules)}\n"
        "import types\n"
        "print([n for n in sb.__all__ if n != 'metrics' and isinstance(getattr(sb, n), types.ModuleType)])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_an_unknown_public_name_is_an_attribute_error():
    import safer_bench

    with pytest.raises(AttributeError, match="module 'safer_bench' has no attribute 'leaderbord'"):
        _ = safer_bench.leaderbord


def test_the_command_line_starts_without_what_takes_long_to_import():
    """scipy.stats alone costs more than half a second."""
    code = "import safer_bench.cli, sys; print(sorted({'scipy.stats', 'matplotlib', 'datasets'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
