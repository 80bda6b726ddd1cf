"""Which weights are layers, in which order, and how much work they do."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

from safer_bench.errors import BadInput
from safer_bench.measurement.measure import measure
from safer_bench.networks.layers import discover_layers, owners
from safer_bench.networks.network import Network
from tests.made_up.networks import Attention, Unordered
from tests.made_up.weights import Lstm


def test_layers_come_in_order_of_first_use_and_a_tied_weight_once():
    layers = discover_layers(Unordered().eval(), torch.randn(1, 4))
    assert [layer.name for layer in layers if layer.index >= 0] == ["first", "middle", "last"]
    assert [layer.index for layer in layers if layer.index >= 0] == [0, 1, 2]


def test_a_weight_that_is_never_read_is_reported_and_not_measured():
    network = Network(Unordered().eval(), torch.randn(3, 4), torch.tensor([0, 1, 2]))
    assert network.left_out == {"bias_only": "never read", "unused": "never read"}
    assert network.unused_layers == ("bias_only", "unused")
    assert {layer.name for layer in network.layers} == {"first", "middle", "last"}


def test_multiply_accumulates_count_every_use():
    macs = {layer.name: layer.macs for layer in discover_layers(Unordered().eval(), torch.randn(1, 4))}
    assert macs == {"first": 24, "middle": 72, "last": 18}


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


def constant(module, name):
    weight = getattr(module, name).detach()
    delattr(module, name)
    module.register_buffer(name, weight)


RECOMPUTED = {
    "parametrizations.weight_norm": (parametrizations.weight_norm, "parametrize.remove_parametrizations"),
    "parametrizations.spectral_norm": (parametrizations.spectral_norm, "parametrize.remove_parametrizations"),
    "weight_norm": (nn.utils.weight_norm, "remove_weight_norm"),
    "spectral_norm": (nn.utils.spectral_norm, "remove_spectral_norm"),
    "prune": (lambda module, name: prune.l1_unstructured(module, name, amount=0.5), "prune.remove"),
    "constant": (constant, ""),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated")
@pytest.mark.parametrize("kind", list(RECOMPUTED))
def test_the_advice_for_a_weight_that_is_computed_at_every_pass_works(kind):
    """The message ends with code; what it gives answers as before, and is measured."""
    change, undo = RECOMPUTED[kind]
    torch.manual_seed(0)
    model, images = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), torch.randn(8, 3)
    change(model[2], "weight")
    before = model.eval()(images)
    network = Network(model, images, torch.arange(8) % 2)
    with pytest.raises(BadInput, match=r"layer '2': its weight is computed from other parameters at every pass") as error:
        network.layers  # noqa: B018
    advice = str(error.value).partition("make it a parameter first: ")[2]
    assert f"torch.nn.utils.{undo}(model" in advice or not undo
    exec(advice, {"model": model, "torch": torch})
    assert torch.equal(model(images), before)
    rows = measure(Network(model, images, torch.arange(8) % 2), ["random_zero:1"]).to_pylist()
    assert {row["layer"] for row in rows} == {"0", "2"}


def test_the_advice_names_every_such_weight_and_a_recurrent_one():
    model = Lstm().eval()
    prune.l1_unstructured(model.rnn, "weight_hh_l1", amount=0.5)
    prune.l1_unstructured(model.head, "weight", amount=0.5)
    prune.l1_unstructured(model.head, "bias", amount=0.5)  # of one dimension: no layer
    with pytest.raises(BadInput, match=r"layer 'rnn': its weight_hh_l1 .* \(2 weights\)") as error:
        discover_layers(model, torch.randn(1, 5, 3))
    exec(str(error.value).partition("make it a parameter first: ")[2], {"model": model, "torch": torch})
    assert len(discover_layers(model, torch.randn(1, 5, 3))) == 5


def test_weights_side_by_side_in_one_storage_are_layers_each():
    """As recurrent layers lie on a GPU; flattened for an optimizer, too."""
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    nn.utils.vector_to_parameters(nn.utils.parameters_to_vector(model.parameters()), model.parameters())
    images, labels = torch.randn(20, 3), torch.arange(20) % 2
    network = Network(model, images, labels)
    assert [(layer.name, layer.output_axis, layer.macs) for layer in network.layers] == [("0", 0, 12), ("2", 0, 8)]
    rows = measure(network, ["random_zero:1"], examples=20, draws=1).to_pylist()
    assert [(row["broken"], row["fixed"]) for row in rows] == [removed(model, key, images, labels) for key in ("0", "2")]


def removed(model, key, images, labels):
    """Return how many examples are broken and fixed when a module's weight is zero."""
    changed = copy.deepcopy(model).double()
    with torch.no_grad():
        before = changed(images.double()).argmax(1) == labels
        changed.get_submodule(key).weight.zero_()
        after = changed(images.double()).argmax(1) == labels
    return int((before & ~after).sum()), int((~before & after).sum())


def test_weights_in_one_place_of_memory_are_refused_until_each_has_its_own():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)).eval()
    model[2].weight.data = model[0].weight.data.T
    with pytest.raises(BadInput, match=r"weights 0.weight and 2.weight lie in one place of memory") as error:
        discover_layers(model, torch.randn(1, 4))
    exec(f"{str(error.value).partition('give each its own: ')[2]}", {"model": model})
    assert [layer.name for layer in discover_layers(model, torch.randn(1, 4))] == ["0", "2"]


def test_the_roots_own_weight_is_called_weight():
    assert [layer.name for layer in discover_layers(nn.Linear(3, 2).eval(), torch.randn(1, 3))] == ["weight"]


class Faster(nn.Linear):
    """A linear layer in other words."""


class Doubled(nn.Linear):
    """A linear layer that does something else."""

    def forward(self, x):
        return 2 * super().forward(x)


def test_every_name_of_a_tied_weight_is_told_with_the_class_of_torchs_whose_forward_its_module_has():
    model = Unordered()
    assert owners(model, "last.weight") == {"last.weight": "Linear"}
    model.last, model.tied = Faster(6, 6), Doubled(6, 6)
    model.last.weight = model.tied.weight = model.middle.weight
    model.again = model.middle
    assert owners(model, "last.weight") == {"last.weight": "Linear", "middle.weight": "Linear", "tied.weight": "Doubled"}
    assert owners(model, "bias_only") == {"bias_only": "Unordered"}
