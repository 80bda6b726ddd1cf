"""The level that costs so many points, on a small network whose answers are looked up by plain passes."""

import numpy as np
import pytest
import torch

import safer_bench as sb
from safer_bench.budget.images import some_examples
from safer_bench.budget.plans.cost import RATES, candidates, level_that_costs
from safer_bench.budget.plans.menu import make_menu
from safer_bench.errors import BadInput
from safer_bench.networks.examples import counted
from safer_bench.perturbations.quantize import quantize_per_channel
from safer_bench.stream import Stream
from tests.made_up.networks import small_network


@pytest.fixture(scope="module")
def network():
    return some_examples(small_network(), 0, 120)


def test_rates_are_found_in_few_steps_near_to_what_they_are_to_cost(network):
    for cost in (0.1, 0.3):
        steps = []
        found = level_that_costs(network, make_menu("protect"), cost, 10, steps.append)
        assert abs(found.lost.mean - cost) <= 0.03, "draws leave some noise"
        assert found.lost.low < cost < found.lost.high
        assert found.n_examples == 120
        assert len(steps) <= 11
        assert found.level in RATES


def test_a_costlier_level_is_severer(network):
    levels = [level_that_costs(network, make_menu("prune"), cost).level for cost in (0.05, 0.2, 0.4)]
    assert levels == sorted(set(levels))


def test_of_whole_bits_the_nearest_is_taken_and_its_cost_is_that_of_a_plain_pass(network):
    found = level_that_costs(network, make_menu("quantize"), 0.2)
    lost = {bits: plain_drop(network, bits) for bits in range(2, 9)}
    assert found.level == min(lost, key=lambda bits: abs(lost[bits] - 0.2))
    assert found.lost.mean == pytest.approx(lost[found.level])
    assert lost[2] > 0.22, "the search has to stop before the tightest"


def plain_drop(network, bits):
    model = type(network.model)().eval()
    model.load_state_dict(network.model.state_dict())
    with torch.no_grad():
        for layer in network.layers:
            weight = model.get_parameter(layer.parameter)
            facts = {"layer": layer} if "layer" in quantize_per_channel.needs else {}
            changed = quantize_per_channel.apply(weight.numpy(), bits, Stream("plain"), **facts).weight
            weight.copy_(torch.from_numpy(changed))
        right = [m(network.inputs).argmax(1).numpy() == counted(network.labels) for m in (network.model, model)]
    return right[0].mean() - right[1].mean()


def test_what_is_searched_is_mild_to_severe_and_within_what_the_task_can_get():
    assert (RATES[0], RATES[-1], len(RATES)) == (1e-9, 0.5, len(set(RATES)))
    assert (np.diff(RATES) > 0).all()
    assert np.diff(np.log(RATES)).max() < 0.1
    assert candidates(make_menu("quantize", levels=[4, 6])) == (8.0, 6.0, 4.0)
    assert candidates(make_menu("prune", levels=[0.5]))[-1] == 0.5
    assert candidates(make_menu("prune", levels=[0.005])) == (0.005,)


def test_a_level_that_costs_nothing_is_not_near_to_a_small_cost(network):
    found = level_that_costs(network, make_menu("protect"), 0.01, 10)
    assert 0.005 <= found.lost.mean <= 0.015


def test_a_cost_that_no_level_reaches_is_refused_with_what_the_severest_costs(network):
    with pytest.raises(BadInput) as error:
        level_that_costs(network, make_menu("prune", levels=[0.3]), 0.5)
    assert str(error.value) == (
        "network 'small': no level of magnitude_prune costs it 50 points: 0.3, the severest, costs 12.5 (5.8 to 19.2); it gets "
        "100.0 % right unchanged, and always answering the largest class 53.3 %: ask for fewer points"
    )


def test_a_cost_that_the_mildest_level_exceeds_is_refused():
    """One weight that no image meets takes all of int8's range."""
    torch.manual_seed(3)
    model = torch.nn.Linear(6, 3, bias=False).eval()
    inputs = torch.randn(100, 6)
    inputs[:, 5] = 0.0
    with torch.no_grad():
        model.weight[0, 5] = 1e4
        labels = model(inputs).argmax(1)
    network = sb.Network(model, inputs, labels, name="stretched")
    lost = f"{100 * float((labels != 0).float().mean()):.1f}"  # all other weights become 0, and ties go to class 0
    with pytest.raises(BadInput) as error:
        level_that_costs(network, make_menu("protect"), 0.02, 2)
    message = str(error.value)
    start = "network 'stretched': no level of int8_bit_flip costs it 2 points: 1e-09, the mildest, costs "
    assert message.startswith(f"{start}{lost} (")
    assert message.endswith("); ask for more points")


def test_of_equally_near_levels_the_severest_is_taken_and_the_next_is_told(network):
    """A search that begins in the middle once took the first it tried of those that cost nothing."""
    lost = {bits: plain_drop(network, bits) for bits in range(2, 9)}
    assert lost[8] == lost[7] == lost[6] == 0.0 < lost[5] == pytest.approx(2 / 120)
    found = level_that_costs(network, make_menu("quantize"), 0.006)
    assert found.level == 6
    assert found.beyond == "Nothing comes nearer to 0.6 points: 5 costs 1.7."
    assert found.lost.high == pytest.approx(3.69 / 122), "what 120 examples do not show"
