"""Units of work on a Ray cluster: the one that ``RAY_ADDRESS`` names, or one of this machine alone."""

import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from safer_bench.errors import BadInput, MissingExtra, text_of
from safer_bench.measurement.answers.tuning import tune_allocator
from safer_bench.measurement.executors.lanes import Lanes
from safer_bench.measurement.work import Job, Measured, Worker
from safer_bench.truth.run_folder import Unit

LOCAL = "127.0.0.1"
AT_HAND = 2  # units given to a worker at a time
MOST_DEATHS = 3  # of the workers of one unit


class _Actor(Worker):
    """A worker in a process of Ray's, which gives it one thread."""

    def __init__(self, job: Job) -> None:
        tune_allocator()
        super().__init__(job)


def on_ray(job: Job, units: Sequence[Unit], n_workers: int) -> Iterator[Measured]:
    """Yield finished units; those of a worker that died are measured by others.

    The machines of a cluster need safer-bench, the images, and a user's file at the same path.

    Raises:
        MissingExtra: ray is not installed.
        BadInput: a unit cannot be measured, workers keep dying, or there is no cluster at that address.
    """
    try:
        import ray
        from ray.exceptions import RayActorError, RayTaskError
    except ModuleNotFoundError as error:
        raise MissingExtra('ray is not installed; pip install "safer-bench[ray]"') from error
    address = os.environ.get("RAY_ADDRESS")
    try:
        if address:
            _refuse_silence(address)
            ray.init(address=address, log_to_driver=False)
        else:
            ray.init(num_cpus=n_workers, include_dashboard=False, log_to_driver=False, _node_ip_address=LOCAL)
    except Exception as error:
        raise BadInput(f"no Ray cluster at {address or LOCAL} ({text_of(error, typed=True)})") from error
    try:
        actor = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=MOST_DEATHS)(_Actor)
        shared = ray.put(job)
        lanes = Lanes(units, n_workers)
        workers: list[Any] = [actor.remote(shared) for _ in range(n_workers)]
        running: dict[Any, int] = {}
        ready = [lane for lane in range(n_workers) for _ in range(AT_HAND)]
        while ready or running:
            for lane in ready:
                if (unit := lanes.take(lane)) is not None:
                    running[workers[lane].measure.remote(unit)] = lane
            ready = []
            if running:
                done, _ = ray.wait(list(running))
                ready = [running.pop(reference) for reference in done]
                yield from ray.get(done)
    except RayTaskError as error:
        raise (error.cause if isinstance(error.cause, BadInput) else error) from None
    except RayActorError as error:
        raise BadInput(
            f"{MOST_DEATHS + 1} workers of one unit died; what is finished is kept: repeat the command"
        ) from error
    finally:
        ray.shutdown()


def _refuse_silence(address: str) -> None:
    """Raise OSError where nobody listens at HOST:PORT: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        socket.create_connection((host, int(port)), timeout=20).close()
