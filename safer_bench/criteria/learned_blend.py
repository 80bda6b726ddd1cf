"""A blend of cheap criteria and layer facts, learnt from the truth of validation networks.

Its coefficients, and what they were learnt from, lie in ``learned_blend.json``, which ``make blend`` writes; here is no way
to the truth.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from safer_bench.criteria.criterion import Scores, criterion
from safer_bench.criteria.loading import criteria
from safer_bench.criteria.passes.layers import Batches
from safer_bench.ranks import scaled_ranks, weighted_sum

LEARNT: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
COEFFICIENTS: dict[str, float] = LEARNT["coefficients"]
FAMILIES: dict[str, dict[str, str]] = LEARNT["networks"]  # network -> revision of what was measured of it, by family


@criterion(
    needs="labels, gradients",
    formula=" ".join(f"{value:+.2f}*rank({name})" for name, value in COEFFICIENTS.items()),
    source=f"ridge regression (Hoerl and Kennard 1970) on {sum(map(len, FAMILIES.values()))} validation networks of "
    f"{len(FAMILIES)} families",
    cost="at most 12*N",
)
def learned_blend(model: nn.Module, batches: Batches) -> Scores:
    """Weighted sum of the layers' ranks by cheaper criteria, with weights learnt on validation networks."""
    each = [criteria()[name](model, batches) for name in COEFFICIENTS]
    values = np.array([list(scores.values()) for scores in each])
    blended = weighted_sum(np.array(list(COEFFICIENTS.values())), scaled_ranks(values))
    return dict(zip(each[0], blended.tolist(), strict=True))
