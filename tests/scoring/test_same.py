"""When scores that were computed again are the submitted ones."""

import pytest

from safer_bench.errors import BadInput
from safer_bench.scoring.same import check_same

LAYERS = "abcde"

SEED = "; code and scores differ, or the code gives other scores each time: seed what is random"


def same(submitted, again, perturbation=None, level=None):
    keys = [(perturbation, level, layer) for layer in LAYERS]
    check_same(
        {key: (score, None) for key, score in zip(keys, again, strict=True)}, dict(zip(keys, submitted, strict=True)), "here"
    )


@pytest.mark.parametrize(
    ("submitted", "again"),
    [
        ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5]),
        ([1, 2, 3, 4, 5], [1.003, 2, 3, 3.997, 5]),
        ([1, 1, 1, 1, 1], [1, 1, 1, 1, 1]),
        ([0, 0, 0, 0, 0], [0, 0, 0, 0, 0]),
        ([1, 1, 1, 1, 1], [1 + 1e-7, 1, 1, 1 - 1e-7, 1]),
        ([1, 1.0005, 2, 3, 4], [1.0005, 1, 2, 3, 4]),
        ([1e12, 0, 0, 0, 0], [1e12 + 1e5, 0, 0, 0, 0]),
        ([-5, -4, -3, -2, -1], [-5.003, -4, -3, -2, -1]),
    ],
)
def test_last_digits_are_the_machines(submitted, again):
    assert same(submitted, again) is None, "it raises where they differ"


@pytest.mark.parametrize(
    ("submitted", "again", "message"),
    [
        ([1, 1.00001, 1.00002, 1.00003, 1.00004], [1, 1, 1, 1, 1], f"here: b: submitted 1.00001, computed again 1{SEED}"),
        ([1e12, 1, 2, 3, 4], [1e12, 0, 0, 0, 0], "here: c above b: submitted 2 and 1, computed again 0 and 0"),
        ([1e12, 1, 2, 3, 4], [1e12, 2, 1, 3, 4], "here: c above b: submitted 2 and 1, computed again 1 and 2"),
        ([100, 101, 102, 103, 104], [100, 101, 102, 103, 104.05], f"here: e: submitted 104, computed again 104.05{SEED}"),
        ([-1e12, -4, -3, -2, -1], [-1e12, 0, 0, 0, 0], "here: c above b: submitted -3 and -4, computed again 0 and 0"),
        ([0, 1e-9, 2, 3, 4], [1e-9, 0, 2, 3, 4], "here: b above a: submitted 1e-09 and 0, computed again 0 and 1e-09"),
    ],
)
def test_a_ranking_hides_nowhere(submitted, again, message):
    with pytest.raises(BadInput) as error:
        same(submitted, again)
    assert str(error.value) == message


def test_the_message_names_the_cell():
    with pytest.raises(BadInput, match=rf"^here: prune, 0.5, e: submitted 5, computed again 6{SEED}$"):
        same([1, 2, 3, 4, 5], [1, 2, 3, 4, 6], "prune", 0.5)
