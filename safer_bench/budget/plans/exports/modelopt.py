"""NVIDIA ModelOpt: the dictionary that ``modelopt.torch.quantization.quantize`` takes, as JSON.

Checked with nvidia-modelopt 0.47.
"""

import json
from collections.abc import Sequence

from safer_bench.budget.plans.exports.exporter import PER_TENSOR, Exporter, Given
from safer_bench.budget.plans.plan import Plan, PlannedLayer

KINDS = ("Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "Linear")


def offers(layer: PlannedLayer) -> Sequence[int]:
    """Return 2 to 16 bits, simulated."""
    return range(2, 17) if layer.kind in KINDS else ()


def write(plan: Plan, layers: Sequence[Given]) -> str:
    """Return the JSON: every quantizer off, then that of each weight on. ``narrow_range`` makes its grid the plan's."""
    of_weights = [
        {
            "quantizer_name": f"{each.module}.weight_quantizer",
            "cfg": {
                "num_bits": each.bits,
                "axis": None if plan.perturbation == PER_TENSOR else each.layer.output_axis,
                "narrow_range": True,
            },
        }
        for each in layers
    ]
    off = {"quantizer_name": "*", "enable": False}
    return json.dumps({"quant_cfg": [off, *of_weights], "algorithm": "max"}, indent=1) + "\n"


MODELOPT = Exporter("modelopt", offers, write)
