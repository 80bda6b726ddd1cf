"""Intervals of the clean accuracy, against scipy's and against networks drawn again."""

import numpy as np
import pytest
from scipy.stats import binomtest

from safer_bench.truth.accuracy import accuracy_interval


def network(right, answers):
    """Return the row of a network, given which answers of each example are right."""
    bits = np.concatenate(right)
    listed = None if (answers == 1).all() else answers.tolist()
    counts = {"n_examples": len(answers), "n_answers": len(bits), "clean_correct": int(bits.sum())}
    return counts | {"answers_of_example": listed, "clean_outcomes": np.packbits(bits).tobytes()}


def wilson(k, n):
    found = binomtest(k, n).proportion_ci(method="wilson")
    return found.low, found.high


def test_of_one_answer_an_example_it_is_wilsons():
    right = [np.array([i % 4 > 0]) for i in range(100)]
    assert accuracy_interval(network(right, np.ones(100, int))) == pytest.approx(wilson(75, 100), abs=1e-12)


def test_answers_that_are_all_alike_within_an_example_count_as_one():
    """Of 101 examples: the variance over them has 100 degrees of freedom."""
    right = [np.full(6, i % 101 < 75) for i in range(101)]
    low, high = accuracy_interval(network(right, np.full(101, 6)))
    n, share, z = 100, 75 / 101, 1.959963984540054
    assert high - low == pytest.approx(2 * z * np.sqrt(share * (1 - share) / n + (z / n / 2) ** 2) / (1 + z**2 / n))


@pytest.mark.parametrize("value", [0, 1])
def test_where_all_answers_are_alike_examples_count(value):
    answers = np.array([3, 0, 5, 4] * 5)
    low, high = accuracy_interval(network([np.full(n, value, bool) for n in answers], answers))
    assert (low, high) == pytest.approx(wilson(15 * value, 15), abs=1e-12)


def test_it_covers_the_true_accuracy_where_answers_depend_on_each_other_and_wilsons_does_not():
    rng, inside, naive = np.random.default_rng(0), [], []
    for _ in range(800):
        answers = rng.integers(3, 9, 60)
        chance = np.where(rng.random(60) < 0.5, 0.6, 1.0)  # of the examples half are hard
        row = network([rng.random(n) < p for n, p in zip(answers, chance, strict=True)], answers)
        ends = accuracy_interval(row), wilson(row["clean_correct"], row["n_answers"])
        inside.append(ends[0][0] < 0.8 < ends[0][1])
        naive.append(ends[1][0] < 0.8 < ends[1][1])
    assert np.mean(inside) > 0.92
    assert np.mean(naive) < 0.88
