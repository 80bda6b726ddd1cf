"""How sure a measured drop is."""

import numpy as np
import pytest

from safer_bench.budget.plans.judge import Judge, drop_interval


def drop_of(broken, fixed, n):
    unchanged, right = np.ones((1, n)), np.ones((1, n))
    right[0, :broken] = 0.0
    unchanged[0, broken : broken + fixed] = 0.0
    return drop_interval(unchanged, right, np.arange(n))


def test_nothing_lost_on_a_hundred_examples_does_not_prove_that_nothing_will_be():
    found = drop_of(0, 0, 100)
    assert found.value == 0.0
    assert found.high == pytest.approx(3.69 / 102)
    assert drop_of(0, 0, 1000).high == pytest.approx(3.69 / 1002)


def test_ten_draws_of_bit_errors_tell_nothing_of_one_draw_in_ten():
    unchanged, right = np.ones((1, 1000)), np.ones((10, 1000))
    assert drop_interval(unchanged, right, np.arange(1000)).high == pytest.approx(3.69 / 12)
    generator = np.random.default_rng(2)
    covered = []
    for _ in range(200):
        spoiled = generator.random(60) < 0.05  # a draw in twenty loses half of all answers
        some = np.where(spoiled[:, None], generator.random((60, 100)) < 0.5, 1.0)
        covered.append(drop_interval(np.ones((1, 100)), some, np.arange(100)).high >= 0.025)
    assert np.mean(covered) >= 0.95


def test_what_was_not_seen_adds_to_the_paired_differences_and_the_mean_is_in_the_middle():
    found, n = drop_of(20, 5, 200), 200
    squares = 25 - 15**2 / n
    error = np.sqrt(squares / n / (n - 1))
    assert found.value == 15 / 200
    assert found.high - found.value == pytest.approx(np.hypot(1.96 * error, 3.69 / (n + 2)), rel=1e-3)
    assert found.value - found.low == pytest.approx(found.high - found.value)


@pytest.mark.parametrize(
    ("lost", "won", "n"), [(0.0201, 0.0, 100), (0.02, 0.005, 200), (0.006, 0.0005, 400), (0.2, 0.05, 60)]
)
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


class MadeUp:
    """Answers of 40 examples: all right at 8 bits, three quarters of them at 4, half at 2; the plan of 5 bits misses ten."""

    def correct(self, choices):
        n_right = {(0, 0): 40, (1, 1): 30, (2, 2): 20, (0, 2): 30}[tuple(choices.tolist())]
        return (np.arange(40) < n_right).astype(float)[None]


def test_a_plan_is_set_beside_uniform_at_what_it_spends():
    """At 5 bits uniform lies a quarter of the way from 4 to 8: 32.5 of 40 right, 2.5 more than the plan; paired by answer."""
    judge = Judge(MadeUp(), np.array([10, 10]), np.array([8.0, 4.0, 2.0]), np.arange(40), np.ones((1, 40)))
    found = judge.gain(np.array([0, 2]))
    assert found.value == pytest.approx(-2.5 / 40)
    differences = np.repeat([-0.25, 0.0], [10, 30])
    error = differences.std(ddof=1) / np.sqrt(40)
    half = np.hypot(1.96 * error, 3.69 / 42)
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), rel=1e-3)
    alike = judge.gain(np.array([1, 1]))
    assert (alike.value, alike.low, alike.high) == (0.0, 0.0, 0.0), "the same weights"


def test_a_gain_by_the_slope_of_uniform_alone_is_not_sure():
    """Where no answer differed from the nearest uniform allocation, the line to the next one once made a plan surely better."""
    judge = Judge(Nearly(), np.array([99, 1]), np.array([8.0, 4.0, 2.0]), np.arange(40), np.ones((1, 40)))
    found = judge.gain(np.array([1, 2]))
    assert 0 < found.value < 0.01
    assert found.low < 0 < found.high


class Nearly:
    """All 40 right at 8 and at 4 bits, half at 2; the plan, of nearly 4 bits, has all of them right."""

    def correct(self, choices):
        n_right = {(0, 0): 40, (1, 1): 40, (2, 2): 20, (1, 2): 40}[tuple(choices.tolist())]
        return (np.arange(40) < n_right).astype(float)[None]


def test_no_more_is_gained_than_was_wrong_unchanged():
    unchanged, right = np.ones((1, 100)), np.ones((10, 100))
    unchanged[0, :3], right[:, :3], right[:5, :50] = 0.0, 0.0, 0.0
    found = drop_interval(unchanged, right, np.arange(100))
    assert found.value == pytest.approx(0.235)
    assert found.low == pytest.approx(-0.03)
    assert found.high > 0.5
