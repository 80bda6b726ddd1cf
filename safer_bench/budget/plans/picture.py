"""A plan as a picture: accuracy against what is spent, and what each layer gets."""

from typing import Any

from safer_bench.budget.plans.plan import Plan, Point
from safer_bench.budget.tasks import TASKS
from safer_bench.tables.pictures import encoded, new_figure

PLAN, UNIFORM, GREY = "#0072B2", "#999999", "0.5"  # Okabe and Ito 2008
GETS = {"quantize": "bits", "prune": "share pruned", "protect": "protected"}


def plan_png(plan: Plan) -> bytes:
    """Draw a plan."""
    figure, (left, right) = new_figure(9.6, max(3.2, 0.9 + 0.19 * len(plan.layers)), 1, 2)
    measured = plan.measured
    _curve(left, measured.uniform, UNIFORM, "v", "uniform")
    _curve(left, measured.curve, PLAN, "o", "plan")
    left.axhline(100 * measured.unchanged.value, color=GREY, lw=1, ls=":", label="unchanged")
    if plan.max_drop is not None:
        left.axhline(100 * (measured.unchanged.value - plan.max_drop), color="#D55E00", lw=1, ls="--", label="most to lose")
    if plan.task == "quantize":
        left.invert_xaxis()
    left.set_xlabel(f"{TASKS[plan.task].unit}, spent")
    left.set_ylabel("accuracy, %")
    left.set_title(f"{plan.network}: {measured.n_examples} examples that {plan.judges}", fontsize="medium")
    left.legend(frameon=False, fontsize="small")
    places = range(len(plan.layers))
    right.barh(places, [layer.amount for layer in plan.layers], color=PLAN)
    right.set_yticks(places, [layer.name for layer in plan.layers], fontsize="x-small")
    right.invert_yaxis()
    right.set_xlabel(GETS[plan.task])
    right.set_title("what each layer gets", fontsize="medium")
    return encoded(figure)


def _curve(axes: Any, points: list[Point], colour: str, marker: str, label: str) -> None:
    spent, middle = [point.spent for point in points], [100 * point.accuracy.value for point in points]
    widths = [
        [100 * (end if end is not None else point.accuracy.value) for point, end in zip(points, ends, strict=True)]
        for ends in ([point.accuracy.low for point in points], [point.accuracy.high for point in points])
    ]
    below = [value - low for value, low in zip(middle, widths[0], strict=True)]
    above = [high - value for value, high in zip(middle, widths[1], strict=True)]
    axes.errorbar(spent, middle, yerr=[below, above], color=colour, marker=marker, markersize=4, lw=1.2, label=label)
