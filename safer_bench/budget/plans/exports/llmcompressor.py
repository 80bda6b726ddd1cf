"""LLM Compressor: the YAML of a recipe, which its ``oneshot`` takes.

Checked with llmcompressor 0.14 and compressed-tensors 0.20.
"""

from collections import defaultdict
from collections.abc import Sequence

import yaml

from safer_bench.budget.plans.exports.exporter import PER_TENSOR, Exporter, Given
from safer_bench.budget.plans.plan import Plan, PlannedLayer


def offers(layer: PlannedLayer) -> Sequence[int]:
    """Return 2 to 8 bits for a linear layer: of others it writes no scheme down."""
    return range(2, 9) if layer.kind == "Linear" else ()


def write(plan: Plan, layers: Sequence[Given]) -> str:
    """Return the YAML: one group of modules for each number of bits, and by name what stays as it is."""
    groups: dict[int, list[str]] = defaultdict(list)
    for each in layers:
        groups[each.bits].append(each.module)
    modules = {each.module for each in layers}
    owners = (owner.module for layer in plan.layers for owner in layer.owners)
    modifier = {
        "config_groups": {
            f"bits_{bits}": {"targets": groups[bits], "weights": _weights(plan, bits)} for bits in sorted(groups)
        },
        "ignore": [owner for owner in owners if owner not in modules],
    }
    recipe = {"quantization_stage": {"quantization_modifiers": {"QuantizationModifier": modifier}}}
    return str(yaml.safe_dump(recipe, sort_keys=False))


def _weights(plan: Plan, bits: int) -> dict[str, object]:
    strategy = "tensor" if plan.perturbation == PER_TENSOR else "channel"
    return {"num_bits": bits, "type": "int", "symmetric": True, "strategy": strategy}


LLMCOMPRESSOR = Exporter("llmcompressor", offers, write)
