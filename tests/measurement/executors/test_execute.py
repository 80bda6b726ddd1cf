"""Where units are measured cannot change what is measured, and a worker that fails is told of."""

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise

import pytest
import torch
from torch import nn

from safer_bench.errors import BadInput, UnknownName
from safer_bench.measurement.design import make_protocol
from safer_bench.measurement.executors import process
from safer_bench.measurement.executors.lanes import Lanes
from safer_bench.measurement.measure import measure
from safer_bench.measurement.run import measure_into
from safer_bench.measurement.work import Worker, job_of
from safer_bench.networks.loading import load_network
from safer_bench.networks.network import Network
from safer_bench.truth.run_folder import RunFolder, Unit
from tests.conftest import ROOT
from tests.made_up.durability import MAIN, differing
from tests.made_up.networks import tiny_network

SPECS = ["gaussian_noise:0.5,2", "quantize:2,4"]


@pytest.mark.long
def test_two_processes_measure_the_same_also_where_a_file_is_called_like_a_module_of_the_language(
    tiny, tmp_path, monkeypatch
):
    for name in ("signal", "random", "pickle"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('executed')\n")
    monkeypatch.chdir(tmp_path)
    assert measure(tiny, SPECS, draws=4, examples=15, workers=2).equals(measure(tiny, SPECS, draws=4, examples=15))


@pytest.mark.long
def test_a_failing_perturbation_is_told_by_the_process_that_called(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import safer_bench as sb\n"
        "@sb.perturbation(levels=(0.1, 0.5), scale='linear', unit='share', source='mine')\n"
        "def breaks(weight, level, rng):\n"
        "    raise ArithmeticError('on purpose')\n"
    )
    with pytest.raises(BadInput) as error:
        measure_into(tmp_path / "run", [tiny_network()], make_protocol([f"{path}:breaks"]), workers=2)
    assert str(error.value) == "perturbation 'breaks' at level 0.1: ArithmeticError: on purpose (mine.py:4, in breaks)"
    assert not list((tmp_path / "run").glob("parts/*/*"))
    assert "stopped: perturbation 'breaks'" in (tmp_path / "run" / "log.txt").read_text()


def test_an_unknown_executor_and_no_workers_are_refused(tiny):
    with pytest.raises(UnknownName) as unknown:
        measure(tiny, SPECS, executor="proces")
    assert str(unknown.value) == "no executor is called 'proces'. Did you mean 'process'? There are: process, ray"
    with pytest.raises(BadInput) as none:
        measure(tiny, SPECS, workers=0)
    assert str(none.value) == "0 workers; expected at least one"


def test_a_network_that_cannot_be_pickled_is_named():
    class Local(nn.Linear):
        pass

    network = Network(Local(4, 2).eval(), torch.randn(6, 4), torch.arange(6) % 2)
    with pytest.raises(BadInput, match=r"^a network cannot be sent to worker processes \(.*Local.*\); name it instead: "):
        measure(network, SPECS, workers=2)


def test_a_file_that_builds_another_network_each_time_is_refused(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(
        "import safer_bench as sb, torch\n"
        "def build():\n"
        "    return sb.Network(torch.nn.Linear(4, 2).eval(), torch.ones(6, 4), torch.arange(6) % 2, name='mine')\n"
    )
    worker = Worker(job_of([load_network(f"{path}:build")], make_protocol(SPECS), fast=False))
    with pytest.raises(BadInput) as error:
        worker.measure(Unit("mine", 0, 60, 0))
    assert str(error.value) == (
        f"network 'mine': {path}:build built other weights or images in another process; build the same each time, for "
        "example by loading weights from a file or setting the seed, and edit no file meanwhile"
    )


class Mortal:
    """Stands for a pool: every process dies at each of the first ``n`` units given to it."""

    def __init__(self, n):
        self.n = n

    def __call__(self, unit):
        if self.n:
            self.n -= 1
            raise process.BrokenProcessPool("a process died")
        return unit


@pytest.fixture
def pool_of_threads(monkeypatch):
    """Let threads stand for processes."""
    from concurrent.futures import ThreadPoolExecutor
    from contextlib import contextmanager

    monkeypatch.setattr(process, "_pool", contextmanager(lambda *_: (yield ThreadPoolExecutor(1))))
    monkeypatch.setattr(process, "_pickled", lambda job: b"")
    return lambda n: monkeypatch.setattr(process, "_measure", Mortal(n))


def test_units_of_a_process_that_died_are_measured_by_others(pool_of_threads):
    pool_of_threads(2)
    assert sorted(process.in_processes(None, list(range(8)), 2)) == list(range(8))


def test_processes_that_keep_dying_end_the_run_with_a_message(pool_of_threads):
    pool_of_threads(100)
    with pytest.raises(BadInput) as error:
        list(process.in_processes(None, list(range(8)), 2))
    assert str(error.value) == (
        "3 times in succession a worker process died without a finished part (killed? out of memory?); what is finished "
        "is kept: repeat the command with fewer workers"
    )


@pytest.mark.parametrize(("n_units", "n_lanes"), [(0, 2), (1, 3), (7, 1), (20, 3)])
def test_lanes_give_every_unit_once_in_stretches(n_units, n_lanes):
    lanes, taken = Lanes(range(n_units), n_lanes), [[] for _ in range(n_lanes)]
    for turn in range(n_units):
        lane = 0 if turn % 4 == 0 and n_lanes > 1 else n_lanes - 1  # the last is quicker, others do nothing
        taken[lane].append(lanes.take(lane))
    assert sorted(unit for mine in taken for unit in mine) == list(range(n_units))
    assert [lanes.take(lane) for lane in range(n_lanes)] == [None] * n_lanes
    for mine in taken:
        n_jumps = sum(b != a + 1 for a, b in pairwise(mine))
        assert n_jumps <= 6


def test_what_a_lane_gives_back_comes_first():
    lanes = Lanes(range(10), 2)
    first = [lanes.take(1), lanes.take(1)]
    lanes.give_back(1, first)
    assert [lanes.take(1) for _ in range(3)] == [*first, 7]


def start(out, *more):
    words = ["measure", "--network", "digits_resnet", "--perturbation", "gaussian_noise", "--draws", "8", "--examples", "75"]
    command = [sys.executable, "-c", MAIN, *words, "--out", str(out), *more]
    heed = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731  tests in the background may ignore it
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=heed)


def children(pid):
    """Return the worker processes of a process."""
    found = subprocess.run(["pgrep", "-P", str(pid), "-f", "spawn_main"], stdout=subprocess.PIPE, text=True)
    return [int(line) for line in found.stdout.split()]


def wait_for(condition, seconds=120):
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "nothing happened"
        time.sleep(0.02)


def is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    measure_into(out, [load_network("digits_resnet")], make_protocol(["gaussian_noise"], 8, 75))
    return out / "parts"


@pytest.mark.long
def test_a_worker_killed_in_the_middle_changes_nothing(tmp_path, undisturbed):
    run = start(tmp_path / "run", "--workers", "2")
    wait_for(lambda: list((tmp_path / "run").glob("parts/*/*.parquet")) or run.poll() is not None)
    os.kill(children(run.pid)[0], signal.SIGKILL)
    out, _ = run.communicate(timeout=200)
    assert run.returncode == 0, out
    assert differing(undisturbed, tmp_path / "run" / "parts")[0] == 0


@pytest.mark.long
def test_workers_end_with_the_process_that_was_killed(tmp_path, undisturbed):
    run = start(tmp_path / "run", "--workers", "2")
    wait_for(lambda: list((tmp_path / "run").glob("parts/*/*.parquet")))
    workers = children(run.pid)
    assert len(workers) == 2
    run.kill()
    run.communicate()
    wait_for(lambda: not any(map(is_there, workers)), 20)
    run = start(tmp_path / "run")
    out, _ = run.communicate(timeout=200)
    assert run.returncode == 0, out
    assert differing(undisturbed, tmp_path / "run" / "parts")[0] == 0


@pytest.mark.long
def test_ctrl_c_ends_the_workers_and_says_how_to_go_on(tmp_path):
    run = start(tmp_path / "run", "--workers", "2")
    wait_for(lambda: list((tmp_path / "run").glob("parts/*/*.parquet")))
    workers = children(run.pid)
    run.send_signal(signal.SIGINT)
    out, _ = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "Interrupted. What is finished is kept; repeat the command to resume: safer-bench measure --network" in out
    assert out.rstrip().splitlines()[-1].startswith("Interrupted. What is finished is kept")
    assert not any(map(is_there, workers))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_ray_measures_the_same_also_where_a_worker_is_killed(tmp_path, undisturbed):
    run = start(tmp_path / "run", "--workers", "2", "--executor", "ray")
    wait_for(lambda: list((tmp_path / "run").glob("parts/*/*.parquet")) or run.poll() is not None, 300)
    actor = subprocess.run(["pgrep", "-f", "ray::_Actor"], stdout=subprocess.PIPE, text=True).stdout.split()
    assert actor
    os.kill(int(actor[0]), signal.SIGKILL)
    out, _ = run.communicate(timeout=300)
    assert run.returncode == 0, out
    assert differing(undisturbed, tmp_path / "run" / "parts")[0] == 0


@pytest.mark.long
def test_ray_where_there_is_no_cluster_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    run = start(tmp_path / "run", "--executor", "ray")
    out, _ = run.communicate(timeout=200)
    assert run.returncode == 2
    assert "Error: no Ray cluster at 127.0.0.1:1 (" in out
    assert RunFolder(tmp_path / "run").parts() == {}
