"""The plan itself, as ``safer-bench plan`` writes it: for tools that nobody wrote an export to."""

from safer_bench.budget.plans.exports.exporter import Exporter
from safer_bench.budget.plans.plan import write_text

JSON = Exporter(
    "json",
    offers=lambda layer: (int(layer.amount),),
    write=lambda plan, _: write_text(plan),
    tasks=("quantize", "prune", "protect"),
)
