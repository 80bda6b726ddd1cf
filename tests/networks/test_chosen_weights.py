"""Weights that only some examples read, that examples choose out of a stack, or that are read as complex numbers."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from safer_bench.criteria.loading import criteria
from safer_bench.measurement.engine import Engine
from safer_bench.measurement.measure import measure
from safer_bench.networks.layers import look_through
from safer_bench.networks.network import Network
from safer_bench.scoring.score import score


class Experts(nn.Module):
    """Sends each image of three values to the expert of its largest one."""

    def __init__(self):
        super().__init__()
        self.experts = nn.ModuleList([nn.Linear(3, 4) for _ in range(3)])
        self.spare = nn.Linear(3, 4)

    def forward(self, x):
        chosen, logits = x.argmax(1), x.new_zeros(x.shape[0], 4)
        for number, expert in enumerate(self.experts):
            if bool((rows := chosen == number).any()):
                logits[rows] = expert(x[rows])
        return logits


def routed():
    """Return images of experts 2, 0, 1, 0, 1, ... in turn, and their labels."""
    chosen = torch.tensor([2, *[0, 1] * 10])
    return F.one_hot(chosen, 3) + 0.1 * torch.rand(len(chosen), 3), torch.arange(len(chosen)) * 7 % 4


def test_weights_that_the_first_example_does_not_read_are_layers():
    torch.manual_seed(0)
    model, (images, labels) = Experts().eval(), routed()
    network = Network(model, images, labels)
    macs = {layer.name: layer.macs for layer in network.layers}
    assert macs == {"experts.2": 12, "experts.0": 12 * 5 // 9, "experts.1": 12 * 4 // 9}  # of one example, on average
    assert network.left_out == {"spare": "never read"}
    with torch.no_grad():
        right = model(images).argmax(1) == labels
    rows = {row["layer"]: row for row in measure(network, ["random_zero:1"], draws=1).to_pylist()}
    for number in range(3):
        of_expert = images.argmax(1) == number
        after = (model.experts[number].bias.argmax() == labels) & of_expert
        row = rows[f"experts.{number}"]
        assert (row["broken"], row["fixed"]) == (int((right & of_expert & ~after).sum()), int((~right & after).sum()))


def test_criteria_score_the_layers_of_the_network_whatever_their_own_examples_read():
    torch.manual_seed(0)
    images, labels = routed()
    network = Network(Experts().eval(), images, labels, calibration=(images[1::2] + 0.01, labels[1::2]))
    assert {layer.name for layer in network.layers} == {"experts.0", "experts.1", "experts.2"}
    scores = score("snip", network)
    assert scores["experts.2"] == scores["experts.1"] == 0 < scores["experts.0"]


class Stack(nn.Module):
    """Multiplies each image by the matrix of a stack that it chooses, ``(expert, out, in)`` or ``(expert, in, out)``."""

    def __init__(self, shape, how):
        super().__init__()
        self.stack, self.how = nn.Parameter(torch.randn(shape)), how

    def forward(self, x):
        return self.how(x, self.stack, x[:, :3].argmax(1))


STACKS = {
    "bmm": ((3, 6, 4), lambda x, w, which: torch.bmm(x[:, None], w.index_select(0, which))[:, 0], 2),
    "turned": ((3, 4, 6), lambda x, w, which: torch.bmm(w[which], x[:, :, None])[..., 0], 1),
    "einsum": ((3, 4, 6), lambda x, w, which: torch.einsum("boi,bi->bo", w[which], x), 1),
    "last": ((4, 6, 3), lambda x, w, which: (w[:, :, which].permute(2, 0, 1) @ x[:, :, None])[..., 0], 0),
}


@pytest.mark.parametrize(("shape", "how", "axis"), STACKS.values(), ids=STACKS)
def test_a_matrix_chosen_out_of_a_stack_has_the_axis_of_its_product(shape, how, axis):
    (layer,) = look_through(Stack(shape, how).eval(), torch.randn(1, 6)).layers
    assert (layer.output_axis, layer.fan_in, layer.macs) == (axis, 6, 24)


def test_tables_whose_rows_meet_a_weight_stay_tables():
    model = Stack((3, 2, 6), lambda x, w, which: F.linear(w[which][:, 0], torch.eye(6)[:4]))
    (layer,) = look_through(model.eval(), torch.randn(1, 6)).layers
    assert (layer.output_axis, layer.fan_in, layer.macs) == (2, 3, 0)


class Spectral(nn.Module):
    """Multiplies what a Fourier transform makes of the images by complex matrices, as neural operators do."""

    def __init__(self):
        super().__init__()
        self.pairs = nn.Parameter(torch.randn(4, 5, 2))
        self.real, self.imaginary = nn.Parameter(torch.randn(5, 4)), nn.Parameter(torch.randn(5, 4))
        self.filter = nn.Parameter(torch.randn(1, 4, 2))

    def forward(self, x):
        spectrum = torch.fft.rfft(x) * torch.view_as_complex(self.filter)
        spectrum = torch.einsum("bi,io->bo", spectrum, torch.view_as_complex(self.pairs))
        return (spectrum @ torch.complex(self.real, self.imaginary)).abs()


def test_weights_read_as_complex_numbers_are_layers_or_named_with_the_right_reason():
    torch.manual_seed(0)
    images = torch.randn(20, 6)
    network = Network(Spectral().eval(), images, torch.arange(20) * 7 % 4, calibration=(images + 1, torch.arange(20) % 3))
    figures = {layer.name: (layer.output_axis, layer.fan_in, layer.macs) for layer in network.layers}
    assert figures == {"pairs": (1, 4, 4 * 20), "real": (1, 5, 2 * 20), "imaginary": (1, 5, 2 * 20)}
    assert network.left_out == {"filter": "meets the examples entry by entry only (added, joined or scaled)"}
    assert {row["layer"] for row in measure(network, ["random_zero:1"], draws=1).to_pylist()} == set(figures)
    assert score("gradient_norm", network)["pairs"] > 0


def test_deformable_convolutions_are_layers():
    ops = pytest.importorskip("torchvision.ops")

    class Deformable(nn.Module):
        def __init__(self):
            super().__init__()
            self.where, self.what = nn.Conv2d(3, 18, 3), ops.DeformConv2d(3, 4, 3)

        def forward(self, x):
            return self.what(x, self.where(x)).mean((2, 3))

    found = look_through(Deformable().eval(), torch.randn(1, 3, 5, 5))
    assert found.left_out == {}
    assert {layer.name: (layer.fan_in, layer.macs) for layer in found.layers}["what"] == (27, 27 * 4 * 9)


class MadeSparse(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight, self.head = nn.Parameter(torch.eye(4)), nn.Linear(4, 4)

    def forward(self, x):
        return self.head(torch.sparse.mm(self.weight.to_sparse(), x.T).T)


def test_a_weight_made_sparse_in_forward_does_not_end_the_search():
    found = look_through(MadeSparse().eval(), torch.randn(1, 4))
    assert [layer.name for layer in found.layers] == ["head"]
    assert list(found.left_out) == ["weight"]


class Mapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(3, 5), nn.Linear(5, 4)

    def forward(self, x):
        return torch.vmap(lambda each: self.head(self.body(each).relu()))(x)


def test_modules_within_vmap_are_measured_as_without():
    torch.manual_seed(0)
    model, images, labels = Mapped().eval(), torch.randn(30, 3), torch.arange(30) * 7 % 4
    plain = nn.Sequential(model.body, nn.ReLU(), model.head).eval()
    counts = []
    for each in (model, plain):
        rows = measure(Network(each, images, labels), ["magnitude_prune:0.7"]).to_pylist()
        counts.append([(row["correct_clean"], row["broken"], row["fixed"], row["predictions_changed"]) for row in rows])
    assert counts[0] == counts[1]
    assert all(changed for *_, changed in counts[0])


class Shifted(nn.Module):
    """Makes a mask of its images' size alone, as shifted windows do."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        h = self.body(x)
        mask = h.new_zeros(4)
        mask[2:] = 1
        return self.head(h.masked_fill(mask != 0, 0.5))


def test_a_mask_made_of_sizes_alone_does_not_keep_a_network_from_replay():
    network = Network(Shifted().eval(), torch.randn(6, 4), torch.arange(6) % 4)
    engine = Engine(network)
    assert all(engine.replay(layer) is not None for layer in network.layers)
    assert engine.reasons == {}


class Packed(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.rnn, self.head = kind(3, 5, batch_first=True), nn.Linear(5, 4)

    def forward(self, x):
        lengths = torch.full((x.shape[0],), 4)
        output, _ = self.rnn(nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True))
        return self.head(nn.utils.rnn.pad_packed_sequence(output, batch_first=True)[0][:, -1])


class Unpacked(Packed):
    def forward(self, x):
        return self.head(self.rnn(x[:, :4])[0][:, -1])


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_packed_sequences_score_as_the_same_sequences_in_one_tensor(kind):
    scores = []
    for model in (Packed, Unpacked):
        torch.manual_seed(0)
        images = torch.randn(20, 6, 3)
        network = Network(
            model(kind).eval(), images, torch.arange(20) * 7 % 4, calibration=(images + 1, torch.arange(20) % 3)
        )
        scores.append(score("gradient_norm", network))
    assert scores[0] == pytest.approx(scores[1], rel=1e-4)
    assert set(scores[0]) == {"rnn.weight_ih_l0", "rnn.weight_hh_l0", "head"}


def test_criteria_of_weights_are_finite_where_a_weight_is_zero():
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 4)).eval()
    nn.init.zeros_(model[2].weight)
    images = torch.randn(8, 3)
    network = Network(model, images, torch.arange(8) % 4, calibration=(images + 1, torch.arange(8) % 4))
    for name, entry in criteria().items():
        if entry.needs == "weights" and not entry.aware:
            assert set(score(name, network)) == {"0", "2"}, name
    assert score("stable_rank", network)["2"] == 0
