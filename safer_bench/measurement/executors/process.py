"""Units of work in spawned processes of this machine."""

import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker

import torch

from safer_bench.errors import BadInput, text_of
from safer_bench.measurement.answers.tuning import take_share, tune_allocator
from safer_bench.measurement.executors.lanes import WorkerDied, in_lanes
from safer_bench.measurement.work import Job, Measured, Worker, portable
from safer_bench.networks.devices import card_of, cards_of, workers_a_card
from safer_bench.processes import safe_path, start_worker
from safer_bench.truth.run_folder import Unit

_worker: Worker  # of a spawned process


def in_processes(job: Job, units: Sequence[Unit], n_workers: int) -> Iterator[Measured]:
    """Yield finished units; those of a worker that died are measured by others.

    Raises:
        BadInput: a unit cannot be measured, or workers keep dying.
    """
    pickled = _pickled(job)
    _start_tracker()
    with ExitStack() as stack:
        spawn = lambda lane: stack.enter_context(_pool(pickled, lane, n_workers))  # noqa: E731
        yield from in_lanes(units, n_workers, _Processes(spawn))


class _Processes:
    """One pool of one process a lane, since a pool whose process died takes nothing more."""

    def __init__(self, spawn: Callable[[int], ProcessPoolExecutor]) -> None:
        self._spawn = spawn
        self._pools: dict[int, ProcessPoolExecutor] = {}

    def start(self, lane: int) -> None:
        self._pools[lane] = self._spawn(lane)

    def give(self, lane: int, unit: Unit) -> Future[Measured]:
        return self._pools[lane].submit(_measure, unit)

    def wait(self, tasks: Sequence[Future[Measured]]) -> Iterable[Future[Measured]]:
        return wait(tasks, return_when=FIRST_COMPLETED).done

    def result(self, task: Future[Measured]) -> Measured:
        try:
            return task.result()
        except BrokenProcessPool as error:
            raise WorkerDied from error


@contextmanager
def _pool(pickled: bytes, number: int, n_workers: int) -> Iterator[ProcessPoolExecutor]:
    """Spawn a worker, by its number, which ends with this process, however it ends, and at once after an exception."""
    n_threads = max(1, torch.get_num_threads() // n_workers)
    spawn, others = multiprocessing.get_context("spawn"), set(multiprocessing.active_children())
    with ProcessPoolExecutor(1, spawn, initializer=_start, initargs=(pickled, n_threads, number, n_workers)) as pool:
        with safe_path():
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
        with safe_path():
            resource_tracker.ensure_running()
    finally:
        del os.environ["PYTHONWARNINGS"]
        if before is not None:
            os.environ["PYTHONWARNINGS"] = before


def _nothing() -> None:
    pass


def _pickled(job: Job) -> bytes:
    try:
        return pickle.dumps(portable(job))
    except Exception as error:  # whatever a user's class raises
        raise BadInput(
            f"a network cannot be sent to worker processes ({text_of(error, typed=True)}); name it instead: "
            "safer-bench measure --network FILE.py:FUNC, or use one worker"
        ) from error


def _start(pickled: bytes, n_threads: int, number: int, n_workers: int) -> None:
    """Make a spawned process ready."""
    global _worker  # a worker process has one
    start_worker()
    tune_allocator()
    torch.set_num_threads(n_threads)
    job: Job = pickle.loads(pickled)  # noqa: S301  of our own parent
    for device in map(torch.device, set(job.devices.values())):
        take_share(card_of(device, number), workers_a_card(n_workers, len(cards_of(device))))
    _worker = Worker(job, number=number)


def _measure(unit: Unit) -> Measured:
    return _worker.measure(unit)
