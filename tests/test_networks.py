import pytest
import torch
from torch import nn
from torch.nn import functional as F

from safer_bench.errors import BadInput
from safer_bench.networks import Network, discover_layers


class Unordered(nn.Module):
    """Defines its layers in another order than it uses them; one is tied, one unused, one read without its module."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(6, 3)
        self.unused = nn.Linear(6, 6)
        self.first = nn.Linear(4, 6)
        self.middle = nn.Linear(6, 6)
        self.tied = nn.Linear(6, 6)
        self.tied.weight = self.middle.weight
        self.bias_only = nn.Parameter(torch.zeros(2, 2))

    def forward(self, x):
        x = F.linear(x, self.first.weight)
        return self.last(self.tied(self.middle(x)))


class Attention(nn.Module):
    """Packed in-projection, called without its child modules."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 8)
        self.attn = nn.MultiheadAttention(8, 2, batch_first=True)
        self.up = nn.ConvTranspose1d(8, 4, 3, groups=2)

    def forward(self, x):
        x = self.embed((x[:, :, 0] > 0).long())
        x = self.attn(x, x, x)[0]
        return self.up(x.transpose(1, 2)).mean(2)


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


def test_attention_embedding_and_transposed_convolution():
    layers = {layer.name: layer for layer in discover_layers(Attention().eval(), torch.randn(1, 6, 1))}
    assert list(layers) == ["embed", "attn.in_proj", "attn.out_proj", "up"]
    assert (layers["embed"].output_axis, layers["up"].output_axis, layers["attn.in_proj"].output_axis) == (1, 1, 0)
    assert layers["attn.in_proj"].macs == 6 * 24 * 8
    assert layers["attn.out_proj"].macs == 6 * 8 * 8
    assert layers["up"].macs == 6 * 8 * 2 * 3  # every input meets 2 outputs of its group at 3 positions


def test_the_roots_own_weight_is_called_weight():
    assert [layer.name for layer in discover_layers(nn.Linear(3, 2).eval(), torch.randn(1, 3))] == ["weight"]


def test_images_may_come_in_chunks(tiny):
    chunked = Network(tiny.model, list(tiny.images.split(7)), [part.numpy() for part in tiny.labels.split(9)])
    assert torch.equal(chunked.images, tiny.images)
    assert chunked.inputs_sha256 == Network(tiny.model, tiny.images, tiny.labels).inputs_sha256


def test_digests_follow_weights_and_inputs(tiny):
    same, other = (Network(tiny.model, tiny.images, labels) for labels in (tiny.labels, tiny.labels.flip(0)))
    assert same.weights_sha256 == tiny.weights_sha256
    assert same.inputs_sha256 != other.inputs_sha256


IMAGES, LABELS = torch.zeros(4, 2), torch.tensor([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("model", "images", "labels", "message"),
    [
        ("text", IMAGES, LABELS, "network 'own': the model is a str; expected a torch.nn.Module"),
        (nn.Linear(2, 2), IMAGES, LABELS, "network 'own': the model itself is in training mode; call model.eval() first"),
        (nn.Linear(2, 2).eval(), IMAGES.long(), LABELS, "network own, evaluation: images are torch.int64; expected floating point"),
        (nn.Linear(2, 2).eval(), IMAGES, LABELS[:3], "network own, evaluation: 4 images and 3 labels; expected as many, at least one"),
        (nn.Linear(2, 2).eval(), IMAGES[:0], LABELS[:0], "network own, evaluation: 0 images and 0 labels; expected as many, at least one"),
        (nn.Linear(2, 2).eval(), IMAGES, LABELS.float(), "network own, evaluation: labels are torch.float32 (4,); expected int64 (n,)"),
        (nn.Linear(3, 2).eval(), IMAGES, LABELS, "network 'own': running one image raised RuntimeError: mat1 and mat2 shapes cannot be multiplied (1x2 and 3x2)"),
        (nn.Identity().eval(), IMAGES[:, 0], LABELS, "network 'own': one image gave (1,); expected logits (1, n_classes)"),
        (nn.Linear(2, 2).eval(), IMAGES, LABELS + 1, "network 'own': labels from 1 to 2; expected 0 to 1"),
        (nn.Linear(2, 2).eval(), IMAGES / 0, LABELS, "network own, evaluation: the images hold NaN or infinite values"),
    ],
)  # fmt: skip
def test_bad_input_is_named(model, images, labels, message):
    with pytest.raises(BadInput) as error:
        Network(model, images, labels)
    assert str(error.value) == message


def test_a_part_in_training_mode_is_named():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout()).eval()
    model[1].train()
    with pytest.raises(BadInput, match="network 'own': 1 is in training mode; call"):
        Network(model, IMAGES, LABELS)


def test_a_name_that_would_leave_the_run_folder_is_refused():
    with pytest.raises(BadInput, match=r"network name '../../evil'; expected letters, digits"):
        Network(nn.Linear(2, 2).eval(), IMAGES, LABELS, name="../../evil")


def test_an_unknown_layer_gets_a_near_miss(tiny):
    with pytest.raises(BadInput) as error:
        tiny.layer("hiden")
    assert str(error.value) == "network 'tiny' has no layer 'hiden'. Did you mean 'hidden'?"
