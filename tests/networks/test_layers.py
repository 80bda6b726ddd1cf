"""Which weights are layers, in which order, and how much work they do."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from safer_bench.errors import BadInput
from safer_bench.networks.layers import discover_layers
from safer_bench.networks.network import Network
from tests.made_up.networks import Attention, Unordered


def test_layers_come_in_order_of_first_use_and_a_tied_weight_once():
    layers = discover_layers(Unordered().eval(), torch.randn(1, 4))
    assert [layer.name for layer in layers if layer.index >= 0] == ["first", "middle", "last"]
    assert [layer.index for layer in layers if layer.index >= 0] == [0, 1, 2]


def test_a_weight_that_is_never_read_is_reported_and_not_measured():
    network = Network(Unordered().eval(), torch.randn(3, 4), torch.tensor([0, 1, 2]))
    assert network.unused_layers == ("unused",)
    assert "unused" not in {layer.name for layer in network.layers}


def test_multiply_accumulates_count_every_use():
    macs = {layer.name: layer.macs for layer in discover_layers(Unordered().eval(), torch.randn(1, 4))}
    assert macs == {"first": 24, "middle": 72, "last": 18, "unused": 0}


class Untied(nn.Module):
    """Reads weights both ways round: as an embedding and as a projection, and as a map there and back."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 8)
        self.there = nn.Linear(8, 6, bias=False)

    def forward(self, x):
        x = self.embed(x)
        x = F.linear(self.there(x), self.there.weight.T)
        return x @ self.embed.weight.T


def test_multiply_accumulates_of_a_weight_used_both_ways():
    macs = {layer.name: layer.macs for layer in discover_layers(Untied().eval(), torch.tensor([3]))}
    assert macs == {"embed": 50 * 8, "there": 2 * 8 * 6}


class Positioned(nn.Module):
    """Embeds what it sees, and where; the last embedding is read by position and applied to examples."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.positions, self.both = nn.Embedding(5, 8), nn.Embedding(4, 8), nn.Embedding(4, 8)

    def forward(self, x):
        x = self.tokens(x) + self.positions(torch.arange(4)) + self.both(torch.arange(4))
        return x.mean(1) @ self.both.weight.T


def test_position_embeddings_are_no_layers():
    layers = discover_layers(Positioned().eval(), torch.zeros(1, 4, dtype=torch.int64))
    assert [(layer.name, layer.index) for layer in layers] == [("tokens", 0), ("both", 1)]


def test_attention_embedding_and_transposed_convolution():
    layers = {layer.name: layer for layer in discover_layers(Attention().eval(), torch.randn(1, 6, 1))}
    assert list(layers) == ["embed", "attn.in_proj", "attn.out_proj", "up"]
    assert (layers["embed"].output_axis, layers["up"].output_axis, layers["attn.in_proj"].output_axis) == (1, 1, 0)
    assert layers["attn.in_proj"].macs == 6 * 24 * 8
    assert layers["attn.out_proj"].macs == 6 * 8 * 8
    assert layers["up"].macs == 6 * 8 * 2 * 3  # every input meets 2 outputs of its group at 3 positions


def test_an_output_of_a_transposed_convolution_in_groups_is_fed_by_its_group():
    layers = {layer.name: layer for layer in discover_layers(Attention().eval(), torch.randn(1, 6, 1))}
    assert layers["up"].fan_in == 8 // 2 * 3
    assert layers["up"].shape == (8, 2, 3)


@pytest.mark.parametrize(
    "reparametrise", [parametrizations.weight_norm, parametrizations.spectral_norm, nn.utils.spectral_norm]
)
def test_a_weight_that_is_computed_at_every_pass_is_refused(reparametrise):
    model = nn.Sequential(nn.Linear(3, 4), reparametrise(nn.Linear(4, 2))).eval()
    with pytest.raises(BadInput, match=r"layer '1': its weight is computed from other parameters at every pass"):
        discover_layers(model, torch.randn(1, 3))


def test_weights_in_one_storage_are_refused_until_each_has_its_own():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    nn.utils.vector_to_parameters(nn.utils.parameters_to_vector(model.parameters()), model.parameters())
    with pytest.raises(BadInput, match=r"weights 0.weight and 2.weight lie in one storage"):
        discover_layers(model, torch.randn(1, 3))
    for p in model.parameters():
        p.data = p.data.clone()
    assert [layer.name for layer in discover_layers(model, torch.randn(1, 3))] == ["0", "2"]


def test_the_roots_own_weight_is_called_weight():
    assert [layer.name for layer in discover_layers(nn.Linear(3, 2).eval(), torch.randn(1, 3))] == ["weight"]
