"""Inputs of any number and type: what ``Network`` takes, keeps and refuses."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

from safer_bench.errors import BadInput
from safer_bench.networks.inputs import Inputs, joined, named_parts
from safer_bench.networks.network import Network
from tests.made_up import sequences
from tests.made_up.sequences import Attention, Segmenter, Tagger, TwoInputs, classes

IDS = torch.arange(24).reshape(8, 3) % sequences.WORDS
TAGS = torch.arange(24).reshape(8, 3) % sequences.TAGS
VALUES, KIND, CLASSES = torch.linspace(-1, 1, 48).reshape(8, 6), torch.arange(8) % 7, torch.tensor([0, 1, 2, 0, 2, 1, 0, 1])


def test_inputs_do_what_one_tensor_does():
    inputs = Inputs([VALUES], {"kind": KIND})
    assert (len(inputs), inputs.device.type, inputs.dtype) == (8, "cpu", torch.float32)
    assert [name for name, _ in named_parts(inputs)] == ["input 0", "kind"]
    assert [len(part) for part in inputs.split(3)] == [3, 3, 2]
    assert [len(part) for part in inputs.tensor_split(3)] == [3, 3, 2]
    again = joined(inputs.split(3))
    assert torch.equal(again.args[0], VALUES)
    assert torch.equal(again.kwargs["kind"], KIND)
    wide = inputs.double()
    assert (wide.args[0].dtype, wide.kwargs["kind"].dtype) == (torch.float64, torch.int64)
    assert torch.equal(inputs[torch.tensor([5, 1])].kwargs["kind"], KIND[[5, 1]])
    other = inputs.clone()
    other.args[0].zero_()
    assert inputs.args[0].any()
    parts, spec = pytree.tree_flatten(inputs)
    assert len(parts) == 2
    assert list(pytree.tree_unflatten(parts, spec).kwargs) == ["kind"]


@pytest.mark.parametrize(
    "given",
    [{"values": VALUES, "kind": KIND}, {"values": VALUES.double().numpy(), "kind": list(KIND.numpy())}],
    ids=["tensors", "arrays and a list"],
)
def test_keyword_arguments_come_as_a_dictionary(given):
    network = Network(TwoInputs().eval(), given, CLASSES, output=classes)
    assert network.model(network.inputs).shape == (8, 3)
    assert [str(part.dtype) for _, part in named_parts(network.inputs)] == ["torch.float32", "torch.int64"]


def test_positional_arguments_come_as_a_tuple():
    mask = torch.ones_like(IDS)
    network = Network(Attention().eval(), (IDS, mask), IDS, class_axis=-1)
    assert network.model(network.inputs).shape == (8, sequences.WORDS, 3)
    alone = Network(Attention().eval(), (IDS,), IDS, class_axis=-1)
    assert len(alone.inputs.parts) == 1


def test_the_model_given_stays_as_it_is():
    model = Segmenter().eval()
    network = Network(model, torch.zeros(8, 1, 2, 2), torch.zeros(8, 2, 2, dtype=torch.int64))
    assert isinstance(model(torch.zeros(1, 1, 2, 2)), tuple)
    assert network.model is not model
    assert network.model(network.inputs).shape == (8, 4, 2, 2)
    assert network.model.first.weight is model.first.weight
    assert copy.deepcopy(network.model)(network.inputs).shape == (8, 4, 2, 2)
    assert [layer.name for layer in network.layers] == ["first", "last"]
    plain = nn.Linear(6, 3).eval()
    assert Network(plain, VALUES, CLASSES).model is plain


def test_digests_tell_inputs_apart():
    one, two = (
        Network(TwoInputs().eval(), {"values": VALUES, "kind": kind}, CLASSES, output=classes) for kind in (KIND, KIND * 0)
    )
    named = Network(Attention().eval(), {"ids": IDS}, IDS, class_axis=-1)
    by_place = Network(Attention().eval(), IDS, IDS, class_axis=-1)
    assert len({network.inputs_sha256 for network in (one, two, named, by_place)}) == 4


class Said:
    logits = None


@pytest.mark.parametrize(
    ("model", "inputs", "labels", "how", "said"),
    [
        (Tagger(), IDS, torch.full_like(TAGS, -100), {"class_axis": -1}, "all labels are -100, which is not counted"),
        (nn.Linear(6, 3), VALUES, CLASSES - 100 * (CLASSES == 0), {}, "3 labels are -100, which is not counted; expected a class of each example"),
        (Tagger(), IDS, TAGS - 7, {"class_axis": -1}, "labels from -7 to -3; expected 0 to 4, or -100 where none is counted"),
        (Tagger(), IDS, TAGS, {}, "one example gave (1, 3, 5); expected logits (1, n_classes, 3): Network(..., class_axis=-1) where the last"),
        (Tagger(), IDS, TAGS, {"class_axis": 2}, "class_axis 2; expected 1, or -1"),
        (TwoInputs(), {"values": VALUES, "kind": KIND}, CLASSES, {}, "one example gave a dict; expected logits (1, n_classes): Network(..., output="),
        (TwoInputs(), {"values": VALUES, "kind": KIND[:7]}, CLASSES, {"output": classes}, "7 examples of kind and 8 labels; expected as many"),
        (TwoInputs(), {}, CLASSES, {}, "inputs are a dictionary of []; expected forward's arguments by name"),
        (TwoInputs(), VALUES, CLASSES, {"output": classes}, "further arguments are given in a tuple, or by name in a dictionary"),
        (nn.Linear(6, 3), VALUES.long(), CLASSES, {}, "integers stay what they are: inputs.float() gives numbers"),
        (Tagger(), IDS.float(), TAGS, {"class_axis": -1}, "what has to be whole is given as integers, inputs.long()"),
        (TwoInputs(), {"values": VALUES + 1j, "kind": KIND}, CLASSES, {}, "input 'values' are torch.complex64; expected real numbers or integers"),
        (Attention(), IDS, IDS[:, :2], {"class_axis": -1}, "one example gave (1, 20, 3); expected logits (1, n_classes, 2)"),
    ],
)  # fmt: skip
def test_bad_inputs_are_one_message(model, inputs, labels, how, said):
    with pytest.raises(BadInput) as caught:
        Network(model.eval(), inputs, labels, **how)
    assert said in str(caught.value)
    assert str(caught.value).count("network 'own'") + str(caught.value).count("network own") == 1


def test_calibration_has_the_form_of_evaluation():
    with pytest.raises(BadInput, match=r"kind of \('torch.int32',\); expected values of \(6,\), kind of \('torch.int64',\)"):
        Network(
            TwoInputs().eval(),
            {"values": VALUES, "kind": KIND},
            CLASSES,
            calibration=({"values": VALUES + 1, "kind": KIND.int()}, CLASSES),
            output=classes,
        )


def test_the_former_name_of_inputs_still_works():
    network = Network(nn.Linear(6, 3).eval(), VALUES, CLASSES)
    with pytest.warns(FutureWarning, match=r"Network.images is called Network.inputs"):
        assert network.images is network.inputs
    assert isinstance(np.asarray(network.inputs), np.ndarray)
