"""What to do where a plan tells nothing: every allocation leaves chance, or the tightest loses nothing; pure."""

from safer_bench.budget.chance import all_at_chance, nothing_lost
from safer_bench.budget.plans.plan import Plan


def advice(plan: Plan) -> str | None:
    """Return in a sentence what a plan does not tell, and what to do; None where it tells layers apart."""
    measured = plan.measured
    if nothing_lost([measured.uniform[-1].accuracy.value], measured.unchanged.value):
        milder = {
            "protect": "ask for a rate that costs the unprotected network something: --cost 20 in place of --level",
            "quantize": "offer fewer bits by --level",
            "prune": "offer larger shares by --level",
        }
        return f"Even the tightest choice everywhere lost nothing: these levels tell no layers apart; {milder[plan.task]}."
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
    return None
