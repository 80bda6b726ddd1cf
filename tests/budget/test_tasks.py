"""Tasks know their budgets, levels and perturbations; what is wrong is told by the tests of the command."""

import pytest

from safer_bench.budget.tasks import RATES, TASKS, look_up_perturbation, look_up_task
from safer_bench.perturbations.loading import perturbations


@pytest.mark.parametrize("name", list(TASKS))
def test_default_budgets_are_budgets_and_perturbations_are_built_in(name):
    task = look_up_task(name)
    assert task.chosen_budgets(task.budgets) == task.budgets
    assert set(task.perturbations) <= set(perturbations())
    assert look_up_perturbation(task, None) == next(iter(task.perturbations))


def test_budgets_given_are_sorted_from_generous_to_tight():
    assert TASKS["quantize"].chosen_budgets([3.0, 8.0, 4.0, 4.0]) == (8.0, 4.0, 3.0)
    assert TASKS["prune"].chosen_budgets([0.9, 0.5]) == (0.5, 0.9)
    assert TASKS["prune"].chosen_budgets(()) == TASKS["prune"].budgets


def test_only_protection_has_levels():
    assert TASKS["protect"].chosen_levels("int8_bit_flip", ()) == RATES["int8_bit_flip"]
    assert TASKS["protect"].chosen_levels("float32_bit_flip", (1e-5, 1e-6)) == (1e-6, 1e-5)
    assert TASKS["quantize"].chosen_levels("quantize", ()) == (None,)


def test_only_where_there_are_several_the_perturbation_is_in_the_label():
    assert TASKS["protect"].label("float32_bit_flip") == "protect-float32_bit_flip"
    assert (TASKS["prune"].label("magnitude_prune"), TASKS["quantize"].label("quantize")) == ("prune", "quantize")


def test_what_is_done_with_a_budget_is_said():
    said = [
        task.spending(budget) for task, budget in ((TASKS["prune"], 0.95), (TASKS["quantize"], 3.5), (TASKS["protect"], 0.1))
    ]
    assert said == ["pruning 95 % of the weights", "3.5 bits a weight", "protecting 10 % of the weights"]
