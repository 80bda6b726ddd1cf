"""Units of work on a Ray cluster: the one that ``RAY_ADDRESS`` names, or one of this machine alone."""

import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import torch

from safer_bench.errors import BadInput, MissingExtra, text_of
from safer_bench.measurement.answers.tuning import take_share, tune_allocator
from safer_bench.measurement.executors.lanes import in_lanes
from safer_bench.measurement.work import Job, Measured, Worker, portable
from safer_bench.networks.devices import card_of, workers_a_card
from safer_bench.processes import safe_path
from safer_bench.truth.run_folder import Unit

LOCAL = "127.0.0.1"
MOST_DEATHS = 3  # of the workers of one unit


class _Actor(Worker):
    """A worker in a process of Ray's, which gives it one thread, and of the cards those alone that it may use."""

    def __init__(self, job: Job, n_sharing: int) -> None:
        tune_allocator()
        for device in map(torch.device, set(job.devices.values())):
            take_share(card_of(device, 0), n_sharing)
        super().__init__(job)


def on_ray(job: Job, units: Sequence[Unit], n_workers: int) -> Iterator[Measured]:
    """Yield finished units; those of a worker that died are measured by others.

    The machines of a cluster need safer-bench, the images, and a user's file at the same path.

    Raises:
        MissingExtra: ray is not installed.
        BadInput: a unit cannot be measured, workers keep dying, there is no cluster at that address, or no card in it for a
            network on one.
    """
    try:
        import ray
        from ray.exceptions import RayActorError, RayTaskError
    except ModuleNotFoundError as error:
        raise MissingExtra('ray is not installed; pip install "safer-bench[ray]"') from error
    _connect(ray, n_workers, _config(job))
    try:
        yield from in_lanes(units, n_workers, _Actors(ray, job, _workers_a_card(ray, job, n_workers)))
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

    def __init__(self, ray: Any, job: Job, n_sharing: int | None = None) -> None:
        self._ray, self._n_sharing = ray, n_sharing or 1
        cards = {} if n_sharing is None else {"num_gpus": 1 / n_sharing}
        self._actor = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=MOST_DEATHS, **cards)(_Actor)
        self._job = ray.put(portable(job))
        self._workers: dict[int, Any] = {}

    def start(self, lane: int) -> None:
        self._workers[lane] = self._actor.remote(self._job, self._n_sharing)

    def give(self, lane: int, unit: Unit) -> Any:
        return self._workers[lane].measure.remote(unit)

    def wait(self, tasks: Sequence[Any]) -> Iterable[Any]:
        done, _ = self._ray.wait(list(tasks))
        return list(done)

    def result(self, task: Any) -> Measured:
        measured: Measured = self._ray.get(task)
        return measured


def _workers_a_card(ray: Any, job: Job, n_workers: int) -> int | None:
    """Return how many workers have to share a card of the cluster, None where no network is on one.

    Raises:
        BadInput: it has none.
    """
    if all(torch.device(name).type != "cuda" for name in job.devices.values()):
        return None
    n_cards = int(ray.cluster_resources().get("GPU", 0))
    if not n_cards:
        raise BadInput(
            "the Ray cluster has no GPU; expected one at least for device 'cuda': start its nodes with --num-gpus"
        )
    return workers_a_card(n_workers, n_cards)


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
