"""Spawned processes execute no module of the working folder, and still find what lies beside a user's file."""

import os
import subprocess
import sys
from contextlib import suppress

import pytest

from safer_bench.processes import safe_path
from tests.conftest import ROOT

NAMES = ("signal", "random", "json", "numpy", "torch", "pickle", "selectors", "pyarrow", "ray")
NET = """import torch, safer_bench as sb
from beside import seed
def build():
    torch.manual_seed(seed)
    x = torch.randn(30, 4)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 3)).eval()
    return sb.Network(model, x, model(x).argmax(1), name=NAME)
"""
SCRIPT = """if __name__ == "__main__":
    import safer_bench.truth.probe_tables
    safer_bench.truth.probe_tables.SMALL_BYTES = 0
    from safer_bench.cli import main
    main()
"""


@pytest.fixture
def working(tmp_path):
    """A folder of modules that leave a marker where they are executed; the networks are in another."""
    (tmp_path / "here").mkdir()
    for name in NAMES:
        marker = f"open({str(tmp_path / 'executed')!r}, 'a').write({name!r} + ' ')\nraise ImportError\n"
        (tmp_path / "here" / f"{name}.py").write_text(marker)
    (tmp_path / "beside.py").write_text("seed = 3\n")
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(NET.replace("NAME", repr(name)))
    (tmp_path / "script").mkdir()
    (tmp_path / "script" / "safer-bench").write_text(SCRIPT)
    return tmp_path


def command(folder, *words):
    """Run a command in the working folder as its script does, whose own folder is the first that Python searches."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"} | {"PYTHONPATH": str(ROOT)}
    line = [sys.executable, str(folder / "script" / "safer-bench"), *map(str, words)]
    ran = subprocess.run(line, cwd=folder / "here", env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert not (folder / "executed").exists(), (folder / "executed").read_text()


def measure(folder, *words):
    networks = [word for name in ("one", "two") for word in ("--network", folder / f"{name}.py:build")]
    command(folder, "measure", *networks, "--perturbation", "sign_flip:0.1,0.5", "--draws", 4, "--workers", 2, *words)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_workers_and_packing_processes_execute_nothing_of_the_working_folder(working):
    measure(working, "--out", working / "run")
    command(working, "pack", working / "run", "--out", working / "tree")
    assert (working / "tree" / "manifest.json").is_file()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_workers_of_ray_execute_nothing_of_the_working_folder(working):
    measure(working, "--executor", "ray", "--out", working / "run")
    assert (working / "run" / "run.json").is_file()


def test_what_was_set_before_is_set_again(monkeypatch):
    for before in (None, "", "1"):
        monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
        if before is not None:
            monkeypatch.setenv("PYTHONSAFEPATH", before)
        with suppress(KeyError), safe_path():
            assert os.environ["PYTHONSAFEPATH"] == "1"
            raise KeyError
        assert os.environ.get("PYTHONSAFEPATH") == before
