"""What to do where a plan tells nothing, protects nothing, or loses more than it may; pure."""

import math
from collections.abc import Callable
from operator import gt, lt

from safer_bench.budget.chance import all_at_chance, nothing_lost
from safer_bench.budget.plans.plan import Plan

TIGHTER: dict[str, Callable[[float, float], bool]] = {"quantize": lt, "prune": gt, "protect": lt}  # of two spendings
WIDE = 0.2  # accuracy between the ends of an interval that tells little


def advice(plan: Plan) -> str | None:
    """Return in a sentence or two what a plan does not tell or keep to, and what to do; None where all is well."""
    measured = plan.measured
    if plan.met is False:
        return _unmet(plan)
    if plan.task == "protect" and (said := _nothing_fits(plan)):
        return said
    if nothing_lost([measured.uniform[-1].accuracy.value], measured.unchanged.value):
        milder = {
            "protect": "ask for a rate that costs the unprotected network something: --cost 20 in place of --level",
            "quantize": "offer fewer bits by --level",
            "prune": "offer larger shares by --level",
        }
        nothing = "lost nothing that these examples show: these levels tell no layers apart"
        return f"Even the tightest choice everywhere {nothing}; {milder[plan.task]}."
    spent = [point for point in measured.curve if point.spent != measured.uniform[0].spent]
    left = [point.accuracy.value for point in spent]
    if left and all_at_chance(left, measured.unchanged.value, measured.chance):
        severe = {
            "protect": f"rate {plan.level or 0.0:g} is too severe for this network: --cost 20 in place of --level finds a "
            "milder one, or give a larger --budget",
            "quantize": "give more bits: --cost 20 in place of --budget finds as many as cost all layers alike 20 points",
            "prune": "prune less: --cost 20 in place of --budget finds the share that costs all layers alike 20 points",
        }
        chance = f"{100 * measured.chance:.1f} % (always answering the largest class)"
        return f"Every allocation leaves accuracy at chance, {chance}: {severe[plan.task]}."
    return _too_few_draws(plan) if plan.task == "protect" else None


def _too_few_draws(plan: Plan) -> str | None:
    """Return how many draws would tell what the plan loses; None where they do. An error falls with the root of draws."""
    draws, drop = plan.measured.draws, plan.measured.plan.drop
    if drop.low is None or drop.high is None or drop.high - drop.low <= WIDE:
        return None
    width = drop.high - drop.low
    enough = 10 * math.ceil(draws * (width / WIDE) ** 2 / 10)
    return (
        f"{draws} draws leave {100 * width:.0f} points between the ends of what the plan may lose; --draws {enough} would "
        f"leave about {100 * WIDE:g}."
    )


def _unmet(plan: Plan) -> str:
    """Return which drop would be kept to, where not even the most generous choice keeps to the one that was asked for."""
    generous = plan.measured.curve[0]
    allowed, most = 100 * (plan.max_drop or 0.0), 100 * (generous.drop.high or generous.drop.value)
    what = {"quantize": f"{generous.spent:g} bits for every layer", "prune": "nothing pruned", "protect": "all protected"}
    narrower = "draws (--draws)" if plan.task == "protect" else "evaluation examples"
    return (
        f"Not met: no point keeps to --max-drop {allowed:g} with 95 % confidence. The most generous choice, "
        f"{what[plan.task]}, may lose {most:.2f} points. --max-drop {math.ceil(10 * most) / 10:g} would be met; more "
        f"{narrower} narrow the interval."
    )


def _nothing_fits(plan: Plan) -> str | None:
    """Return that no layer fits into the budget; None where one is protected, or would fit."""
    sizes = {layer.name: math.prod(layer.shape) for layer in plan.layers}
    name = min(sizes, key=lambda each: sizes[each])
    share, budget = sizes[name] / sum(sizes.values()), plan.measured.plan.budget
    if any(plan.amounts.values()) or plan.max_drop is not None or share <= budget:
        return None
    return (
        f"Nothing is protected: no layer fits into --budget {budget:g}. The smallest, {name!r}, has {share:.2g} of the "
        f"weights; give --budget {math.ceil(1000 * share) / 1000:g} or more."
    )


def uniform_that_is_better(plan: Plan) -> str | None:
    """Return that the same choice for all layers fits into what was asked for and does better; None where none does.

    Of a budget that is one that keeps more within it; of a drop to keep to, one that keeps to it and is tighter. A budget
    that was judged and lost too much is not named again.
    """
    measured, is_tighter = plan.measured, TIGHTER[plan.task]
    if plan.max_drop is None:
        fitting = [each for each in measured.uniform if not is_tighter(measured.plan.budget, each.spent)]
        best = max(fitting, key=lambda each: each.accuracy.value, default=None)
        if best is None or best.accuracy.value <= measured.plan.accuracy.value or best.spent == measured.plan.spent:
            return None
        kept = f"{100 * best.accuracy.value:.1f} %"
        return f"{best.spent:g} for all layers fits the budget too, and keeps {kept} of these examples."
    keeps = [each for each in measured.uniform if each.drop.high is not None and each.drop.high <= plan.max_drop]
    failed = [each.budget for each in measured.curve if each.drop.high is None or each.drop.high > plan.max_drop]
    tighter = [
        each.spent
        for each in keeps
        if is_tighter(each.spent, measured.plan.spent) and not any(math.isclose(each.spent, budget) for budget in failed)
    ]
    if not tighter or not plan.met:
        return None
    tightest = next(spent for spent in tighter if not any(is_tighter(other, spent) for other in tighter))
    return f"{tightest:g} for all layers seems to keep to it too; --budget {tightest:g} judges a plan that spends as much."
