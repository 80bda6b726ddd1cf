"""A DataLoader or a Dataset in place of tensors: read once, in order, whatever its examples look like."""

import numpy as np
import pytest
import torch
from datasets import Dataset as Rows
from datasets import DatasetDict
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from safer_bench.errors import BadInput
from safer_bench.networks.reading import is_reader, read_examples

IMAGES, LABELS = torch.rand(7, 3), torch.arange(7)


class Of(Dataset):
    """A dataset of given examples, which counts how often each is read."""

    def __init__(self, examples):
        self.examples, self.reads = examples, 0

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, row):
        self.reads += 1
        return self.examples[row]


class Stream(IterableDataset):
    def __iter__(self):
        yield from zip(IMAGES, LABELS, strict=True)


@pytest.mark.parametrize(
    "given",
    [
        DataLoader(TensorDataset(IMAGES, LABELS), batch_size=3),
        TensorDataset(IMAGES, LABELS),
        Of([(image.numpy(), int(label)) for image, label in zip(IMAGES, LABELS, strict=True)]),
        Stream(),
        DataLoader(Stream(), batch_size=2),
        DataLoader(TensorDataset(IMAGES, LABELS), batch_size=None),
    ],
)
def test_pairs_become_two_tensors(given):
    assert is_reader(given)
    images, labels = read_examples(given, "x")
    assert torch.equal(images, IMAGES)
    assert torch.equal(labels, LABELS)


def test_it_is_read_once():
    data = Of([(image, 0) for image in IMAGES])
    read_examples(DataLoader(data, batch_size=3), "x")
    assert data.reads == len(data)


def test_dicts_become_a_dict_and_labels():
    rows = Rows.from_dict({"input_ids": [[1, 2], [3, 4]], "attention_mask": [[1, 1], [1, 0]], "label": [1, 0]})
    for given in (
        rows,
        rows.with_format("torch"),
        DataLoader(rows.with_format("torch"), batch_size=2),
        rows.to_iterable_dataset(),
    ):
        inputs, labels = read_examples(given, "x")
        assert labels.tolist() == [1, 0]
        assert {key: value.tolist() for key, value in inputs.items()} == {
            "input_ids": [[1, 2], [3, 4]],
            "attention_mask": [[1, 1], [1, 0]],
        }


def test_several_inputs_become_a_tuple():
    for given in (TensorDataset(IMAGES, IMAGES * 2, LABELS), Of([((a, a * 2), 0) for a in IMAGES])):
        inputs, _ = read_examples(given, "x")
        assert isinstance(inputs, tuple)
        assert torch.equal(inputs[1], IMAGES * 2)


def test_labels_at_positions_are_stacked_or_joined():
    data = Of([(torch.tensor([1, 2]), torch.tensor([2, -100]))] * 3)
    for given in (data, DataLoader(data, batch_size=2)):
        assert read_examples(given, "x")[1].tolist() == [[2, -100]] * 3


def test_tensors_are_no_reader():
    assert not any(map(is_reader, (IMAGES, [IMAGES], (IMAGES, LABELS), {"x": IMAGES}, np.zeros(3), "text")))


def broken():
    raise RuntimeError("gone")
    yield


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Of([]), "a Of holds no example; expected at least one"),
        (Of([IMAGES[0]]), "a Of of Tensor; expected pairs of inputs and labels, or dicts"),
        (Of([{"a": 1}]), "a Of of dicts with a; expected labels under labels or label"),
        (Of([{"a": 1, "label": 0}, {"b": 1, "label": 0}]), "a Of of dicts with several sets of keys; expected a in each"),
        (Of([{"text": "hm", "label": 0}]), "a Of whose 'text' are str; expected numbers: transform or tokenise them first, and leave out what the model does not take"),
        (Of([(IMAGES[0], 0), (IMAGES[0, :2], 0)]), "a Of whose inputs have shapes (2,) and (3,); expected one: pad or crop all of them to one size"),
        (DatasetDict(train=Rows.from_dict({"a": [1]})), "a DatasetDict of train; expected one split: give one of them"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(given, message):
    with pytest.raises(BadInput) as error:
        read_examples(given, "x")
    assert str(error.value) == f"network x: {message}"


def test_what_fails_while_it_is_read_is_said():
    class Broken(IterableDataset):
        def __iter__(self):
            return broken()

    with pytest.raises(BadInput) as error:
        read_examples(Broken(), "x")
    assert str(error.value) == "network x: a Broken cannot be read: RuntimeError: gone"
