"""What is said of a plan that tells nothing."""

from math import ceil, prod

import pytest

from safer_bench.budget.plans.advice import advice, uniform_that_is_better
from safer_bench.budget.plans.plan import Interval
from tests.made_up.networks import tiny_network
from tests.made_up.plans import POINT, made_up_plan


def point(spent, accuracy):
    value = Interval(value=accuracy, low=None, high=None)
    return POINT.model_copy(update={"spent": spent, "accuracy": value})


def planned(task, amount, curve, uniform):
    """Return a plan of a network that gets 90 % right unchanged and 20 % by chance."""
    network = tiny_network()
    plan = made_up_plan(network, {layer.name: amount for layer in network.layers}, task)
    unchanged = Interval(value=0.9, low=None, high=None)
    measured = {"curve": curve, "uniform": uniform, "unchanged": unchanged, "chance": 0.2}
    return plan.model_copy(update={"measured": plan.measured.model_copy(update=measured)})


@pytest.mark.parametrize(
    ("task", "remedy"),
    [
        ("protect", "rate 0.01 is too severe for this network: --cost 20 in place of --level finds a milder one, or give a larger --budget."),
        ("quantize", "give more bits: --cost 20 in place of --budget finds as many as cost all layers alike 20 points."),
        ("prune", "prune less: --cost 20 in place of --budget finds the share that costs all layers alike 20 points."),
    ],
)  # fmt: skip
def test_chance_is_named_with_what_to_do(task, remedy):
    amount, ends = {"protect": (1.0, (1.0, 0.0)), "quantize": (2.0, (8.0, 2.0)), "prune": (0.5, (0.0, 0.95))}[task]
    uniform = [point(ends[0], 0.9), point(ends[1], 0.0)]
    start = "Every allocation leaves accuracy at chance, 20.0 % (always answering the largest class): "
    assert advice(planned(task, amount, [point(0.4, 0.21)], uniform)) == start + remedy
    assert advice(planned(task, amount, [point(0.4, 0.3)], uniform)) is None
    spared_first = [point(ends[0], 0.9), point(0.4, 0.1)]
    assert advice(planned(task, amount, spared_first, uniform)) == start + remedy, "what is spared everywhere is no plan"
    assert advice(planned(task, amount, spared_first[:1], uniform)) is None, "no allocation was tried"


@pytest.mark.parametrize(
    ("task", "remedy"),
    [
        ("protect", "ask for a rate that costs the unprotected network something: --cost 20 in place of --level."),
        ("quantize", "offer fewer bits by --level."),
        ("prune", "offer larger shares by --level."),
    ],
)
def test_levels_that_cost_nothing_are_named_with_what_to_do(task, remedy):
    amount = {"protect": 1.0, "quantize": 2.0, "prune": 0.5}[task]
    found = advice(planned(task, amount, [point(0.4, 0.9)], [point(1.0, 0.9), point(0.0, 0.9)]))
    assert (
        found
        == f"Even the tightest choice everywhere lost nothing that these examples show: these levels tell no layers apart; {remedy}"
    )


@pytest.mark.parametrize(
    ("task", "amount", "spent", "told"),
    [
        ("quantize", 8.0, 8.0, "8 bits for every layer, may lose 2.31 points. --max-drop 2.4 would be met; more evaluation examples"),
        ("protect", 1.0, 1.0, "all protected, may lose 2.31 points. --max-drop 2.4 would be met; more draws (--draws)"),
        ("prune", 0.0, 0.0, "nothing pruned, may lose 2.31 points. --max-drop 2.4 would be met; more evaluation examples"),
    ],
)  # fmt: skip
def test_the_drop_that_would_be_met_is_told(task, amount, spent, told):
    drop = Interval(value=0.0, low=-0.0231, high=0.0231)
    generous = point(spent, 0.9).model_copy(update={"drop": drop})
    plan = planned(task, amount, [generous], [point(spent, 0.9), point(0.5, 0.2)])
    unmet = plan.model_copy(update={"met": False, "max_drop": 0.005})
    start = "Not met: no point keeps to --max-drop 0.5 with 95 % confidence. The most generous choice, "
    assert advice(unmet) == f"{start}{told} narrow the interval."


def test_a_budget_into_which_no_layer_fits_is_told_with_the_smallest():
    plan = planned("protect", 0.0, [point(0.0, 0.5)], [point(1.0, 0.9), point(0.0, 0.5)])
    small = plan.measured.model_copy(update={"plan": POINT.model_copy(update={"budget": 0.01})})
    sizes = {layer.name: layer.shape for layer in plan.layers}
    name = min(sizes, key=lambda each: prod(sizes[each]))
    share = prod(sizes[name]) / sum(map(prod, sizes.values()))
    assert advice(plan.model_copy(update={"measured": small})) == (
        f"Nothing is protected: no layer fits into --budget 0.01. The smallest, {name!r}, has {share:.2g} of the weights; "
        f"give --budget {ceil(1000 * share) / 1000:g} or more."
    )
    large = plan.measured.model_copy(update={"plan": POINT.model_copy(update={"budget": 0.9})})
    assert advice(plan.model_copy(update={"measured": large})) is None, "it fits, and was not worth it"


def uniform_beside(task, max_drop, spent, uniform):
    plan = planned(task, {"quantize": 4.0, "prune": 0.5}[task], [], uniform)
    point_of_plan = point(spent, 0.8).model_copy(update={"budget": spent, "drop": Interval(value=0.1, low=0.0, high=0.1)})
    measured = plan.measured.model_copy(update={"plan": point_of_plan})
    return plan.model_copy(update={"measured": measured, "max_drop": max_drop, "met": None if max_drop is None else True})


def losing(spent, lost):
    return point(spent, 0.9 - lost).model_copy(update={"drop": Interval(value=lost, low=lost, high=lost)})


def test_the_same_choice_for_all_that_keeps_more_within_the_budget_is_told():
    bits = [losing(8.0, 0.0), losing(4.0, 0.02), losing(2.0, 0.5)]
    told = uniform_that_is_better(uniform_beside("quantize", None, 4.5, bits))
    assert told == "4 for all layers fits the budget too, and keeps 88.0 % of these examples."
    assert uniform_that_is_better(uniform_beside("quantize", None, 3.5, bits)) is None, "4 bits do not fit"
    pruned = [losing(0.0, 0.0), losing(0.5, 0.02), losing(0.9, 0.5)]
    told = uniform_that_is_better(uniform_beside("prune", None, 0.4, pruned))
    assert told == "0.5 for all layers fits the budget too, and keeps 88.0 % of these examples."
    assert uniform_that_is_better(uniform_beside("prune", None, 0.7, pruned)) is None, "too little is pruned"


def test_the_same_choice_for_all_that_keeps_to_the_drop_and_is_tighter_is_told():
    bits = [losing(8.0, 0.0), losing(4.0, 0.02), losing(3.0, 0.04), losing(2.0, 0.5)]
    told = uniform_that_is_better(uniform_beside("quantize", 0.05, 7.0, bits))
    assert told == "3 for all layers seems to keep to it too; --budget 3 judges a plan that spends as much."
    assert uniform_that_is_better(uniform_beside("quantize", 0.05, 2.5, bits)) is None, "the plan is tighter"


def test_a_budget_that_was_judged_and_lost_too_much_is_not_named_again():
    plan = uniform_beside("quantize", 0.05, 8.0, [losing(8.0, 0.0), losing(7.0, 0.02), losing(6.0, 0.5)])
    assert "--budget 7" in uniform_that_is_better(plan)
    refused = losing(6.9, 0.06).model_copy(update={"budget": 7.0})
    judged = plan.measured.model_copy(update={"curve": [losing(8.0, 0.0), refused]})
    assert uniform_that_is_better(plan.model_copy(update={"measured": judged})) is None


def test_draws_that_would_tell_what_a_protection_plan_loses_are_named():
    def losing_between(low, high, task="protect"):
        plan = planned(task, 1.0 if task == "protect" else 4.0, [point(0.4, 0.7)], [point(1.0, 0.9), point(0.0, 0.3)])
        of_plan = POINT.model_copy(update={"budget": 0.9, "drop": Interval(value=0.2, low=low, high=high)})
        return plan.model_copy(update={"measured": plan.measured.model_copy(update={"plan": of_plan, "draws": 10})})

    assert advice(losing_between(-0.03, 0.87)) == (
        "10 draws leave 90 points between the ends of what the plan may lose; --draws 210 would leave about 20."
    )
    assert advice(losing_between(0.1, 0.29)) is None
    assert advice(losing_between(-0.03, 0.87, "quantize")) is None, "nothing is drawn"
