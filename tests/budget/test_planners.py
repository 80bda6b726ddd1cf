"""What allocates by a sum over layers, beside the rank rules."""

from itertools import product

import numpy as np
import pytest

from safer_bench.budget import planners as module
from safer_bench.budget.images import budget_network
from safer_bench.budget.planners import planners
from safer_bench.budget.plans.menu import make_menu
from safer_bench.budget.plans.predicted import squared_change
from safer_bench.budget.plans.truths import measured_here
from safer_bench.budget.spend import Wanted, spend
from safer_bench.budget.tasks import TASKS
from safer_bench.budget.whole import WholeNetwork
from safer_bench.errors import BadInput
from safer_bench.tables import schema
from tests.made_up.networks import small_network

BITS = (8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A small network and its drops at 4, 3 and 2 bits."""
    network = small_network()
    return network, measured_here(network, make_menu("quantize", levels=[4, 3, 2]), tmp_path_factory.mktemp("run") / "run")


def scores_of(network, values):
    rows = [
        {"criterion": "hessian_mean_trace", "track": "blind", "network": network.name, "dataset": network.dataset}
        | {"split": network.split, "layer": layer.name, "score": value}
        for layer, value in zip(network.layers, values, strict=True)
    ]
    return schema.build("scores", rows)


def test_hawqs_rule_spends_where_curvature_times_change_is_largest(measured):
    """By trying every allocation of the three layers."""
    network, truth = measured
    whole = WholeNetwork(budget_network(network, "quantize_per_channel", truth))
    traces = [0.5, 2.0, 0.25]
    found = {
        each.name: each
        for each in planners(network, whole, "quantize_per_channel", "quantize", truth, scores_of(network, traces))
    }
    assert list(found) == ["plan", "plan_uncorrected", "hawq_v2"]
    amounts = found["hawq_v2"].amounts(3.5)
    sizes = np.array([layer.parameters for layer in network.layers])
    lost = [
        {
            bits: trace * squared_change(network.weight(layer), whole.perturbed(layer, "quantize_per_channel", bits))
            for bits in BITS
        }
        for layer, trace in zip(network.layers, traces, strict=True)
    ]
    tried = [
        (sum(each[bits] for each, bits in zip(lost, choice, strict=True)), choice)
        for choice in product(BITS, repeat=3)
        if (sizes * choice).sum() <= 3.5 * sizes.sum()
    ]
    assert tuple(amounts) == min(tried)[1]


def test_plans_are_those_of_the_command_and_need_measured_drops(measured):
    network, truth = measured
    whole = WholeNetwork(budget_network(network, "quantize_per_channel", truth))
    no_scores = schema.TABLES["scores"].empty_table()
    plan, uncorrected = planners(network, whole, "quantize_per_channel", "quantize", truth, no_scores)
    drops = module.ByDrops(network, make_menu("quantize"), truth)
    choices, _ = drops(3.5)
    assert plan.amounts(3.5).tolist() == [drops.menu.amount(int(choice)) for choice in choices]
    assert uncorrected.amounts(3.5).tolist() == [drops.menu.amount(int(choice)) for choice in drops.uncorrected(3.5)]
    assert plan.amounts(1.5) is None, "not even two bits for all"
    assert planners(network, whole, "quantize", "quantize", truth, no_scores) == []


def test_spending_tells_of_plans_where_asked(measured):
    network, truth = measured
    wanted = Wanted(TASKS["quantize"], "quantize_per_channel", (4.0, 3.0), (None,), plans=True)
    no_scores = schema.TABLES["scores"].empty_table()
    rows = spend(wanted, [network], truth, no_scores).results.to_pylist()
    plans = {row["budget"]: row for row in rows if row["criterion"] == "plan"}
    assert set(plans) == {4.0, 3.0}
    assert all(row["spent"] <= budget and row["gain"] is not None for budget, row in plans.items())
    assert {row["perturbation"] for row in rows} == {"quantize_per_channel"}
    without = spend(Wanted(TASKS["quantize"], "quantize_per_channel", (4.0,), (None,)), [network], truth, no_scores)
    with pytest.raises(BadInput, match="--plans is for tasks prune and quantize"):
        spend(Wanted(TASKS["protect"], "int8_bit_flip", (0.1,), (0.01,), plans=True), [network], truth, no_scores)
    assert not {"plan", "hawq_v2"} & set(without.results["criterion"].to_pylist())
