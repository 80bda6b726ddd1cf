"""NNCF: keyword arguments of its ``compress_weights``, as JSON: one call for each number of bits, one after the other.

Checked with nncf 3.4, whose torch backend names a node by its module and its function: ``layer1/0/conv1/conv2d/0``.
"""

import json
import re
from collections import defaultdict
from collections.abc import Sequence

from safer_bench.budget.plans.exports.exporter import Exporter, Given
from safer_bench.budget.plans.plan import Plan, PlannedLayer

BITS = {"Conv1d": (8,), "Conv2d": (8,), "Conv3d": (8,), "Linear": (4, 8)}
OF_FOUR = {"group_size": -1, "ratio": 1.0, "all_layers": True}  # one scale a channel, for every layer that is not ignored


def offers(layer: PlannedLayer) -> Sequence[int]:
    """Return 8 bits, and 4 for a linear layer: convolutions get 8 whatever the mode."""
    return BITS.get(layer.kind, ())


def write(_: Plan, layers: Sequence[Given]) -> str:
    """Return the JSON: a list of calls. Of each, every function is ignored but those of its layers."""
    modules: dict[int, list[str]] = defaultdict(list)
    for each in layers:
        modules[each.bits].append(re.escape(each.module.replace(".", "/")))
    calls = [
        {
            "mode": f"int{bits}_sym",
            "ignored_scope": {"patterns": [f"^(?!(?:{'|'.join(modules[bits])})/[^/]+/[0-9]+$).*/[0-9]+$"]},
            **(OF_FOUR if bits == 4 else {}),
        }
        for bits in sorted(modules)
    ]
    return json.dumps(calls, indent=1) + "\n"


NNCF = Exporter("nncf", offers, write, per_tensor=False)
