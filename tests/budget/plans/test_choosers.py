"""Which examples choose: none of them judges."""

import pytest

from safer_bench.budget.images import budget_network, some_examples
from safer_bench.budget.plans.choosers import choosing_network
from safer_bench.budget.plans.menu import make_menu
from safer_bench.budget.plans.truths import measured_here
from tests.made_up.networks import small_network


def images_of(network):
    return {image.numpy().tobytes() for image in network.inputs}


@pytest.mark.parametrize(("task", "levels", "n_chosen"), [("protect", [0.01], 48), ("quantize", [4], 54)])
def test_before_the_drops_are_measured_those_choose_that_will_be(task, levels, n_chosen, tmp_path):
    """Bit errors are drawn on equal slices: of 54 examples six would be measured by none, and would judge."""
    network, menu = some_examples(small_network(), 0, 109), make_menu(task, levels=levels)
    before = choosing_network(network, menu, None, by_scores=False)
    truth = measured_here(network, menu, tmp_path)
    after = choosing_network(network, menu, truth, by_scores=False)
    assert len(before.labels) == n_chosen
    assert images_of(before) == images_of(after)
    judges = budget_network(network, menu.perturbation, truth)
    assert len(judges.labels) == 109 - n_chosen
    assert not images_of(judges) & images_of(before)


def test_scores_leave_the_calibration_examples_to_choose():
    network = small_network()
    found = choosing_network(network, make_menu("prune"), None, by_scores=True)
    assert found.inputs.equal(network.calibration[0])
    assert not images_of(found) & images_of(network)
