"""Classes of data and head: by name where names are known, else by order, and refused where neither can be."""

import pytest
from torch import nn

from safer_bench.errors import BadInput
from safer_bench.networks.sources.class_order import classes_of_head
from safer_bench.networks.sources.records import Foreign, Records


def pair(classes, n_head, *names):
    records = Records("rows", "images", 0, str, str, [], None if classes is None else tuple(classes))
    return records, Foreign(nn.Identity(), "net", "images", list, n_head, tuple(map(tuple, names)))


def test_names_decide_whatever_their_order_and_writing():
    assert classes_of_head(*pair(["Dog", "wild_cat"], 3, ["wild cat", "cow", "dog"])) == ([2, 0], "")


def test_of_several_lists_of_names_the_one_that_knows_most_counts():
    assert classes_of_head(*pair(["n02", "n01"], 2, ["tench", "hen"], ["n01", "n02"])) == ([1, 0], "")


def test_without_names_the_order_counts_and_is_said():
    numbers, note = classes_of_head(*pair(["a", "b"], 2))
    assert numbers == [0, 1]
    assert note == (
        "net: the head's classes 0 to 1 are taken for a, b, in the order of rows: no name of theirs is known to say otherwise"
    )


def test_numbers_and_language_models_need_no_names():
    assert classes_of_head(*pair(None, 5)) == (None, "")
    assert classes_of_head(*pair(["a"], None)) == (None, "")


def test_a_name_of_two_classes_tells_none():
    with pytest.raises(BadInput, match="knows 1 of the 2 classes of rows, and no 'crane'"):
        classes_of_head(*pair(["crane", "hen"], 3, ["crane", "crane", "hen"]))


@pytest.mark.parametrize(
    ("classes", "n_head", "names", "message"),
    [
        ("abcdef", 3, [], "net: its head tells 3 classes apart, rows has 6 (a, b, c, ..., f); expected data of its classes, or a checkpoint that was trained on these"),
        (["cat", "dgo"], 2, [["cat", "dog"]], "net: its head knows 1 of the 2 classes of rows, and no 'dgo'. Did you mean 'dog'? Expected its classes: rename the others, or leave them out"),
    ],
)  # fmt: skip
def test_what_cannot_belong_together_is_named(classes, n_head, names, message):
    with pytest.raises(BadInput) as error:
        classes_of_head(*pair(classes, n_head, *names))
    assert str(error.value) == message
