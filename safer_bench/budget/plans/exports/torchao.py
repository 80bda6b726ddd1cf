"""torchao: the JSON of an ``FqnToConfig``, which its ``config_from_dict`` reads and ``quantize_`` takes.

Checked with torchao 0.18.
"""

import json
from collections.abc import Sequence

from safer_bench.budget.plans.exports.exporter import Exporter, Given
from safer_bench.budget.plans.plan import Plan, PlannedLayer

KINDS = ("Conv2d", "Linear")  # an embedding would get a scale for each row, not for each output


def offers(layer: PlannedLayer) -> Sequence[int]:
    """Return int2 to int8. It cannot scale a convolution of one input channel a group."""
    one_channel = layer.kind == "Conv2d" and layer.shape[1] == 1
    return range(2, 9) if layer.kind in KINDS and layer.output_axis == 0 and not one_channel else ()


def write(_: Plan, layers: Sequence[Given]) -> str:
    """Return the JSON: an ``IntxWeightOnlyConfig`` for each weight, by its name in ``named_parameters()``.

    ``SYMMETRIC_NO_CLIPPING_ERR`` has the plan's grid where a channel's largest weight is positive, and a finer one where it
    is negative, whose code may then be -2^(bits-1).
    """
    of_weights = {each.layer.parameter: _config(each.bits) for each in layers}
    return json.dumps(_typed("FqnToConfig", {"fqn_to_config": of_weights}, version=1), indent=1) + "\n"


def _config(bits: int) -> dict[str, object]:
    return _typed(
        "IntxWeightOnlyConfig",
        {
            "weight_dtype": {"_type": "torch.dtype", "_data": f"int{bits}"},
            "granularity": _typed("PerAxis", {"axis": 0}, version=1),
            "mapping_type": {"_type": "MappingType", "_data": "SYMMETRIC_NO_CLIPPING_ERR"},
        },
        version=2,
    )


def _typed(name: str, data: dict[str, object], version: int) -> dict[str, object]:
    return {"_type": name, "_version": version, "_data": data}


TORCHAO = Exporter("torchao", offers, write, per_tensor=False, unties=True)
