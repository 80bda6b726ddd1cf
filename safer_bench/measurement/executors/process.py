"""Units of work in spawned processes of this machine."""

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import torch

from safer_bench.errors import BadInput
from safer_bench.measurement.tuning import tune_allocator
from safer_bench.measurement.work import Job, Measured, Worker
from safer_bench.run_folder import Unit

MOST_DEATHS = 3  # of workers in succession, without a finished unit between them

_worker: Worker  # of a spawned process


def in_processes(job: Job, units: Sequence[Unit], n_workers: int) -> Iterator[Measured]:
    """Yield finished units; those of a worker that died are measured by others.

    Raises:
        BadInput: a unit cannot be measured, or workers keep dying.
    """
    pickled = _pickled(job)
    waiting, deaths = list(reversed(units)), 0
    while waiting:
        running: dict[Future[Measured], Unit] = {}
        try:
            with _pool(pickled, n_workers) as pool:
                while waiting or running:
                    while waiting and len(running) < 2 * n_workers:  # one at work, one at hand
                        unit = waiting.pop()
                        running[pool.submit(_measure, unit)] = unit
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        measured = future.result()
                        del running[future]
                        deaths = 0
                        yield measured
        except BrokenProcessPool as error:
            deaths += 1
            if deaths == MOST_DEATHS:
                raise BadInput(
                    f"{deaths} times in succession a worker process died without a finished part (killed? out of memory?); "
                    "what is finished is kept: repeat the command with fewer workers"
                ) from error
            waiting += sorted(running.values(), key=units.index, reverse=True)


@contextmanager
def _pool(pickled: bytes, n_workers: int) -> Iterator[ProcessPoolExecutor]:
    """Spawn workers that end with this process, however it ends, and at once where the block is left by an exception."""
    others, n_threads = set(multiprocessing.active_children()), max(1, torch.get_num_threads() // n_workers)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_workers, spawn, initializer=_start, initargs=(pickled, n_threads)) as pool:
        try:
            yield pool
        except BaseException:
            for worker in set(multiprocessing.active_children()) - others:
                worker.kill()
            raise


def _pickled(job: Job) -> bytes:
    try:
        return pickle.dumps(job)
    except Exception as error:  # whatever a user's class raises
        raise BadInput(
            f"a network cannot be sent to worker processes ({type(error).__name__}: {error}); name it instead: "
            "safer-bench measure --network FILE.py:FUNC, or use one worker"
        ) from error


def _start(pickled: bytes, n_threads: int) -> None:
    """Make a spawned process ready."""
    global _worker  # a worker process has one
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, who ends the workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    tune_allocator()
    torch.set_num_threads(n_threads)
    _worker = Worker(pickle.loads(pickled))  # noqa: S301  of our own parent


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()  # it may have been killed
    os._exit(1)


def _measure(unit: Unit) -> Measured:
    return _worker.measure(unit)
