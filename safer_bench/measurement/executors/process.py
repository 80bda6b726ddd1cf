"""Units of work in spawned processes of this machine."""

import multiprocessing
import os
import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker

import torch

from safer_bench.errors import BadInput, text_of
from safer_bench.measurement.answers.tuning import tune_allocator
from safer_bench.measurement.executors.lanes import Lanes
from safer_bench.measurement.work import Job, Measured, Worker
from safer_bench.processes import start_worker
from safer_bench.truth.run_folder import Unit

AT_HAND = 2  # units given to a worker at a time: one at work, one waiting
MOST_DEATHS = 3  # of workers in succession, without a finished unit between them

_worker: Worker  # of a spawned process


def in_processes(job: Job, units: Sequence[Unit], n_workers: int) -> Iterator[Measured]:
    """Yield finished units; those of a worker that died are measured by others.

    Raises:
        BadInput: a unit cannot be measured, or workers keep dying.
    """
    pickled, lanes, deaths = _pickled(job), Lanes(units, n_workers), 0
    _start_tracker()
    with ExitStack() as stack:
        pools = [stack.enter_context(_pool(pickled, n_workers)) for _ in range(n_workers)]
        running: dict[Future[Measured], tuple[int, Unit]] = {}
        ready = [lane for lane in range(n_workers) for _ in range(AT_HAND)]
        while ready or running:
            for lane in ready:
                if (unit := lanes.take(lane)) is not None:
                    running[pools[lane].submit(_measure, unit)] = lane, unit
            ready = []
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                if future not in running:  # its worker died while another of its units was looked at
                    continue
                lane, _ = running[future]
                try:
                    measured = future.result()
                except BrokenProcessPool as error:
                    deaths += 1
                    if deaths == MOST_DEATHS:
                        raise BadInput(
                            f"{deaths} times in succession a worker process died without a finished part (killed? out of "
                            "memory?); what is finished is kept: repeat the command with fewer workers"
                        ) from error
                    lost = [each for each, (other, _) in running.items() if other == lane]
                    lanes.give_back(lane, [running.pop(each)[1] for each in lost])
                    pools[lane] = stack.enter_context(_pool(pickled, n_workers))
                    ready += [lane] * AT_HAND
                else:
                    deaths = 0
                    del running[future]
                    ready.append(lane)
                    yield measured


@contextmanager
def _pool(pickled: bytes, n_workers: int) -> Iterator[ProcessPoolExecutor]:
    """Spawn one of several workers, which ends with this process, however it ends, and at once after an exception."""
    n_threads = max(1, torch.get_num_threads() // n_workers)
    spawn, others = multiprocessing.get_context("spawn"), set(multiprocessing.active_children())
    with ProcessPoolExecutor(1, spawn, initializer=_start, initargs=(pickled, n_threads)) as pool:
        pool.submit(_nothing)  # the process is started here, so that it can be told from others
        workers = set(multiprocessing.active_children()) - others
        try:
            yield pool
        except BaseException:
            for worker in workers:
                worker.kill()
            raise


def _start_tracker() -> None:
    """Start the process that frees what killed workers leave behind (semaphores of libraries), without a warning of it."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, [before, "ignore:resource_tracker:UserWarning"]))
    try:
        resource_tracker.ensure_running()
    finally:
        del os.environ["PYTHONWARNINGS"]
        if before is not None:
            os.environ["PYTHONWARNINGS"] = before


def _nothing() -> None:
    pass


def _pickled(job: Job) -> bytes:
    try:
        return pickle.dumps(job)
    except Exception as error:  # whatever a user's class raises
        raise BadInput(
            f"a network cannot be sent to worker processes ({text_of(error, typed=True)}); name it instead: "
            "safer-bench measure --network FILE.py:FUNC, or use one worker"
        ) from error


def _start(pickled: bytes, n_threads: int) -> None:
    """Make a spawned process ready."""
    global _worker  # a worker process has one
    start_worker()
    tune_allocator()
    torch.set_num_threads(n_threads)
    _worker = Worker(pickle.loads(pickled))  # noqa: S301  of our own parent


def _measure(unit: Unit) -> Measured:
    return _worker.measure(unit)
