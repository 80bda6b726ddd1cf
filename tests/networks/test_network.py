import pytest
import torch
from torch import nn

from safer_bench.errors import BadInput
from safer_bench.networks.network import Network


def test_images_may_come_in_chunks(tiny):
    chunked = Network(tiny.model, list(tiny.inputs.split(7)), [part.numpy() for part in tiny.labels.split(9)])
    assert torch.equal(chunked.inputs, tiny.inputs)
    assert chunked.inputs_sha256 == Network(tiny.model, tiny.inputs, tiny.labels).inputs_sha256


def test_digests_follow_weights_and_inputs(tiny):
    same, other = (Network(tiny.model, tiny.inputs, labels) for labels in (tiny.labels, tiny.labels.flip(0)))
    assert same.weights_sha256 == tiny.weights_sha256
    assert same.inputs_sha256 != other.inputs_sha256


IMAGES, LABELS = torch.zeros(4, 2), torch.tensor([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("model", "images", "labels", "message"),
    [
        ("text", IMAGES, LABELS, "network 'own': the model is a str; expected a torch.nn.Module"),
        (nn.Linear(2, 2), IMAGES, LABELS, "network 'own': the model itself is in training mode; call model.eval() first"),
        (nn.Linear(2, 2).eval(), IMAGES.long(), LABELS, "network 'own': running one example raised RuntimeError: mat1 and mat2 must have the same dtype, but got Long and Float (it was given torch.int64 (1, 2); integers stay what they are: inputs.float() gives numbers, scaled as in training)"),
        (nn.Linear(2, 2).eval(), IMAGES, LABELS[:3], "network own, evaluation: 4 images and 3 labels; expected as many, at least one"),
        (nn.Linear(2, 2).eval(), IMAGES[:0], LABELS[:0], "network own, evaluation: 0 images and 0 labels; expected as many, at least one"),
        (nn.Linear(2, 2).eval(), IMAGES, LABELS.float(), "network own, evaluation: labels are torch.float32 (4,); expected int64 (n,) or (n, *positions): labels.long() where they are numbers of classes; regression is not supported, as accuracy of classes is what is measured"),
        (nn.Linear(3, 2).eval(), IMAGES, LABELS, "network 'own': running one image raised RuntimeError: mat1 and mat2 shapes cannot be multiplied (1x2 and 3x2) (it was given torch.float32 (1, 2))"),
        (nn.Identity().eval(), IMAGES[:, 0], LABELS, "network 'own': one image gave (1,); expected logits (1, n_classes): of a model with one logit z for the second of two classes, Network(..., output=lambda z: torch.stack([torch.zeros_like(z), z], 1))"),
        (nn.Linear(2, 2).eval(), IMAGES, LABELS + 1, "network 'own': labels from 1 to 2; expected 0 to 1"),
        (nn.Linear(2, 2).eval(), torch.zeros(20, 2), torch.arange(20) // 10, "network own, evaluation: the examples are in the order of their classes, so that a probe, which sees consecutive ones, would see a few classes only; shuffle images and labels alike: order = torch.randperm(len(labels))"),
        (nn.Linear(2, 2).eval(), IMAGES / 0, LABELS, "network own, evaluation: images hold NaN or infinite values"),
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


class OfTheBatch(nn.Module):
    """Answers that are right for one image alone, by a function of the images."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x):
        return self.answer(x)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda x: x.mean(0, keepdim=True), "3 images gave (1, 2); expected logits (3, n_classes)"),
        (lambda x: x.view(1, 2), "running 3 images raised RuntimeError: shape '[1, 2]' is invalid for input of size 6 (it was given torch.float32 (3, 2))"),
        (lambda x: x.view(len(x), 1, 2).squeeze(), "one image gave (2,); expected logits (1, n_classes)"),
        (lambda x: torch.cat([x, x @ x.T], 1), "3 logits of one image alone, 5 of each of several; expected as many, one for each class"),
    ],
)  # fmt: skip
def test_logits_of_several_images_are_one_row_for_each(answer, message):
    with pytest.raises(BadInput) as error:
        Network(OfTheBatch(answer).eval(), IMAGES, LABELS)
    assert str(error.value) == f"network 'own': {message}"


def test_a_name_that_would_leave_the_run_folder_is_refused():
    with pytest.raises(BadInput, match=r"network name '../../evil'; expected letters, digits"):
        Network(nn.Linear(2, 2).eval(), IMAGES, LABELS, name="../../evil")


def test_a_split_that_no_table_has_is_refused_before_anything_is_measured():
    with pytest.raises(BadInput, match=r"^network 'own': split 'train'; expected validation or test$"):
        Network(nn.Linear(4, 2).eval(), torch.randn(6, 4), torch.arange(6) % 2, split="train")


def test_an_unknown_layer_gets_a_near_miss(tiny):
    with pytest.raises(BadInput) as error:
        tiny.layer("hiden")
    assert str(error.value) == "network 'tiny' has no layer 'hiden'. Did you mean 'hidden'?"


FORMER = "a probe is a measurement, and the former name goes with the next version"


def test_the_former_name_of_calibration_is_taken_with_a_warning(tiny):
    with pytest.warns(FutureWarning) as warned:
        former = Network(tiny.model, *tiny.evaluation, probe=tiny.calibration)
    assert [(str(each.message), each.filename) for each in warned] == [
        (f"Network(..., probe=) is called calibration= now: {FORMER}", __file__)  # it points at the caller
    ]
    assert former.inputs_sha256 == tiny.inputs_sha256


def test_the_former_name_of_calibration_answers_with_a_warning(tiny):
    with pytest.warns(FutureWarning) as warned:
        former = tiny.probe
    message = f"Network.probe is called Network.calibration now: {FORMER}"
    assert [(str(each.message), each.filename) for each in warned] == [(message, __file__)]
    assert former is tiny.calibration


def test_calibration_examples_under_both_names_are_refused(tiny):
    with pytest.raises(BadInput) as error:
        Network(tiny.model, *tiny.evaluation, name="twice", calibration=tiny.calibration, probe=tiny.calibration)
    message = "network 'twice': both calibration= and probe=, its former name; give calibration= alone"
    assert str(error.value) == message
