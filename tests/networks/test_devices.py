"""Devices by name: what is not there is said, and workers go round the cards."""

import pytest
import torch

from safer_bench.errors import BadInput
from safer_bench.networks import devices
from safer_bench.networks.devices import card_of, cards_of, device_named, workers_a_card
from safer_bench.networks.loading import load_network
from safer_bench.networks.network import Network
from tests.made_up.far_device import FAR, FarDevice

NO_FLOAT64 = "has no float64, and canonical arithmetic, which decides every count, needs it; expected cpu"


@pytest.fixture
def two_cards(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_cuda_where_there_is_none_is_named():
    with pytest.raises(BadInput, match=r"^device 'cuda' is not on this machine \(.+\); expected cpu$"):
        device_named("cuda")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mps", f"device 'mps' {NO_FLOAT64}"),
        ("nonsense", "device 'nonsense' is none that torch knows; expected cpu"),
        ("meta", "device 'meta' is not on this machine (Tensor.item() cannot be called on meta tensors); expected cpu"),
    ],
)
def test_what_no_network_can_run_on_is_named_before_it_is_loaded(monkeypatch, name, message):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    for refused in (lambda: device_named(name), lambda: load_network("no network of the zoo", name)):
        with pytest.raises(BadInput) as error:
            refused()
        assert str(error.value) == message


def test_the_cards_that_are_there_are_offered(two_cards):
    with pytest.raises(BadInput, match=r"; expected cpu or cuda:0 or cuda:1$"):
        device_named("nonsense")


def test_a_device_without_float64_is_blamed_and_not_the_model(tiny, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with FarDevice(has_float64=False).there():
        with pytest.raises(BadInput) as named:
            tiny.to(FAR)
        model = tiny.model.to(FAR)
        with pytest.raises(BadInput) as given:
            Network(model, tiny.inputs, tiny.labels, name="mine")
    assert str(named.value) == f"device '{FAR}' {NO_FLOAT64}"
    assert str(given.value) == f"network 'mine': its model's device '{FAR}' {NO_FLOAT64}"


def test_a_network_moves_and_comes_back(tiny):
    before, digest = tiny.layers, tiny.weights_sha256
    assert (tiny.placed, tiny.device) == (None, torch.device("cpu"))
    with FarDevice().there():
        assert tiny.to(FAR) is tiny
        assert (tiny.placed, tiny.device, tiny.inputs.device.type) == (FAR, FAR, "cpu")
        tiny.__dict__.pop("weights_sha256")
        assert tiny.weights_sha256 == digest
        assert tiny.to("cpu:0").device.type == "cpu"
    assert tiny.layers is before


def test_workers_go_round_the_cards(two_cards):
    every, second = torch.device("cuda"), torch.device("cuda:1")
    assert [str(card_of(every, worker)) for worker in range(4)] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    assert {card_of(second, worker) for worker in range(4)} == {second}
    assert cards_of(torch.device("cpu")) == (torch.device("cpu"),)
    assert [workers_a_card(n, 2) for n in (1, 2, 3, 4, 5)] == [1, 1, 2, 2, 3]


def test_where_no_card_is_found_a_name_stays(monkeypatch):
    monkeypatch.setattr(devices.torch.cuda, "device_count", lambda: 0)
    assert cards_of(torch.device("cuda")) == (torch.device("cuda"),)
