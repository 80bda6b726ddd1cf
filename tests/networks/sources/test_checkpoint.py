"""Checkpoints as people save them: wrapped, prefixed, in half precision; and what is none of this network."""

import argparse

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from safer_bench.errors import BadInput
from safer_bench.networks.sources.checkpoint import classes_in, fit, precision_note, read_checkpoint


def model(n_classes=3):
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, n_classes)).eval()


STATE = model().state_dict()


@pytest.mark.parametrize(
    "saved",
    [
        STATE,
        {"state_dict": STATE, "epoch": 3, "args": argparse.Namespace(lr=0.1)},
        {"model": {f"module.{key}": value for key, value in STATE.items()}},
        {"state_dict": {f"model.{key}": value for key, value in STATE.items()}, "optimizer": {}},
        {f"module._orig_mod.{key}": value for key, value in STATE.items()},
        {key: value for key, value in STATE.items() if not key.endswith("num_batches_tracked")},
    ],
)
def test_common_wrappings_are_understood(saved, tmp_path):
    torch.save(saved, tmp_path / "a.pt")
    other = model()
    fit(other, read_checkpoint(tmp_path / "a.pt", "net"), "net", "a.pt")
    assert all(torch.equal(other.state_dict()[key], value) for key, value in STATE.items())


def test_half_precision_is_kept_number_by_number_and_said(tmp_path):
    half = {key: value.bfloat16() if value.is_floating_point() else value for key, value in STATE.items()}
    save_file(half, tmp_path / "a.safetensors")
    state, other = read_checkpoint(tmp_path / "a.safetensors", "net"), model()
    fit(other, state, "net", "a.safetensors")
    assert other[0].weight.dtype == torch.float32
    assert torch.equal(other[0].weight, half["0.weight"].float())
    assert precision_note(state, "net") == ("net: weights in bfloat16 are read as the float32 numbers that they are",)
    assert precision_note({"a": torch.zeros(1).double()}, "net") == ("net: weights in float64 are rounded to float32",)
    assert precision_note(STATE, "net") == ()


def test_the_classes_of_another_head_are_counted():
    assert classes_in(model(7).state_dict(), STATE, 3) == 7
    assert classes_in(STATE, STATE, 3) is None
    assert classes_in(nn.Sequential(nn.Linear(2, 5)).state_dict(), STATE, 3) is None


class Anything:
    pass


def write(tmp_path, what):
    torch.save(what, tmp_path / "a.pt")
    return tmp_path / "a.pt"


MEND = "expected the weights of net"


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"0.weight": torch.zeros(5, 4)}, f"net: a.pt is of another architecture: it has no 0.bias (7 of 9 tensors do not fit); {MEND}"),
        ({**STATE, "x": torch.zeros(1)}, f"net: a.pt is of another architecture: it has x, which the network has not (1 of 9 tensors do not fit); {MEND}"),
        ({**STATE, "2.weight": torch.zeros(9, 5)}, f"net: a.pt is of another architecture: its 2.weight is (9, 5), the network's (3, 5) (1 of 9 tensors do not fit); {MEND}"),
    ],
)  # fmt: skip
def test_another_architecture_is_refused_by_its_first_tensor(state, message):
    with pytest.raises(BadInput) as error:
        fit(model(), state, "net", "a.pt")
    assert str(error.value) == message


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"net: there is no checkpoint '.*gone.pt'; expected a file of safetensors"):
        read_checkpoint(tmp_path / "gone.pt", "net")
    with pytest.raises(BadInput, match=r"a.pt cannot be read as weights alone \(.*Anything.*expected safetensors, or what"):
        read_checkpoint(write(tmp_path, {"state_dict": Anything()}), "net")
    with pytest.raises(BadInput, match=r"a.pt holds a dict of epoch; expected tensors by name"):
        read_checkpoint(write(tmp_path, {"epoch": 3}), "net")
    with pytest.raises(BadInput, match=r"a.pt holds a list; expected tensors by name"):
        read_checkpoint(write(tmp_path, [1]), "net")
    (tmp_path / "b.safetensors").write_bytes(b"nothing of that kind")
    with pytest.raises(BadInput, match=r"b.safetensors cannot be read as weights alone"):
        read_checkpoint(tmp_path / "b.safetensors", "net")
