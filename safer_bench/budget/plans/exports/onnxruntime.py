"""ONNX Runtime: keyword arguments of its ``quantize_static``, as JSON; each ``QuantType`` stands by its name.

Checked with onnxruntime 1.32.
"""

import json
from collections.abc import Sequence

from safer_bench.budget.plans.exports.exporter import PER_TENSOR, Exporter, Given
from safer_bench.budget.plans.plan import Plan, PlannedLayer

TYPES = {4: "QInt4", 8: "QInt8", 16: "QInt16"}
OPERATORS = ("Conv", "Gemm", "MatMul")  # what KINDS become
KINDS = ("Conv1d", "Conv2d", "Conv3d", "Linear")


def offers(layer: PlannedLayer) -> Sequence[int]:
    """Return 4, 8 and 16 bits."""
    return tuple(TYPES) if layer.kind in KINDS else ()


def write(plan: Plan, layers: Sequence[Given]) -> str:
    """Return the JSON: a type for each weight by the name of its initializer, which ``torch.onnx.export`` keeps.

    Of a tied weight it keeps the last name.

    Activations have 16 bits, as quantize_static leaves none in float, and biases stay: the scale of their integers would
    change that of the weights.
    """
    axis = {} if plan.perturbation == PER_TENSOR else {"axis": 0}
    last = {each.layer.name: each for each in layers}.values()
    overrides = {each.layer.parameter: [{"quant_type": TYPES[each.bits], "symmetric": True, **axis}] for each in last}
    arguments = {
        "op_types_to_quantize": OPERATORS,
        "per_channel": bool(axis),
        "weight_type": "QInt8",
        "activation_type": "QInt16",
        "extra_options": {
            "WeightSymmetric": True,
            "MatMulConstBOnly": True,
            "QuantizeBias": False,
            "TensorQuantOverrides": overrides,
        },
    }
    return json.dumps(arguments, indent=1) + "\n"


ONNXRUNTIME = Exporter("onnxruntime", offers, write)
