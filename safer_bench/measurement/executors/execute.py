"""Measures units of work in this process, or by an executor.

An executor is a function ``(job, units, n_workers) -> iterator of Measured``, in any order; it starts what it needs and ends
it, also after an exception. Which one is used cannot change an integer.
"""

from collections.abc import Iterable, Iterator, Mapping

import torch

from safer_bench.errors import BadInput, UnknownName
from safer_bench.measurement.executors.process import in_processes
from safer_bench.measurement.executors.ray import on_ray
from safer_bench.measurement.work import Job, Measured, Worker
from safer_bench.networks.devices import card_of
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
    workers_by_device(job.devices, n_workers, executor)  # refuses what the executor cannot place
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


def workers_by_device(devices: Mapping[str, str], n_workers: int, executor: str) -> str:
    """Say which worker measures on which device; workers are counted from 1.

    Args:
        devices: of the networks, by name, as ``Job`` has them.
        n_workers, executor: as for ``execute``.

    Raises:
        BadInput: a card is named by its number for ``ray``, which deals out the cards itself.
    """
    names = sorted(set(devices.values()))
    if executor == "ray":
        numbered = next((name for name in names if name.startswith("cuda:")), None)
        if numbered:
            raise BadInput(f"device {numbered!r} for executor 'ray', which deals out the cards itself; expected 'cuda'")
        return f"{n_workers} workers of Ray on {' and '.join(names)}"
    workers: dict[str, list[str]] = {}
    for number in range(n_workers):
        for card in dict.fromkeys(str(card_of(torch.device(name), number)) for name in names):
            workers.setdefault(card, []).append(str(number + 1))
    return "; ".join(f"{card}: worker{'s' * (len(those) > 1)} {', '.join(those)}" for card, those in workers.items())
