"""How sure a measured drop is."""

import numpy as np
import pytest

from safer_bench.budget.plans.judge import drop_interval


def drop_of(broken, fixed, n):
    unchanged, right = np.ones((1, n)), np.ones((1, n))
    right[0, :broken] = 0.0
    unchanged[0, broken : broken + fixed] = 0.0
    return drop_interval(unchanged, right, np.arange(n))


def test_nothing_lost_on_a_hundred_examples_does_not_prove_that_nothing_will_be():
    found = drop_of(0, 0, 100)
    assert found.value == 0.0
    assert found.high == pytest.approx(1.96 / 102)
    assert drop_of(0, 0, 1000).high == pytest.approx(1.96 / 1002)


def test_the_interval_is_that_of_agresti_and_min_with_the_mean_in_its_middle():
    found, n = drop_of(20, 5, 200), 200
    squares = 25 - 15**2 / n
    error = np.sqrt(squares / n / (n - 1))
    assert found.value == 15 / 200
    assert found.high - found.value == pytest.approx(1.96 * np.hypot(error, 1 / (n + 2)), rel=1e-3)
    assert found.value - found.low == pytest.approx(found.high - found.value)


@pytest.mark.parametrize(("lost", "won", "n"), [(0.02, 0.005, 200), (0.05, 0.02, 100), (0.2, 0.05, 60)])
def test_its_upper_end_covers_the_true_drop(lost, won, n):
    generator = np.random.default_rng(1)
    differences = generator.choice([1.0, -1.0, 0.0], p=[lost, won, 1 - lost - won], size=(600, n))
    covered = [drop_interval(np.ones((1, n)), 1.0 - each[None], np.arange(n)).high >= lost - won for each in differences]
    assert np.mean(covered) >= 0.95


def test_answers_of_one_example_are_not_counted_as_independent():
    right = np.ones((1, 400))
    right[0, :40] = 0.0  # four examples of ten answers each, all of them lost
    apart, together = (
        drop_interval(np.ones((1, 400)), right, examples) for examples in (np.arange(400), np.arange(400) // 10)
    )
    assert together.high - together.value > 2 * (apart.high - apart.value)
