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


class Around(nn.Module):
    def __init__(self, model, *, picks):
        super().__init__()
        self.model, self.picks = model, picks

    def forward(self, x):
        answer = self.model(x, torch.ones_like(x))
        return answer["logits"] if self.picks else answer


def test_a_module_around_a_model_makes_inputs_and_picks_logits():
    with pytest.raises(BadInput, match="only input: give a module around it whose forward makes the others"):
        Network(Pair().eval(), IMAGES, LABELS)
    with pytest.raises(BadInput, match=r"gave a dict; .* from forward: give a module around it whose forward picks them"):
        Network(Around(Pair(), picks=False).eval(), IMAGES, LABELS)
    network = Network(Around(Pair(), picks=True).eval(), IMAGES, LABELS)
    assert [layer.name for layer in network.layers] == ["model.head"]


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
