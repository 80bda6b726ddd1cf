"""Batch norms folded into layers: the weights, what is folded and what is not, and by which name the network goes."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import fuse_conv_bn_eval, fuse_linear_bn_eval

from safer_bench.budget.images import has_budget_part
from safer_bench.errors import BadInput
from safer_bench.measurement.design import make_protocol
from safer_bench.measurement.measure import measure
from safer_bench.measurement.remeasure import remeasure
from safer_bench.measurement.run import measure_into
from safer_bench.measurement.work import Worker, job_of
from safer_bench.networks.digest import state_sha256
from safer_bench.networks.folding import OVERFLOWS, folded_copy
from safer_bench.networks.loading import load_network
from safer_bench.networks.network import Network
from safer_bench.networks.norms import (
    CALLED_AGAIN,
    LAYER_AGAIN,
    NEVER_CALLED,
    NO_LAYER,
    OF_THE_BATCH,
    READ_ELSEWHERE,
)
from tests.made_up.networks import normed_network, trained

PAIRS = {
    "conv1d": (nn.Conv1d(4, 6, 3), nn.BatchNorm1d(6), (4, 9)),
    "conv2d": (nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6), (4, 5, 5)),
    "conv3d": (nn.Conv3d(2, 3, 2), nn.BatchNorm3d(3), (2, 4, 4, 4)),
    "grouped": (nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6), (4, 5, 5)),
    "depthwise": (nn.Conv2d(4, 4, 3, groups=4, bias=False), nn.BatchNorm2d(4), (4, 5, 5)),
    "not affine": (nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6, affine=False), (4, 5, 5)),
    "reflecting": (nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(6, eps=0.1), (4, 5, 5)),
    "transposed 1d": (nn.ConvTranspose1d(4, 6, 3), nn.BatchNorm1d(6), (4, 9)),
    "transposed 2d": (nn.ConvTranspose2d(4, 6, 3, stride=2, bias=False), nn.BatchNorm2d(6), (4, 5, 5)),
    "transposed 3d": (nn.ConvTranspose3d(2, 4, 2), nn.BatchNorm3d(4), (2, 4, 4, 4)),
    "transposed, grouped": (nn.ConvTranspose2d(4, 6, 3, groups=2), nn.BatchNorm2d(6), (4, 5, 5)),
    "linear": (nn.Linear(5, 7), nn.BatchNorm1d(7), (5,)),
    "linear without bias": (nn.Linear(5, 7, bias=False), nn.BatchNorm1d(7), (5,)),
}


def oracle(layer, norm):
    if isinstance(layer, nn.Linear):
        return fuse_linear_bn_eval(layer, norm)
    return fuse_conv_bn_eval(layer, norm, transpose=getattr(layer, "transposed", False))


@pytest.mark.parametrize("name", PAIRS)
def test_the_folded_layer_is_that_of_torch_and_of_the_formula(name):
    layer, norm, shape = copy.deepcopy(PAIRS[name])
    model = trained(nn.Sequential(layer, norm))
    inputs = torch.randn(20, *shape, generator=torch.Generator().manual_seed(1))
    before = state_sha256(model.state_dict())
    folded, folding = folded_copy(model, inputs, "mine")
    assert folding.into == {"1": "0"}
    assert folding.left_out == {}
    assert state_sha256(model.state_dict()) == before, "the caller's model is as it was"
    exact = copy.deepcopy(model).double()(inputs.double()).detach()
    assert torch.allclose(folded[0](inputs).double(), exact, rtol=0, atol=1e-6 * float(exact.abs().max()))
    assert torch.equal(folded(inputs), folded[0](inputs)), "the batch norm hands on what it is given"
    if not (getattr(layer, "transposed", False) and layer.groups > 1):  # which torch's function does not take
        theirs = oracle(model[0], model[1])
        assert torch.allclose(folded[0].weight, theirs.weight, rtol=1e-6, atol=1e-7)
        assert torch.allclose(folded[0].bias, theirs.bias, rtol=1e-5, atol=1e-6)


def test_weights_are_rounded_once():
    model = trained(nn.Sequential(nn.Conv2d(3, 50, 3, bias=False), nn.BatchNorm2d(50)))
    folded, _ = folded_copy(model, torch.randn(2, 3, 4, 4), "mine")
    weight, gamma, mean, variance, beta = (
        tensor.detach().numpy().astype(np.float64)
        for tensor in (model[0].weight, model[1].weight, model[1].running_mean, model[1].running_var, model[1].bias)
    )
    scale = gamma / np.sqrt(variance + model[1].eps)
    expected = (weight * scale[:, None, None, None]).astype(np.float32)
    assert np.array_equal(folded[0].weight.detach().numpy(), expected)
    assert np.array_equal(folded[0].bias.detach().numpy(), (-mean * scale + beta).astype(np.float32))


class Unusual(nn.Module):
    """Calls two layers and two batch norms as a function says."""

    def __init__(self, call, **norm) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1, bias=False)
        self.norm, self.other = nn.BatchNorm2d(2, **norm), nn.BatchNorm2d(2)
        self.call = call

    def forward(self, x):
        return self.call(self, x).mean((2, 3))


def read_twice(model, x):
    x = model.one(x)
    return model.norm(x) + x


def in_place(model, x):
    x = model.one(x)
    x[:, :1] += 1
    return model.norm(x)


LEFT = {
    "before a convolution": (lambda model, x: model.one(model.norm(x)), {}, NO_LAYER),
    "after an activation": (lambda model, x: model.norm(model.one(x).relu()), {}, NO_LAYER),
    "after another norm": (lambda model, x: model.norm(F.group_norm(model.one(x), 1)), {}, NO_LAYER),
    "weight computed": (lambda model, x: model.norm(F.conv2d(x, model.two.weight * 2, padding=1)), {}, NO_LAYER),
    "without its bias": (lambda model, x: model.norm(F.conv2d(x, model.one.weight, padding=1)), {}, NO_LAYER),
    "a shortcut": (read_twice, {}, READ_ELSEWHERE),
    "changed in place": (in_place, {}, READ_ELSEWHERE),
    "layer called twice": (lambda model, x: model.norm(model.one(model.one(x))), {}, LAYER_AGAIN),
    "weight read": (lambda model, x: model.norm(model.one(x)) * model.one.weight.sum(), {}, LAYER_AGAIN),
    "norm called twice": (lambda model, x: model.norm(model.two(model.norm(model.one(x)))), {}, CALLED_AGAIN),
    "norm never called": (lambda model, x: model.one(x), {}, NEVER_CALLED),
    "of the batch": (lambda model, x: model.norm(model.one(x)), {"track_running_stats": False}, OF_THE_BATCH),
    "of the batch by hand": (
        lambda model, x: F.batch_norm(model.one(x), model.norm.running_mean, model.norm.running_var, training=True),
        {},
        OF_THE_BATCH,
    ),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_cannot_be_folded_stays_and_is_named(name):
    call, norm, reason = LEFT[name]
    torch.manual_seed(0)
    model = trained(Unusual(call, **norm))
    folded, folding = folded_copy(model, torch.randn(3, 2, 4, 4), "mine")
    assert folding.into == {}
    assert folding.by_reason == (
        {reason: ["norm"], NEVER_CALLED: ["other"]} if reason != NEVER_CALLED else {reason: ["norm", "other"]}
    )
    assert torch.equal(folded.one.weight, model.one.weight)


def test_a_weight_that_two_layers_share_stays():
    torch.manual_seed(0)
    model = trained(Unusual(lambda model, x: model.norm(model.two(x))))
    model.one.weight = model.two.weight
    assert folded_copy(model, torch.randn(3, 2, 4, 4), "mine")[1].left_out["norm"] == NO_LAYER
    model.one.bias = None
    assert folded_copy(model, torch.randn(3, 2, 4, 4), "mine")[1].left_out["norm"] == LAYER_AGAIN


def test_a_layer_that_is_registered_twice_is_one_layer():
    model = Unusual(lambda model, x: model.norm(model.two(x)))
    model.again = nn.Sequential(model.two, model.norm)
    assert folded_copy(trained(model), torch.randn(3, 2, 4, 4), "mine")[1].into == {"norm": "two"}


class OfRows(nn.Module):
    """Maps each word of a sequence, and norms either the map's outputs or the words."""

    def __init__(self, by_word, *, bias) -> None:
        super().__init__()
        self.map, self.norm, self.by_word = nn.Linear(4, 4, bias=bias), nn.BatchNorm1d(4), by_word

    def forward(self, x):
        x = self.map(x)
        return (self.norm(x) if self.by_word else self.norm(x.flatten(0, 1)).reshape_as(x)).mean(1)


@pytest.mark.parametrize("bias", [True, False])
def test_rows_of_a_linear_layers_output_may_be_laid_out_anew(bias):
    inputs = torch.randn(3, 4, 4)
    assert folded_copy(trained(OfRows(by_word=False, bias=bias)), inputs, "mine")[1].into == {"norm": "map"}
    assert folded_copy(trained(OfRows(by_word=True, bias=bias)), inputs, "mine")[1].left_out == {"norm": NO_LAYER}


class OtherWay(OfRows):
    """Multiplies by a linear layer's weight the other way round."""

    def forward(self, x):
        return self.norm(x @ self.map.weight)


def test_a_weight_that_is_not_used_as_its_layer_does_is_none_of_it():
    model = trained(OtherWay(by_word=False, bias=False))
    assert folded_copy(model, torch.randn(3, 4), "mine")[1].left_out == {"norm": NO_LAYER}


def test_a_scale_that_float32_does_not_hold_leaves_the_layer_as_it_is():
    model = trained(nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)))
    model[1].weight.data.fill_(1e38)
    model[1].running_var.zero_()
    folded, folding = folded_copy(model, torch.zeros(1, 2, 2, 2), "mine")
    assert folding.left_out == {"1": OVERFLOWS}
    assert torch.equal(folded[0].weight, model[0].weight)


def of_another_epsilon(model, x):
    norm = model.norm
    return F.batch_norm(model.one(x), norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=1e-5)


def of_its_scale(model, x):
    return model.norm(model.one(x)) * model.norm.weight.detach().abs().max()


def of_bright_images(model, x):
    """Norm one image's features alone, or several images' where the first is bright."""
    return model.norm(model.one(x)) if len(x) == 1 else model.norm(model.one(model.one(x)))


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        (of_another_epsilon, "a batch norm has an epsilon that is not its module's"),
        (of_its_scale, "a pass raised AttributeError: 'NoneType' object has no attribute 'detach'"),
        (of_bright_images, "answers differ"),
    ],
)
def test_a_model_that_answers_otherwise_is_refused(call, wrong):
    torch.manual_seed(0)
    with pytest.raises(BadInput) as error:
        folded_copy(trained(Unusual(call)), torch.randn(3, 2, 4, 4), "mine")
    assert str(error.value) == (
        f"network 'mine': cannot be folded: with batch norms folded {wrong}; measure it without fold"
    )


def test_a_folded_network_has_another_name_and_other_weights_under_the_same_layers():
    plain, folded = normed_network(), normed_network(fold=True)
    assert (plain.name, plain.folding) == ("mine", None)
    assert (folded.name, folded.folding.into, folded.folding.left_out) == ("mine_folded", {"1": "0"}, {})
    assert [layer.name for layer in folded.layers] == [layer.name for layer in plain.layers] == ["0", "4"]
    assert folded.weights_sha256 != plain.weights_sha256
    later = plain.folded()
    assert (later.name, later.weights_sha256) == ("mine_folded", folded.weights_sha256)
    assert later.folded() is later
    assert normed_network("a" * 73, fold=True).name == "a" * 73 + "_folded"
    with pytest.raises(BadInput) as error:
        normed_network("a" * 74, fold=True)
    name = "a" * 74
    assert str(error.value) == (f"network name {name!r}: too long to be called {name + '_folded'!r}; give it another name")


def test_inputs_of_several_parts_pass_a_folded_model():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.map, self.norm = nn.Linear(3, 3), nn.BatchNorm1d(3)

        def forward(self, left, right):
            return {"logits": self.norm(self.map(left + right))}

    inputs = (torch.randn(20, 3), torch.randn(20, 3))
    network = Network(trained(Two()), inputs, torch.arange(20) % 3, output=lambda returned: returned["logits"], fold=True)
    assert network.folding.into == {"norm": "map"}


def test_what_is_measured_of_a_folded_network_is_what_whole_passes_find():
    network = normed_network(fold=True)
    rows = measure(network, ["quantize:3,2", "magnitude_prune:0.6"]).to_pylist()
    assert any(row["predictions_changed"] for row in rows)
    facts = {"mine_folded": {key: getattr(network, key) for key in ("weights_sha256", "inputs_sha256")}}
    assert [verdict.outcome for verdict in remeasure(rows, facts, 0, [network])] == ["equal"] * 6
    verdicts = list(remeasure(rows, facts, 0, [normed_network("mine_folded")]))
    assert {verdict.outcome for verdict in verdicts} == {"inputs differ"}, "it is told from the network as it was"


def test_a_network_is_loaded_folded_by_its_name_and_in_other_processes():
    network = load_network("digits_cnn", fold=True)
    by_name = load_network("digits_cnn_folded")
    assert by_name.name == network.name == "digits_cnn_folded"
    assert by_name.weights_sha256 == network.weights_sha256 != load_network("digits_cnn").weights_sha256
    worker = Worker(job_of([network], make_protocol(["quantize:2"]), fast=False))  # as another process begins: from a name
    assert worker.engine("digits_cnn_folded").network.weights_sha256 == network.weights_sha256


def test_a_run_is_not_gone_on_with_by_the_folded_network(tmp_path):
    protocol = make_protocol(["quantize:2"])
    measure_into(tmp_path, [normed_network()], protocol)
    with pytest.raises(BadInput, match="belongs to a run with another set of networks"):
        measure_into(tmp_path, [normed_network(fold=True)], protocol)


def test_a_folded_network_of_a_dataset_with_images_for_budgets_is_judged_by_them():
    assert has_budget_part(normed_network("resnet20", dataset="fashion_mnist", fold=True))
    assert not has_budget_part(normed_network("mine", dataset="fashion_mnist", fold=True))
