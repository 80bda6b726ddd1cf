"""Workers and cards: who measures where, what travels to them, and what Ray is asked for. No card is needed here."""

import pickle
from types import SimpleNamespace

import pytest
import torch

from safer_bench.errors import BadInput
from safer_bench.measurement.design import make_protocol
from safer_bench.measurement.executors import process
from safer_bench.measurement.executors import ray as on_ray
from safer_bench.measurement.executors.execute import execute, workers_by_device
from safer_bench.measurement.run import measure_into
from safer_bench.measurement.work import Worker, job_of, portable
from safer_bench.networks.network import Network
from tests.made_up.far_device import FAR, FarDevice
from tests.made_up.networks import tiny_network


@pytest.fixture
def two_cards(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture
def moves(monkeypatch):
    """Note where networks are put, in place of putting them there."""
    found = []
    monkeypatch.setattr(Network, "to", lambda self, device: found.append(str(device)) or self)
    return found


def job_on(device):
    """Return the job of a network that was put on a device by that name."""
    network = tiny_network()
    network.placed = torch.device(device)
    return job_of([network], make_protocol(["quantize:3"]), fast=False)


@pytest.mark.parametrize(
    ("devices", "n_workers", "executor", "said"),
    [
        (("cpu",), 1, "process", "cpu: worker 1"),
        (("cpu",), 3, "process", "cpu: workers 1, 2, 3"),
        (("cuda",), 1, "process", "cuda:0: worker 1"),
        (("cuda",), 5, "process", "cuda:0: workers 1, 3, 5; cuda:1: workers 2, 4"),
        (("cuda:1",), 2, "process", "cuda:1: workers 1, 2"),
        (("cuda", "cpu", "cuda"), 2, "process", "cpu: workers 1, 2; cuda:0: worker 1; cuda:1: worker 2"),
        (("cuda", "cpu"), 4, "ray", "4 workers of Ray on cpu and cuda"),
    ],
)
def test_which_worker_is_where_is_said(two_cards, devices, n_workers, executor, said):
    assert workers_by_device(dict(enumerate(devices)), n_workers, executor) == said


def test_ray_deals_out_the_cards_itself(two_cards, tmp_path):
    message = "device 'cuda:1' for executor 'ray', which deals out the cards itself; expected 'cuda'"
    with pytest.raises(BadInput) as error:
        execute(job_on("cuda:1"), [], None, 2, "ray")
    assert str(error.value) == message
    network = tiny_network()
    network.placed = torch.device("cuda:1")
    with pytest.raises(BadInput) as error:
        measure_into(tmp_path / "run", [network], make_protocol(["quantize:3"]), executor="ray")
    assert str(error.value) == message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("device", "cards"),
    [("cuda", ["cuda:0", "cuda:1", "cuda:0"]), ("cuda:1", ["cuda:1"] * 3), ("cpu", [])],
)
def test_each_worker_takes_its_card(two_cards, moves, device, cards):
    job = job_on(device)
    assert job.devices == {"tiny": device}
    for number in range(3):
        Worker(job, number=number).engine("tiny")
    assert moves == cards


def test_a_spawned_worker_is_told_its_number_and_takes_its_share(two_cards, moves, monkeypatch):
    shares = []
    monkeypatch.setattr(process, "take_share", lambda card, n: shares.append((str(card), n)))
    monkeypatch.setattr(process, "start_worker", lambda: None)
    monkeypatch.setattr(process.torch, "set_num_threads", lambda n: None)
    monkeypatch.setattr(process, "_worker", None, raising=False)
    for number in (0, 1, 2):
        process._start(pickle.dumps(job_on("cuda")), 1, number, 3)
        process._worker.engine("tiny")
        assert moves[-1] == f"cuda:{number % 2}"
    assert shares == [("cuda:0", 2), ("cuda:1", 2), ("cuda:0", 2)]


def test_a_worker_that_died_is_followed_by_one_on_its_card(monkeypatch):
    started = []
    processes = process._Processes(started.append)
    for lane in (0, 1, 1):
        processes.start(lane)
    assert started == [0, 1, 1]


def test_networks_travel_in_main_memory():
    with FarDevice().there():
        job = job_of([tiny_network().to(FAR)], make_protocol(["quantize:3"]), fast=False)
        sent = portable(job)
        assert (job.sources["tiny"].device, sent.sources["tiny"].device.type, job.devices["tiny"]) == (FAR, "cpu", str(FAR))
        assert next(job.sources["tiny"].model.parameters()).device == FAR
        arrived = Worker(pickle.loads(pickle.dumps(sent))).engine("tiny").network
        assert (arrived.device, arrived.weights_sha256) == (FAR, tiny_network().weights_sha256)


def test_networks_that_others_can_load_travel_as_their_names(tiny):
    tiny.spec = "digits_mlp"
    assert portable(job_of([tiny], make_protocol(["quantize:3"]), fast=False)).sources == {"tiny": "digits_mlp"}


class Ray:
    """Stands for ray: a cluster of so many cards, which notes what actors ask for and are given."""

    def __init__(self, n_cards):
        self.n_cards, self.asked, self.given = n_cards, [], []

    def cluster_resources(self):
        return {"CPU": 8.0} | ({"GPU": float(self.n_cards)} if self.n_cards else {})

    def put(self, job):
        return job

    def remote(self, **options):
        self.asked.append(options)
        return lambda actor: SimpleNamespace(remote=lambda *given: self.given.append(given))


@pytest.mark.parametrize(
    ("device", "n_cards", "n_workers", "share", "n_sharing"),
    [
        ("cuda", 4, 2, 1.0, 1),
        ("cuda", 2, 2, 1.0, 1),
        ("cuda", 2, 3, 0.5, 2),
        ("cuda", 1, 4, 0.25, 4),
        ("cpu", 4, 2, None, 1),
    ],
)
def test_ray_is_asked_for_cards_where_a_network_is_on_one(moves, device, n_cards, n_workers, share, n_sharing):
    job, ray = job_on(device), Ray(n_cards)
    actors = on_ray._Actors(ray, job, on_ray._workers_a_card(ray, job, n_workers))
    actors.start(0)
    (options,) = ray.asked
    assert options.get("num_gpus") == share
    assert options["num_cpus"] == 1
    assert ray.given == [(actors._job, n_sharing)]
    assert share is None or n_workers * share <= n_cards


def test_a_cluster_without_cards_is_named():
    with pytest.raises(BadInput) as error:
        on_ray._workers_a_card(Ray(0), job_on("cuda"), 2)
    assert str(error.value) == (
        "the Ray cluster has no GPU; expected one at least for device 'cuda': start its nodes with --num-gpus"
    )
