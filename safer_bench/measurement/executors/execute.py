"""Measures units of work in this process, or by an executor.

An executor is a function ``(job, units, n_workers) -> iterator of Measured``, in any order; it starts what it needs and ends
it, also after an exception. Which one is used cannot change an integer.
"""

from collections.abc import Iterable, Iterator

from safer_bench.errors import BadInput, UnknownName
from safer_bench.measurement.executors.process import in_processes
from safer_bench.measurement.executors.ray import on_ray
from safer_bench.measurement.work import Job, Measured, Worker
from safer_bench.registry import suggestion
from safer_bench.truth.run_folder import Unit

EXECUTORS = {"process": in_processes, "ray": on_ray}


def execute(
    job: Job, units: Iterable[Unit], here: Worker, n_workers: int = 1, executor: str = "process"
) -> Iterator[Measured]:
    """Measure units and yield each when it is finished.

    Args:
        job: what every process has to know.
        units: to measure.
        here: measures where this process does.
        n_workers: processes; one of executor ``process`` is this one.
        executor: ``process`` or ``ray``.

    Raises:
        UnknownName: no executor has that name.
        BadInput: fewer than one worker, workers that keep dying, or a unit that cannot be measured.
    """
    check_executor(executor, n_workers)
    if executor == "process" and n_workers == 1:
        return map(here.measure, units)
    return EXECUTORS[executor](job, list(units), n_workers)


def check_executor(executor: str, n_workers: int) -> None:
    """Refuse an executor or a number of workers that there is not, before anything is done.

    Raises:
        UnknownName, BadInput: see ``execute``.
    """
    if executor not in EXECUTORS:
        raise UnknownName(f"no executor is called {executor!r}.{suggestion(executor, EXECUTORS)} There are: process, ray")
    if n_workers < 1:
        raise BadInput(f"{n_workers} workers; expected at least one")
