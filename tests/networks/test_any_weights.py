"""Weights of any module and of none: which are layers, and that they are measured as a plain loop would."""

import copy

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from safer_bench.errors import BadInput
from safer_bench.measurement.describe import layer_rows
from safer_bench.measurement.measure import measure
from safer_bench.networks.layers import discover_layers, look_through
from safer_bench.networks.loading import zoo_networks
from safer_bench.networks.network import Network
from tests.conftest import ROOT
from tests.made_up.weights import (
    KINDS,
    Bags,
    Bilinears,
    Cells,
    Elman,
    Gpt,
    Gru,
    HandAttention,
    Lstm,
    Matrices,
    Odd,
    ProjectedLstm,
)

STEPS = 5
ELEMENTWISE = "meets the examples entry by entry only (added, joined or scaled)"
POSITIONS = "the same rows for every example (positions)"
EXPECTED = {  # name -> (kind, axis of outputs, weights that feed an output, multiply-accumulates)
    Lstm: {
        "rnn.weight_ih_l0": ("LSTM", 0, 3, STEPS * 24 * 3),
        "rnn.weight_hh_l0": ("LSTM", 0, 6, STEPS * 24 * 6),
        "rnn.weight_ih_l1": ("LSTM", 0, 6, STEPS * 24 * 6),
        "rnn.weight_hh_l1": ("LSTM", 0, 6, STEPS * 24 * 6),
        "head": ("Linear", 0, 6, 24),
    },
    ProjectedLstm: {
        "rnn.weight_ih_l0": ("LSTM", 0, 3, STEPS * 24 * 3),
        "rnn.weight_hh_l0": ("LSTM", 0, 2, STEPS * 24 * 2),
        "rnn.weight_hr_l0": ("LSTM", 0, 6, STEPS * 2 * 6),
        "rnn.weight_ih_l0_reverse": ("LSTM", 0, 3, STEPS * 24 * 3),
        "rnn.weight_hh_l0_reverse": ("LSTM", 0, 2, STEPS * 24 * 2),
        "rnn.weight_hr_l0_reverse": ("LSTM", 0, 6, STEPS * 2 * 6),
        "head": ("Linear", 0, 4, 16),
    },
    Gru: {
        "rnn.weight_ih_l0": ("GRU", 0, 3, STEPS * 18 * 3),
        "rnn.weight_hh_l0": ("GRU", 0, 6, STEPS * 18 * 6),
        "rnn.weight_ih_l0_reverse": ("GRU", 0, 3, STEPS * 18 * 3),
        "rnn.weight_hh_l0_reverse": ("GRU", 0, 6, STEPS * 18 * 6),
        "head": ("Linear", 0, 12, 48),
    },
    Elman: {
        "rnn.weight_ih_l0": ("RNN", 0, 3, STEPS * 6 * 3),
        "rnn.weight_hh_l0": ("RNN", 0, 6, STEPS * 6 * 6),
        "head": ("Linear", 0, 6, 24),
    },
    Cells: {
        "lstm.weight_hh": ("LSTMCell", 0, 6, STEPS * 24 * 6),
        "lstm.weight_ih": ("LSTMCell", 0, 3, STEPS * 24 * 3),
        "gru.weight_ih": ("GRUCell", 0, 6, STEPS * 18 * 6),
        "gru.weight_hh": ("GRUCell", 0, 6, STEPS * 18 * 6),
        "rnn.weight_hh": ("RNNCell", 0, 6, STEPS * 6 * 6),
        "rnn.weight_ih": ("RNNCell", 0, 6, STEPS * 6 * 6),
        "head": ("Linear", 0, 6, 24),
    },
    Bilinears: {"pair": ("Bilinear", 0, 3 * 2, 6 * 3 * 2), "head": ("Linear", 0, 6, 24)},
    Bags: {"bag": ("EmbeddingBag", 1, 7, 0), "table": ("Bags", 1, 5, 0), "head": ("Linear", 0, 6, 24)},
    Gpt: {"fc": ("Conv1D", 1, 3, STEPS * 3 * 8), "proj": ("Conv1D", 1, 8, STEPS * 8 * 4)},
    Matrices: {  # a token makes six steps of five
        "right": ("Matrices", 1, 3, 6 * 3 * 5),
        "left": ("Matrices", 0, 5, 6 * 6 * 5),
        "heads": ("Matrices", 0, 6, 6 * 2 * 6 * 7),
        "batched": ("Matrices", 2, 14, 6 * 14 * 8),
        "pieces.0": ("ParameterList", 0, 8, 6 * 5 * 8),
        "pieces.1": ("ParameterList", 0, 8, 6 * 3 * 8),
        "named.down": ("ParameterDict", 0, 2, 8 * 2 * 9),
        "named.up": ("ParameterDict", 1, 2, 8 * 2 * 9),
        "kernel": ("Matrices", 0, 9, 4 * 18 * 7),  # each of seven outputs meets it twice
    },
    Odd: {
        "first": ("Standardised", 0, 10, 6 * 10 * 2),
        "down": ("Odd", 0, 2, 6 * 2 * 8),
        "up": ("Odd", 1, 2, 6 * 2 * 8),
        "base": ("Odd", 1, 6, 6 * 8),
        "reordered": ("Odd", 0, 8, 4 * 8),
    },
    HandAttention: {"qkv": ("HandAttention", 1, 3, STEPS * 3 * 18), "out": ("HandAttention", 0, 6, 4 * 6)},
}
LEFT_OUT = {
    Gpt: {"positions": POSITIONS},
    HandAttention: {"relative": POSITIONS},
    Matrices: {
        "token": ELEMENTWISE,
        "gate": ELEMENTWISE,
    },
}
PROJECTION = pytest.mark.filterwarnings("ignore:LSTM with projections")
each = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def made(kind):
    torch.manual_seed(0)
    return kind().eval()


@PROJECTION
@each
def test_every_weight_that_is_multiplied_convolved_or_looked_up_is_a_layer(kind):
    model = made(kind)
    found = look_through(model, torch.randn(1, STEPS, 3))
    figures = {layer.name: (layer.kind, layer.output_axis, layer.fan_in, layer.macs) for layer in found.layers}
    assert figures == EXPECTED[kind]
    assert list(figures) == list(EXPECTED[kind])  # in order of first use
    assert found.left_out == LEFT_OUT.get(kind, {})
    named = {layer.parameter for layer in found.layers} | {f"{name}.weight" for name in found.left_out} | set(found.left_out)
    assert {name for name, parameter in model.named_parameters() if parameter.ndim >= 2} <= named


@PROJECTION
@each
def test_figures_do_not_depend_on_precision_or_kernels(kind):
    model, images = made(kind), torch.randn(1, STEPS, 3)
    found = discover_layers(model, images)
    assert discover_layers(copy.deepcopy(model).double(), images.double()) == found
    with torch.inference_mode():
        assert discover_layers(model, images) == found
    assert torch.backends.mkldnn.enabled


SLOW = {ProjectedLstm, Gru, Elman, Odd, HandAttention}  # these are traced, as is Lstm


@PROJECTION
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.long) if kind in SLOW else kind for kind in KINDS], ids=str
)
def test_they_are_measured_as_by_a_plain_loop_in_float64(kind):
    model, images = made(kind), torch.randn(30, STEPS, 3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3 if parameter.ndim > 1 else 0)  # else one class wins, whatever the weights are
        labels = model(images).argmax(1)
    labels[::4] = (labels[::4] + 1) % 4
    network = Network(model, images, labels)
    rows = measure(network, ["magnitude_prune:0.7"], deterministic_examples=30).to_pylist()
    assert [row["layer"] for row in sorted(rows, key=lambda row: row["layer_index"])] == list(EXPECTED[kind])
    counts = {row["layer"]: (row["correct_clean"], row["broken"], row["fixed"]) for row in rows}
    assert counts == {layer.name: pruned(model, layer.parameter, images, labels) for layer in network.layers}
    assert any(broken for _, broken, _ in counts.values())


def pruned(model, name, images, labels):
    """Set the smallest 70 % of a parameter to zero; return the right answers before, and which are lost and won."""
    changed = copy.deepcopy(model).double()
    with torch.no_grad():
        before = changed(images.double()).argmax(1) == labels
        weight = changed.get_parameter(name)
        smallest = np.argsort(weight.abs().flatten().numpy(), kind="stable")[: int(np.rint(0.7 * weight.numel()))]
        weight.view(-1)[torch.from_numpy(smallest)] = 0
        after = changed(images.double()).argmax(1) == labels
    return int(before.sum()), int((before & ~after).sum()), int((~before & after).sum())


@pytest.mark.parametrize("split", ["test", "validation"])
def test_the_layers_of_the_published_networks_are_those_of_the_tree(split):
    rows = pq.read_table(ROOT / f"data_cards/safer-bench/layers/{split}-00000-of-00001.parquet").to_pylist()
    for name in dict.fromkeys(row["network"] for row in rows):
        entry = zoo_networks()[name]
        size = 8 if entry.dataset == "digits" else 28
        images, labels = torch.randn(3, 1, size, size), torch.arange(3)
        network = Network(entry.build().eval(), images, labels, name=name, dataset=entry.dataset, split=split)
        expected = sorted((row for row in rows if row["network"] == name), key=lambda row: row["layer_index"])
        assert layer_rows(network) == expected
        assert set(network.left_out.values()) <= {
            POSITIONS,
            ELEMENTWISE,
        }


class Scaled(nn.Module):
    """Parameters of two dimensions that make no layer, each in another way."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 4)
        self.norm, self.shift = nn.LayerNorm((STEPS, 3)), nn.Parameter(torch.randn(1, 3))
        self.prototypes = nn.Parameter(torch.randn(4, 3))
        self.rows, self.register = nn.Embedding(4, 4), nn.Parameter(torch.randn(2, 2))
        self.empty = nn.Parameter(torch.empty(0, 3))
        self.scaled, self.bits = nn.Parameter(torch.randn(4, 3)), nn.Parameter(torch.randn(2, 3))

    def forward(self, x):
        x = (self.norm(x) + self.shift).mean(1)
        x = x + self.bits.view(torch.uint8).float().mean()
        x = x + torch.bmm(self.scaled * x[:, None], x[:, :, None]).mean(1)  # a map that each example makes for itself
        return self.head(x) - torch.cdist(x, self.prototypes) + self.rows(torch.zeros_like(x[:, 0]).long())


def test_what_is_no_layer_is_named_once_with_its_reason():
    network = Network(Scaled().eval(), torch.randn(3, STEPS, 3), torch.tensor([0, 1, 2]))
    assert [layer.name for layer in network.layers] == ["head"]
    assert network.left_out == {
        "shift": ELEMENTWISE,
        "norm": ELEMENTWISE,
        "norm.bias": ELEMENTWISE,
        "prototypes": "neither multiplied, convolved nor looked up",
        "rows": POSITIONS,
        "register": "never read",
        "empty": "not dense, or without entries",
        "scaled": ELEMENTWISE,
        "bits": "neither multiplied, convolved nor looked up",
    }


class Stubborn(nn.Module):
    """Fails where single operations are watched."""

    def forward(self, x):
        from torch.utils._python_dispatch import _get_current_dispatch_mode

        if _get_current_dispatch_mode() is not None:
            raise RuntimeError("not while you look")
        return x.mean(1)


def test_a_model_that_cannot_be_looked_through_is_one_message():
    with pytest.raises(BadInput, match="a pass over one example that looks for the layers raised RuntimeError: not while"):
        Network(Stubborn().eval(), torch.randn(3, STEPS, 3), torch.tensor([0, 1, 2])).layers  # noqa: B018
