"""Which worker measures what: each a stretch of consecutive units, since least is computed again there.

An executor says how its workers are started, given units and asked; the loop over them is one, here.
"""

from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Protocol, TypeVar

from safer_bench.errors import BadInput
from safer_bench.measurement.work import Measured
from safer_bench.truth.run_folder import Unit

AT_HAND = 2  # units given to a worker at a time: one at work, one waiting
MOST_DEATHS = 3  # of workers in succession, without a finished unit between them

Task = TypeVar("Task", bound=Hashable)  # what an executor calls a unit that is being measured


class WorkerDied(Exception):
    """The worker of a lane died, and with it whatever it was given."""


class Crew(Protocol[Task]):
    """The workers of an executor, one a lane."""

    def start(self, lane: int) -> None:
        """Start the worker of a lane, or another in the place of one that died."""

    def give(self, lane: int, unit: Unit) -> Task:
        """Have a lane's worker measure a unit, after those that it was given before."""

    def wait(self, tasks: Sequence[Task]) -> Iterable[Task]:
        """Wait until one of these tasks has ended at least, and return those that have."""

    def result(self, task: Task) -> Measured:
        """Return what a task that has ended measured, or raise what it raised.

        Raises:
            WorkerDied: its worker did not live to the end.
        """


def in_lanes(units: Sequence[Unit], n_lanes: int, crew: Crew[Task]) -> Iterator[Measured]:
    """Yield finished units in any order; those of a worker that died are measured by others.

    Args:
        units: in the order in which least is computed again.
        n_lanes: workers.
        crew: starts them and asks them.

    Raises:
        BadInput: workers keep dying; and whatever a unit raises.
    """
    lanes, deaths = Lanes(units, n_lanes), 0
    for lane in range(n_lanes):
        crew.start(lane)
    running: dict[Task, tuple[int, Unit]] = {}
    ready = [lane for lane in range(n_lanes) for _ in range(AT_HAND)]
    while ready or running:
        for lane in ready:
            if (unit := lanes.take(lane)) is not None:
                running[crew.give(lane, unit)] = lane, unit
        ready = []
        for task in crew.wait(list(running)) if running else ():
            if task not in running:  # its worker died while another of its units was looked at
                continue
            lane, _ = running[task]
            try:
                measured = crew.result(task)
            except WorkerDied as error:
                deaths += 1
                _refuse_many(deaths, error)
                lanes.give_back(lane, _taken_from(running, lane))
                crew.start(lane)
                ready += [lane] * AT_HAND
            else:
                deaths = 0
                del running[task]
                ready.append(lane)
                yield measured


def _refuse_many(deaths: int, error: WorkerDied) -> None:
    if deaths == MOST_DEATHS:
        raise BadInput(
            f"{deaths} times in succession a worker process died without a finished part (killed? out of memory?); what is "
            "finished is kept: repeat the command with fewer workers"
        ) from error


def _taken_from(running: dict[Task, tuple[int, Unit]], lane: int) -> list[Unit]:
    """Return the units that a lane's worker had, oldest first, and take them out of what is running."""
    lost = [task for task, (other, _) in running.items() if other == lane]
    return [running.pop(task)[1] for task in lost]


class Lanes:
    """Units in as many stretches as there are workers; who has none left takes half of the longest.

    Args:
        units: in the order in which least is computed again.
        n_lanes: workers.
    """

    def __init__(self, units: Sequence[Unit], n_lanes: int) -> None:
        bounds = [len(units) * lane // n_lanes for lane in range(n_lanes + 1)]
        self._waiting = [deque(units[a:b]) for a, b in pairwise(bounds)]

    def take(self, lane: int) -> Unit | None:
        """Return the next unit for a worker, None where all are taken."""
        if not self._waiting[lane]:
            longest = max(self._waiting, key=len)
            self._waiting[lane].extendleft(longest.pop() for _ in range((len(longest) + 1) // 2))
        return self._waiting[lane].popleft() if self._waiting[lane] else None

    def give_back(self, lane: int, units: Sequence[Unit]) -> None:
        """Put units that a worker took and did not finish back to the front."""
        self._waiting[lane].extendleft(reversed(units))
