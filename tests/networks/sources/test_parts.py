"""Evaluation and calibration examples: disjoint, at random, the same by the same seed."""

import numpy as np
import pytest

from safer_bench.errors import BadInput
from safer_bench.networks.sources.parts import choose


@pytest.mark.parametrize(
    ("n", "asked", "expected"),
    [
        (5000, (None, None), (250, 200)),
        (300, (None, None), (240, 60)),
        (50, (None, None), (40, 10)),
        (50, (50, None), (50, 0)),
        (50, (45, None), (45, 5)),
        (50, (None, 0), (50, 0)),
        (5000, (2000, 300), (2000, 300)),
        (1, (None, None), (1, 0)),
    ],
)
def test_as_many_as_asked_for_or_as_serve(n, asked, expected):
    evaluation, calibration = choose(n, *asked, 0, "data")
    assert (len(evaluation), len(calibration)) == expected
    both = np.concatenate([evaluation, calibration])
    assert len(set(both.tolist())) == len(both)
    assert both.max() < n


def test_the_seed_decides_and_calibration_does_not_move_the_evaluation():
    first, again, other = (choose(300, 100, 50, seed, "data")[0] for seed in (0, 0, 1))
    assert first.tolist() == again.tolist() != other.tolist()
    assert choose(300, 100, 0, 0, "data")[0].tolist() == first.tolist()


@pytest.mark.parametrize(
    ("n", "asked", "message"),
    [
        (10, (8, 3), "data: 10 examples; asked for 8 to evaluate and 3 to calibrate by, no example in both; ask for fewer by --examples-from and --calibration"),
        (10, (None, 10), "data: 10 examples; asked for 1 to evaluate and 10 to calibrate by, no example in both; ask for fewer by --examples-from and --calibration"),
        (0, (None, None), "data: 0 examples; asked for 1 to evaluate and 0 to calibrate by, no example in both; ask for fewer by --examples-from and --calibration"),
        (10, (0, None), "--examples-from 0: expected at least one evaluation example"),
    ],
)  # fmt: skip
def test_more_than_there_are_is_refused(n, asked, message):
    with pytest.raises(BadInput) as error:
        choose(n, *asked, 0, "data")
    assert str(error.value) == message
