"""What tests share: no network, caches of their own, a tiny network, a small measured tree, the command line."""

import os
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny networks: a second thread costs more than it brings
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="safer-bench-tests-")
os.environ["HF_DATASETS_CACHE"] = os.environ["HF_HOME"] + "/datasets"

import atexit
import math
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from safer_bench.dataset.pack import pack
from safer_bench.dataset.tree import Tree, load_tree
from safer_bench.measurement.answers.tuning import tune_allocator
from safer_bench.measurement.design import make_protocol
from safer_bench.measurement.run import measure_into
from safer_bench.networks.loading import load_network
from safer_bench.networks.network import Network
from safer_bench.scoring.write import write_scores
from tests.made_up.networks import tiny_network

atexit.register(shutil.rmtree, os.environ["HF_HOME"], ignore_errors=True)
tune_allocator()
ROOT = Path(__file__).parents[1]
COMMITTED = ROOT / "data_cards" / "safer-bench"
SEEDS = ROOT / "data_cards" / "safer-bench-seeds"
SMALL_PERTURBATIONS = ("gaussian_noise:0.5,2,8", "magnitude_prune:0.5,0.9")
SMALL_CRITERIA = ("snip", "l2_norm", "constant", "random", "measured_drop_128")


@pytest.fixture
def tiny() -> Network:
    return tiny_network()


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run folder of two digits networks, one of each split."""
    out = tmp_path_factory.mktemp("small") / "run"
    networks = [load_network("digits_mlp"), load_network("digits_resnet")]
    measure_into(out, networks, make_protocol(SMALL_PERTURBATIONS, 4, 60, deterministic_examples=60))
    return out


@pytest.fixture(scope="session")
def small_scores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("small") / "scores"
    networks = [load_network("digits_mlp"), load_network("digits_resnet")]
    write_scores(out, SMALL_CRITERIA, networks, make_protocol(SMALL_PERTURBATIONS).perturbations)
    return out


@pytest.fixture(scope="session")
def small_tree(small_run: Path, small_scores: Path, tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """The dataset tree of the small run, with scores; tests that change it copy it first."""
    out = tmp_path_factory.mktemp("small") / "tree"
    pack([small_run], [small_scores], out)
    return load_tree(out)


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run a command of safer-bench in this process, from the repository's root."""
    from safer_bench.cli import console, main

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(console, "EVERY", math.inf)  # no line of progress, however slow the machine

    def run(*words: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["safer-bench", *map(str, words)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return Ran(code, captured.out, re.sub(r"\s+\n", "\n", captured.err).lstrip("\n"))

    return run
