"""Units of work on a Ray cluster: the one that ``RAY_ADDRESS`` names, or one of this machine alone."""

import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from safer_bench.errors import BadInput, MissingExtra, text_of
from safer_bench.measurement.answers.tuning import tune_allocator
from safer_bench.measurement.executors.lanes import in_lanes
from safer_bench.measurement.work import Job, Measured, Worker
from safer_bench.processes import safe_path
from safer_bench.truth.run_folder import Unit

LOCAL = "127.0.0.1"
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
    _connect(ray, n_workers, _config(job))
    try:
        yield from in_lanes(units, n_workers, _Actors(ray, job))
    except RayTaskError as error:
        raise (error.cause if isinstance(error.cause, BadInput) else error) from None
    except RayActorError as error:
        raise BadInput(
            f"{MOST_DEATHS + 1} workers of one unit died; what is finished is kept: repeat the command"
        ) from error
    finally:
        ray.shutdown()


class _Actors:
    """One actor a lane. Ray itself starts one that died again, and repeats its units, until they are too many."""

    def __init__(self, ray: Any, job: Job) -> None:
        self._ray = ray
        self._actor = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=MOST_DEATHS)(_Actor)
        self._job = ray.put(job)
        self._workers: dict[int, Any] = {}

    def start(self, lane: int) -> None:
        self._workers[lane] = self._actor.remote(self._job)

    def give(self, lane: int, unit: Unit) -> Any:
        return self._workers[lane].measure.remote(unit)

    def wait(self, tasks: Sequence[Any]) -> Iterable[Any]:
        done, _ = self._ray.wait(list(tasks))
        return list(done)

    def result(self, task: Any) -> Measured:
        measured: Measured = self._ray.get(task)
        return measured


def _config(job: Job) -> Any:
    """Return Ray's settings of a job: workers that need no class of the calling script do not search its folders.

    Ray puts them first, so that a random.py there would be executed in place of the language's.
    """
    from ray.job_config import JobConfig

    config = JobConfig()
    if all(isinstance(given, str) for given in (*job.sources.values(), *job.protocol.specs)):
        leaves_them_out = "_runtime_env_has_working_dir"  # the one case in which Ray does
        setattr(config, leaves_them_out, partial(bool, 1))
    return config


def _connect(ray: Any, n_workers: int, config: Any) -> None:
    """Join the cluster that is named, or start one of this machine alone.

    Raises:
        BadInput: there is none.
    """
    address = os.environ.get("RAY_ADDRESS")
    try:
        if address:
            _refuse_silence(address)
            ray.init(address=address, log_to_driver=False, job_config=config)
        else:
            local = {"num_cpus": n_workers, "include_dashboard": False, "_node_ip_address": LOCAL}
            with safe_path():
                ray.init(log_to_driver=False, job_config=config, **local)
    except Exception as error:
        raise BadInput(f"no Ray cluster at {address or LOCAL} ({text_of(error, typed=True)})") from error


def _refuse_silence(address: str) -> None:
    """Raise OSError where nobody listens at HOST:PORT: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        socket.create_connection((host, int(port)), timeout=20).close()
