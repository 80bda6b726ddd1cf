"""Comparisons at equal spending and with the best known, on made-up answers whose right results are known."""

import numpy as np
import pytest

from safer_bench.budget.equal_spending import uniform_at
from safer_bench.budget.regret import best_known, first_half
from safer_bench.budget.rows import asked, examples_of, result_rows
from safer_bench.budget.trials import Trial

EXAMPLES = np.arange(100)


def answers(n_right, n=100):
    return (np.arange(n) < n_right).astype(np.float64)[None]


def trial(name, budget, spent, correct, level=None):
    return Trial(name, "blind", level, budget, np.array([spent]), spent, correct)


def test_between_two_spendings_uniform_lies_on_the_line_answer_by_answer():
    curve = {3.0: answers(40), 4.0: answers(80), 8.0: answers(90)}
    found = uniform_at(3.25, curve)
    assert found.mean() == pytest.approx(0.5)
    assert found[0, [0, 50, 95]].tolist() == [1.0, 0.25, 0.0]
    assert uniform_at(4.0 + 1e-13, curve) is uniform_at(4.0 - 1e-13, curve) is curve[4.0], "these differ by rounding"
    assert uniform_at(3.0, curve) is curve[3.0]


def rows_of(tiny, trials, budgets):
    """Return rows by criterion and budget, of a network that has as many examples as there are answers."""
    rows = result_rows(trials, asked(trials, budgets, examples_of(tiny)), tiny)
    return {(row["criterion"], row["budget"]): row for row in rows}


def test_who_spends_half_a_bit_more_than_uniform_gains_less_than_it_seems(tiny):
    """``uniform`` spends 3 of 3.5 bits: 30 points more than that are 10 more than on the way to 4 bits."""
    n = len(tiny.labels)
    right = lambda share: answers(round(share * n), n)  # noqa: E731
    trials = [
        trial("unchanged", 32.0, 32.0, right(0.9)),
        trial("uniform", 3.5, 3.0, right(0.4)),
        trial("mine", 3.5, 3.5, right(0.7)),
        trial("thrifty", 3.5, 3.0, right(0.4)),
        trial("uniform", 4.0, 4.0, right(0.8)),
    ]
    found = rows_of(tiny, trials, (3.5,))
    assert found["mine", 3.5]["gain"] == pytest.approx(0.1)
    assert found["mine", 3.5]["spent"] == 3.5
    assert found["mine", 3.5]["gain_low"] < 0.1 < found["mine", 3.5]["gain_high"]
    assert (found["thrifty", 3.5]["gain"], found["uniform", 3.5]["gain"]) == (0.0, 0.0)
    assert ("uniform", 4.0) not in found
    assert found["best_known", 3.5]["accuracy"] == pytest.approx(0.7)
    assert found["thrifty", 3.5]["regret"] == pytest.approx(0.3)
    assert found["mine", 3.5]["regret"] == 0.0


def test_the_best_of_many_that_are_equally_good_has_no_luck_left():
    """Fifty allocations that are right by chance: the best looks better by some points, and is not."""
    rng = np.random.default_rng(0)
    examples = np.arange(1000)
    excess, luck = [], []
    for _ in range(40):
        trials = [trial(f"c{i}", 0.5, 0.5, (rng.random((1, 1000)) < 0.6).astype(float)) for i in range(50)]
        excess.append(best_known(trials, examples).correct.mean() - 0.6)
        luck.append(max(each.correct.mean() for each in trials) - 0.6)
    assert np.mean(luck) > 0.03
    assert abs(np.mean(excess)) < 4 * np.std(excess) / np.sqrt(40)


def test_the_best_is_found_where_it_is_clear_and_each_half_is_judged_by_the_others_choice():
    even = EXAMPLES % 2 == 0
    good, fair = trial("good", 0.5, 0.5, answers(80)), trial("fair", 0.5, 0.4, answers(60))
    assert np.array_equal(best_known([fair, good], EXAMPLES).correct, good.correct)
    on_even = trial("on_even", 0.5, 0.4, even.astype(float)[None])
    on_odd = trial("on_odd", 0.5, 0.6, (~even).astype(float)[None])
    found = best_known([on_even, on_odd], EXAMPLES)
    assert found.correct.sum() == 0.0, "each shines where it was chosen"
    assert (found.spent, found.amounts.tolist()) == (0.5, [0.5])
    assert best_known([on_even, on_odd, good], EXAMPLES).correct.sum() == 0.0


def test_halves_share_neither_an_example_nor_a_draw():
    examples = np.repeat(np.arange(10), 3)  # of three answers each
    (one,) = first_half(1, examples)
    assert set(examples[one]).isdisjoint(examples[~one])
    many = first_half(7, examples)
    assert [bool(row.all()) for row in many] == [True, False, True, False, True, True, False]  # draw 5 sees slice 0 again
    assert all(row.all() or not row.any() for row in many)


def test_regret_of_draws_is_judged_by_other_draws_on_other_examples(tiny):
    n = len(tiny.labels)
    seen = np.full((4, n), np.nan)
    for draw in range(4):
        seen[draw, n * draw // 4 : n * (draw + 1) // 4] = 0.0
    lucky, steady = seen.copy(), seen + 0.5
    lucky[0] += 1.0  # in one draw alone
    trials = [
        trial("nothing_protected", 0.0, 0.0, seen, 0.01),
        trial("everything_protected", 1.0, 1.0, seen + 1.0, 0.01),
        *(trial(name, 0.1, 0.1, correct, 0.01) for name, correct in (("uniform", seen), ("a", lucky), ("b", steady))),
    ]
    found = rows_of(tiny, trials, (0.1,))
    assert found["best_known", 0.1]["accuracy"] == pytest.approx(0.25)  # a is chosen by draws 0 and 2, judged by 1 and 3
    assert found["a", 0.1]["regret"] == pytest.approx(0.0)
    assert found["b", 0.1]["regret"] == pytest.approx(-0.25)
