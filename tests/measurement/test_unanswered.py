"""Logits that are not finite: masked classes spoil nothing, examples without an answer are wrong, networks of them refused."""

import numpy as np
import pytest
import torch
from torch import nn

from safer_bench.errors import BadInput
from safer_bench.measurement import fast_answers
from safer_bench.measurement.answers.tuning import Room
from safer_bench.measurement.design import make_protocol
from safer_bench.measurement.engine import Engine
from safer_bench.measurement.measure import measure
from safer_bench.measurement.plain import PlainEngine
from safer_bench.measurement.run import measure_into
from safer_bench.networks.network import Network
from tests.made_up.measured import N_IMAGES, NARROW, integers, measured_as_expected, network_of, own, probes_of
from tests.measurement.awkward_models import N_CLASSES, Vectors


@torch.no_grad()
def masked(value, shape=(3, 6, 6)):
    """Return a network whose class 2 has a bias of ``value``, and by it alone another for every second image."""

    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(shape[0], 6, 3), nn.Linear(6, N_CLASSES)
            self.register_buffer("allowed", torch.tensor([0.0, 0.0, value, 0.0]))
            self.register_buffer("at_times", torch.tensor([value, 0.0, 0.0, 0.0]))

        def forward(self, x):
            logits = self.head(torch.relu(self.conv(x)).mean((2, 3))) + self.allowed
            return torch.where(x[:, 0, 0, :1] > 0, logits + self.at_times, logits)

    torch.manual_seed(5)
    model, images = Masked().eval(), torch.randn(N_IMAGES, *shape)
    open_ = model.head(torch.relu(model.conv(images)).mean((2, 3)))
    model.head.weight.div_(open_.std(0)[:, None])
    model.head.bias.sub_(open_.mean(0)).div_(open_.std(0))
    labels = torch.where((logits := model(images)) == value, -1e9, logits).argmax(1)
    labels[::5] = (labels[::5] + 1) % N_CLASSES
    return Network(model, images, labels, name="masked")


@pytest.mark.parametrize("fast", [False, True])
def test_a_masked_class_counts_as_one_that_is_far_behind_and_is_replayed(fast, bfloat16_is_faster):
    closed, behind = masked(float("-inf")), masked(-1e4)
    engine = measured_as_expected(closed, probes_of(closed), {}, fast=fast)
    assert integers(engine.measure(probes_of(closed))) == integers(PlainEngine(behind).measure(probes_of(behind)))
    ruled_out = engine.fast_answers.ladders.clean(0, N_IMAGES).answers.masked
    assert ruled_out.sum(0).tolist()[1:] == [0, N_IMAGES, 0]
    assert 0 < ruled_out[:, 0].sum() < N_IMAGES
    assert engine.settled[NARROW if fast else "float32"] > len(probes_of(closed)) * N_IMAGES / 3
    every = engine.measure(probes_of(closed))
    assert all(np.isfinite(row["loss_increase"]) and row["correct_clean"] > N_IMAGES / 2 for row in every)


def test_a_masked_class_in_pieces_some_of_which_mask_none(monkeypatch):
    network = masked(float("-inf"))
    network.model.allowed.zero_()
    order = (network.inputs[:, 0, 0, 0] > 0).int().argsort()  # first those that mask none
    network.evaluation = network.inputs[order], network.labels[order]
    monkeypatch.setattr(fast_answers, "room_on", lambda _: Room(64e6, 8_000, 256))
    engine = measured_as_expected(network, probes_of(network), {})
    pieces = sorted(engine.fast_answers.ladders._clean.items())
    ruled_out = [(start, n, each.answers.masked is not None) for (start, n), each in pieces]
    assert {masks for *_, masks in ruled_out} == {False, True}
    for start, n, masks in ruled_out:
        assert masks == bool((network.inputs[start : start + n, 0, 0, 0] > 0).any())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_network_that_answers_nothing_is_refused_before_anything_is_measured(value, tmp_path):
    network = network_of(Vectors)
    network.model.register_forward_hook(lambda *_: torch.full((1, N_CLASSES), value).expand(len(_[2]), -1))
    with pytest.raises(BadInput) as error:
        measure_into(tmp_path / "run", [network], make_protocol(["sign_flip:0.5"], 1))
    assert str(error.value) == (
        "network 'Vectors': it answers its first 5 evaluation examples by NaN or infinite logits, so that none is right and "
        "nothing is to lose; look for NaN or infinity in its weights, buffers and inputs, and for a division by zero or a "
        "logarithm in forward (a single class may be masked by a logit of -inf)"
    )
    assert not (tmp_path / "run").exists()


def test_later_examples_without_an_answer_are_wrong_and_said_to_be(caplog):
    network = network_of(Vectors)
    network.model.register_forward_hook(lambda _, images, logits: torch.where(images[0][:, :1] > 1.4, torch.nan, logits))
    n = int((network.inputs[:, 0] > 1.4).sum())
    engine = Engine(network)
    rows = list(engine.measure(probes_of(network)))
    assert integers(rows) == integers(PlainEngine(network).measure(probes_of(network)))
    said = f"network 'Vectors' answers {n} of its {N_IMAGES} evaluation examples from number 0 on by NaN or infinite logits"
    assert [text.startswith(said) for text in own(caplog)].count(True) == 1
    assert 0 < n < 6
    assert (engine.clean(0, N_IMAGES).predictions == -1).sum() == n


def test_answers_that_are_nan_each_time_are_measured_as_wrong():
    network = network_of(Vectors)
    network.model.register_forward_hook(lambda _, images, logits: torch.where(images[0][:, :1] > 0, logits, torch.nan))
    measured_as_expected(network, probes_of(network), {"": "it answers some examples by NaN"})
    assert all(
        0 < row["correct_clean"] < N_IMAGES / 2 + 5 for row in measure(network, ["sign_flip:0.5"], draws=1).to_pylist()
    )
