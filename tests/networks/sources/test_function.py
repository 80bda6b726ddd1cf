"""Data of a user's function: ready, or as texts and images, in whatever people hold them in."""

import pytest

from safer_bench.errors import BadInput
from safer_bench.networks.sources.function import read

FILE = """
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, TensorDataset

images, labels = torch.rand(6, 2), torch.arange(6) % 2


def ready():
    return images, labels


def loader():
    return DataLoader(TensorDataset(images, labels), batch_size=4)


class Pictures(Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, row):
        return Image.new("RGB", (4, 4), (row, 0, 0)), row % 2


def pictures():
    return Pictures()


def pairs():
    return [("a", 0), ("b", 1)]


def columns():
    return ["a", "b"], [0, 1]


def of_two_texts():
    return [(("a", "b"), 0), (("c", "d"), 1)]


def texts():
    return ["a", "b"]


def rows():
    from datasets import Dataset

    return Dataset.from_dict({"text": ["a", "b"], "label": ["x", "y"]})


def numbers():
    from datasets import Dataset

    return Dataset.from_dict({"input_ids": [[1, 2], [3, 4]], "label": [0, 1]})


def nothing():
    return None


def uneven():
    return ["a", "b"], [0]


def strange():
    return [1, 2]


def broken():
    return 1 / 0
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "mine.py").write_text(FILE)
    return tmp_path / "mine.py"


@pytest.mark.parametrize(
    ("function", "kind", "n", "labels"),
    [
        ("pictures", "images", 3, [0, 1, 0]),
        ("pairs", "texts", 2, [0, 1]),
        ("columns", "texts", 2, [0, 1]),
        ("of_two_texts", "texts", 2, [0, 1]),
        ("texts", "texts", 2, None),
        ("rows", "texts", 2, [0, 1]),
        ("ready", "inputs", 6, None),
        ("loader", "inputs", 6, None),
        ("numbers", "inputs", 2, None),
    ],
)
def test_what_a_function_may_return(path, function, kind, n, labels):
    records = read(f"{path}:{function}")
    assert (records.kind, records.n, records.labels) == (kind, n, labels)
    if kind != "inputs":
        assert records.item(1) == {"of_two_texts": ("c", "d")}.get(function, "b") or records.item(1).size == (4, 4)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("nothing", "returned a NoneType; expected (inputs, labels), a DataLoader or Dataset, texts, or pairs of an image or text and its label, in the order of the head's classes"),
        ("strange", "returned a list of int; expected (inputs, labels), a DataLoader or Dataset, texts, or pairs of an image or text and its label, in the order of the head's classes"),
        ("uneven", "returned 2 texts and 1 labels; expected as many"),
        ("broken", "the function raised ZeroDivisionError: division by zero (mine.py:70, in broken)"),
    ],
)  # fmt: skip
def test_what_it_may_not_is_named(path, function, message):
    with pytest.raises(BadInput) as error:
        read(f"{path}:{function}")
    assert str(error.value) == f"{path}:{function}: {message}"
