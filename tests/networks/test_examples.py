"""Examples in every shape that people give, and those that cannot judge a network."""

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from safer_bench.errors import BadInput
from safer_bench.measurement.measure import measure
from safer_bench.networks.data.parts import load_part
from safer_bench.networks.examples import are_grouped, checked_examples, largest_class, shared_inputs
from safer_bench.networks.network import Network

GENERATOR = torch.Generator().manual_seed(0)
IMAGES, LABELS = torch.randn(24, 1, 4, 4, generator=GENERATOR), torch.arange(24) * 7 % 3
ROWS = IMAGES.flatten(1)
PAIRS = TensorDataset(IMAGES, LABELS)
OTHERS = torch.randn(200, 16, generator=GENERATOR)


def refusal(images, labels=LABELS):
    with pytest.raises(BadInput) as error:
        checked_examples(images, labels, "own, evaluation")
    return str(error.value).removeprefix("network own, evaluation: ")


def read_only(array):
    array.flags.writeable = False
    return array


SAME = {
    "single ones of one channel": (list(IMAGES), LABELS),
    "single arrays and labels without dimensions": (list(IMAGES.numpy()), list(LABELS)),
    "a tuple of single ones": (tuple(IMAGES), tuple(LABELS)),
    "a data set": tuple(zip(*PAIRS, strict=True)),
    "batches": tuple(map(torch.cat, zip(*DataLoader(PAIRS, 7), strict=True))),
    "chunks": (list(IMAGES.split(7)), list(LABELS.split(9))),
    "chunks of one example": (list(IMAGES.split(1)), list(LABELS.split(1))),
    "chunks of one type of array": ([part.numpy() for part in IMAGES.split(5)], [part.numpy() for part in LABELS.split(24)]),
    "numbers": (IMAGES.tolist(), LABELS.tolist()),
    "numbers of numpy": (IMAGES, list(LABELS.numpy())),
    "numbers and tensors": (IMAGES, [label if place % 2 else int(label) for place, label in enumerate(LABELS)]),
    "gradients": (IMAGES.clone().requires_grad_(), LABELS),
    "sparse": (IMAGES.to_sparse(), LABELS),
    "float64": (IMAGES.double(), LABELS.int()),
    "uint8 labels": (IMAGES, LABELS.to(torch.uint8)),
    "uint16 labels": (IMAGES, LABELS.numpy().astype(np.uint16)),
    "uint64 labels": (IMAGES, LABELS.numpy().astype(np.uint64)),
    "big-endian": (IMAGES.numpy().astype(">f4"), LABELS.numpy().astype(">i2")),
    "long double": (IMAGES.numpy().astype(np.longdouble), LABELS),
    "backwards": (IMAGES.numpy()[::-1].copy()[::-1], LABELS.numpy()[::-1].copy()[::-1]),
    "read-only": (read_only(IMAGES.numpy().copy()), read_only(LABELS.numpy().copy())),
    "transposed": (IMAGES.transpose(2, 3).contiguous().transpose(2, 3), LABELS),
    "bfloat16 and back": (IMAGES.bfloat16().float() + (IMAGES - IMAGES.bfloat16().float()), LABELS),
}


@pytest.mark.parametrize("given", SAME.values(), ids=SAME)
def test_all_these_are_the_same_examples(given):
    images, labels = checked_examples(*given, "own, evaluation")
    assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
    assert torch.equal(images, IMAGES)
    assert torch.equal(labels, LABELS)
    assert not images.requires_grad


def test_examples_given_one_by_one_are_counted_as_those_given_at_once():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3)).eval()
    networks = [Network(model, *given) for given in ((IMAGES, LABELS), (list(IMAGES), list(LABELS)))]
    assert networks[0].inputs_sha256 == networks[1].inputs_sha256
    at_once, one_by_one = (measure(network, ["quantize:3", "sign_flip:0.3"], draws=1) for network in networks)
    assert one_by_one.equals(at_once)


def test_truth_values_are_labels_and_float64_is_rounded():
    images, labels = checked_examples(IMAGES.double() + 1e-9, LABELS > 0, "own")
    assert torch.equal(labels, (LABELS > 0).long())
    assert torch.equal(images, (IMAGES.double() + 1e-9).float())


MANY = "expected single ones of one shape, as many as labels, or chunks (n_i, ...) that are alike but for n_i and together as many"
NO_PAIRS = "of pairs of images and labels; expected tensors of each: of batches images, labels = map(torch.cat, zip(*loader)), of single pairs images, labels = zip(*dataset)"
LONG = "expected int64 (n,) or (n, *positions)"


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        ([IMAGES[:10], IMAGES[10:, :, :3]], LABELS, f"images are a list of 2 of shape (10, 1, 4, 4), (14, 1, 3, 4) with 24 labels; {MANY}"),
        (list(IMAGES[:20]), LABELS, f"images are a list of 20 of shape (1, 4, 4) with 24 labels; {MANY}"),
        ([image[:, : 1 + place % 2] for place, image in enumerate(IMAGES)], LABELS, f"images are a list of 24 of shape (1, 1, 4), (1, 2, 4) with 24 labels; {MANY}"),
        ([IMAGES[:10], IMAGES[10:].double()], LABELS, "images are a list of torch.float32, torch.float64; expected one type"),
        (IMAGES.double() * 1e200, LABELS, f"images are torch.float64 with values up to {float(IMAGES.abs().max()) * 1e200:.3g}, which are infinite in float32 (up to 3.4e+38); scale them as in training"),
        (IMAGES * torch.inf, LABELS, "images hold NaN or infinite values"),
        (IMAGES.to(torch.complex64), LABELS, "images are torch.complex64; expected real numbers or integers"),
        ((255 * IMAGES).to(torch.uint8), LABELS, "images are torch.uint8; expected floating point, scaled as in training: images.float()"),
        (torch.zeros(24, 0), LABELS, "images are (24, 0); expected (n, ...) with values"),
        (torch.tensor(1.0), LABELS[:1], "images are (); expected (n, ...) with values"),
        (IMAGES.to("meta"), LABELS, "images are a Tensor (Cannot copy out of meta tensor; no data!); expected a tensor or array of numbers"),
        (np.array([IMAGES.numpy(), None], dtype=object), LABELS, "images are a ndarray (of objects); expected a tensor or array of numbers"),
        (np.ma.masked_less(IMAGES.numpy(), 0), LABELS, "images are a MaskedArray (some of its entries are masked); expected a tensor or array of numbers"),
        (None, LABELS, "images are a NoneType (of objects); expected a tensor or array of numbers"),
        ((image for image in IMAGES), LABELS, "images are a generator (of objects); expected a tensor or array of numbers"),
        (DataLoader(PAIRS, 7), LABELS, "labels beside a DataLoader, which holds its own; give it alone"),
        (IMAGES, None, "no labels; expected as many as inputs, or a DataLoader or Dataset of both"),
        (list(DataLoader(PAIRS, 7)), None, f"a list {NO_PAIRS}"),
        (list(PAIRS), None, f"a list {NO_PAIRS}"),
        ([PIL.Image.new("L", (4, 4))] * 24, LABELS, "images of PIL; expected tensors, scaled as in training: [torchvision.transforms.functional.to_tensor(image) for image in images]"),
        (IMAGES, LABELS.double(), f"labels are torch.float64 (24,); {LONG}: labels.long() where they are numbers of classes; regression is not supported, as accuracy of classes is what is measured"),
        (IMAGES, LABELS[:, None], f"labels are torch.int64 (24, 1); {LONG}: labels.flatten()"),
        (IMAGES, LABELS[None], "24 images and 1 labels; expected as many, at least one"),
        (IMAGES, LABELS[0], f"labels are torch.int64 (); {LONG}"),
        (IMAGES, ["cat"] * 24, "labels are a list (of <U3); expected a tensor or array of numbers"),
        (IMAGES, [], "24 images and 0 labels; expected as many, at least one"),
        ([], [], "0 images and 0 labels; expected as many, at least one"),
    ],
)  # fmt: skip
def test_other_examples_are_named_with_what_makes_them_right(images, labels, message):
    assert refusal(images, labels) == message


@pytest.mark.parametrize(
    "mend", [lambda y: y.double().long(), lambda y: nn.functional.one_hot(y).argmax(1), lambda y: y[:, None].flatten()]
)
def test_labels_made_right_as_told_are_the_labels(mend):
    assert torch.equal(checked_examples(IMAGES, mend(LABELS), "own")[1], LABELS)


@pytest.mark.parametrize(
    "labels",
    [
        torch.arange(3).repeat_interleave(7),  # ascending
        torch.tensor([2] * 10 + [0] * 9 + [1] * 12),
        torch.tensor([3] * 10 + [1] * 10),
        torch.arange(5).repeat_interleave(12).repeat(10),  # ascending inside each of ten chunks
        torch.tensor([0] * 300 + [1] * 290 + [0] * 10),
    ],
)
def test_examples_class_by_class_are_refused_in_any_order_of_classes(labels):
    images = torch.randn(len(labels), 2)
    message = refusal(images, labels)
    assert message.startswith("the examples are in the order of their classes, so that a probe, which sees consecutive")
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))  # as the message tells
    checked_examples(images[order], labels[order], "own")
    with pytest.raises(BadInput, match="in the order of their classes"):  # of a list, too
        checked_examples(list(images), list(labels), "own")


@pytest.mark.parametrize(
    "labels",
    [
        torch.tensor([0, 0, 1, 1, 2, 2]),  # few examples
        torch.tensor([0] * 57 + [1] * 3),  # one time in 34,220 by chance: but for 57 of 60 alike
        torch.tensor([0] * 19 + [1]),  # one time in ten
        torch.zeros(100).long(),
        torch.arange(100) % 10,
        torch.arange(10).repeat_interleave(2).repeat(5),  # each example twice
    ],
)
def test_orders_that_chance_or_few_examples_make_are_accepted(labels):
    assert are_grouped(labels) == (labels.tolist() == [0] * 57 + [1] * 3)


@pytest.mark.parametrize("sizes", [(10, 10), (29, 1), (57, 3), (200, 5, 5), (20,) * 10, (3,) * 7])
def test_random_orders_are_not_taken_for_grouped(sizes):
    labels = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    generator = torch.Generator().manual_seed(0)
    found = sum(are_grouped(labels[torch.randperm(len(labels), generator=generator)]) for _ in range(2000))
    assert found == 0


def network_with(calibration):
    torch.manual_seed(0)
    return Network(nn.Linear(16, 3).eval(), ROWS, LABELS, calibration=calibration)


@pytest.mark.parametrize(
    ("images", "n_shared"),
    [
        (ROWS, 24),
        (ROWS[:3], 3),
        (ROWS[:1], 1),
        (ROWS.flip(0), 24),
        (ROWS[1:], 23),
        (torch.cat([OTHERS[:5], ROWS[:12]]), 12),
        (torch.cat([OTHERS, ROWS[3:6]]), 3),
        (list(ROWS.flip(0).double()), 24),
    ],
)
def test_calibration_examples_that_are_evaluation_examples_are_refused_in_any_order(images, n_shared):
    with pytest.raises(BadInput) as error:
        network_with((images, torch.arange(len(images)) % 3))
    assert str(error.value) == (
        f"network own, calibration: {n_shared} of {len(images)} are evaluation examples, so that criteria would see what they "
        "are judged by; give others of the same kind"
    )


def test_calibration_examples_may_hold_a_duplicate_by_accident_and_blank_images():
    images = torch.cat([OTHERS, ROWS[3:5]])
    assert len(network_with((images, torch.arange(202) % 3)).calibration[1]) == 202
    assert shared_inputs(torch.cat([torch.zeros(30, 4), torch.randn(30, 4)]), torch.zeros(50, 4))[0] == 0


def test_calibration_images_of_few_values_may_be_equal_to_evaluation_images_by_chance():
    """Of four binary pixels there are sixteen images."""
    generator = torch.Generator().manual_seed(0)
    evaluation, others = (torch.randint(0, 2, (200, 4), generator=generator).float() for _ in range(2))
    n_shared, allowed = shared_inputs(others, evaluation)
    assert 150 < n_shared <= allowed
    assert shared_inputs(evaluation.flip(0), evaluation)[1] == -1


@pytest.mark.parametrize("dataset", ["digits", "fashion_mnist"])
def test_no_calibration_image_of_the_zoo_is_an_evaluation_image(dataset):
    assert shared_inputs(load_part(dataset, "calibration")[0], load_part(dataset, "evaluation")[0])[0] == 0


def test_calibration_examples_are_a_pair_of_the_evaluation_examples_shape():
    with pytest.raises(BadInput, match=r"network own, calibration: a Tensor; expected \(inputs, labels\)"):
        network_with(OTHERS)
    with pytest.raises(BadInput, match=r"network own, calibration: images of shape \(1, 4, 4\); expected \(16,\)"):
        network_with(DataLoader(PAIRS))
    with pytest.raises(BadInput) as error:
        network_with((OTHERS.reshape(-1, 4, 4), torch.zeros(200).long()))
    assert (
        str(error.value) == "network own, calibration: images of shape (4, 4); expected (16,), that of the evaluation images"
    )
    assert len(network_with((OTHERS[:5], LABELS[:5])).calibration[1]) == 5


@pytest.mark.parametrize(("counts", "share"), [((57, 3), 0.95), ((0, 0, 30), 1.0), ((20,) * 10, 0.1)])
def test_chance_is_the_share_of_the_largest_class_of_counted_labels(counts, share):
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    assert largest_class(labels) == share
    assert largest_class(torch.stack([labels, torch.full_like(labels, -100)], dim=1)) == share


@pytest.mark.parametrize("held", [DataLoader(PAIRS, 7), PAIRS])
def test_what_holds_both_is_read_once_in_order(held):
    inputs, labels = checked_examples(held, None, "own")
    assert torch.equal(inputs, IMAGES)
    assert torch.equal(labels, LABELS)


def test_a_network_takes_loaders_in_place_of_both():
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).eval()
    network = Network(model, DataLoader(PAIRS, 7), calibration=DataLoader(TensorDataset(IMAGES + 1, LABELS), 5))
    assert torch.equal(network.labels, LABELS)
    assert torch.equal(network.calibration[0], IMAGES + 1)
