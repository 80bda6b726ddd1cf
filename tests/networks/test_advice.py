"""What messages about a model tell people to do, done."""

import pytest
import torch
from torch import nn

from safer_bench.errors import BadInput
from safer_bench.measurement.measure import measure
from safer_bench.networks.network import Network

IMAGES, LABELS = torch.randn(8, 6, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 4


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 4)

    def forward(self, x, shift):
        return {"logits": self.head(x + shift)}


def test_further_inputs_are_given_in_a_tuple_and_output_takes_logits_out():
    with pytest.raises(BadInput, match="further arguments are given in a tuple, or by name in a dictionary"):
        Network(Pair().eval(), IMAGES, LABELS)
    both = (IMAGES, torch.ones_like(IMAGES))
    with pytest.raises(BadInput, match=r"gave a dict; .* Network\(..., output=lambda returned: ...\) takes them out"):
        Network(Pair().eval(), both, LABELS)
    network = Network(Pair().eval(), both, LABELS, output=lambda returned: returned["logits"])
    assert [layer.name for layer in network.layers] == ["head"]


def test_one_hot_labels_are_told_apart_from_answers_at_positions():
    model, one_hot = nn.Linear(6, 4).eval(), nn.functional.one_hot(LABELS)
    with pytest.raises(
        BadInput, match=r"gave \(1, 4\); .*: one label an example, labels.argmax\(1\) where they are one-hot"
    ):
        Network(model, IMAGES, one_hot)
    assert torch.equal(Network(model, IMAGES, one_hot.argmax(1)).labels, LABELS)


class Copied(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 4))
        self.register_buffer("copy", self.weight.detach().clone())

    def forward(self, x):
        return x @ self.copy


def test_a_network_without_layers_names_what_is_left_out():
    with pytest.raises(BadInput, match=r"has no layers: .* Left out: weight \(never read\); .* x @ weight, not a copy"):
        measure(Network(Copied().eval(), IMAGES, LABELS), ["random_zero:1"])


@pytest.mark.filterwarnings("ignore")
def test_fake_quantization_is_switched_off_as_the_message_says():
    quantization = torch.ao.quantization
    stubs = quantization.QuantStub(), quantization.DeQuantStub()
    model = nn.Sequential(stubs[0], nn.Linear(6, 4), stubs[1]).train()
    model.qconfig = quantization.get_default_qat_qconfig("fbgemm")
    quantization.prepare_qat(model, inplace=True)(IMAGES)
    network = Network(model.eval(), IMAGES, LABELS)
    with pytest.raises(BadInput, match="fake quantization runs in float32 alone: switch it off, ") as raised:
        measure(network, ["random_zero:1"], draws=1)
    exec(str(raised.value).rpartition("switch it off, ")[2], {"torch": torch, "model": model})
    rows = measure(Network(model, IMAGES, LABELS), ["random_zero:1"], draws=1).to_pylist()
    assert [row["layer"] for row in rows] == ["1"]
