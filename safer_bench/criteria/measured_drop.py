"""Controls: measuring itself, on few examples. A criterion is useful only if it beats measuring at equal cost."""

import torch
from torch import Tensor

from safer_bench.criteria.criterion import criterion
from safer_bench.criteria.passes.changes import Compare, ComparesLogits
from safer_bench.criteria.passes.layers import Batches, count_answers


@ComparesLogits
def _measured_drop(clean: Tensor, batches: Batches) -> Compare:
    """Accuracy lost when a layer is perturbed once; logits that are not finite are wrong."""
    labels, n_answers = torch.cat([labels for _, labels in batches]), count_answers(batches)

    def n_right(logits: Tensor) -> int:  # a label that is not counted is no class
        largest, classes = logits.max(1)  # the first of equals; not a number where one is none
        return int(((classes == labels) & largest.isfinite() & logits.amin(1).isfinite()).sum())

    right = n_right(clean)
    return lambda logits: (right - n_right(logits)) / n_answers


MEASURED_DROPS = tuple(
    criterion(
        name=f"measured_drop_{examples}",
        needs="measurement",
        # "probe examples" is what calibration examples were called: formulas stand in the published table of criteria
        formula=f"accuracy drop on {examples} probe examples, one draw, float32",
        source="control; Yvinec et al. 2023, arXiv 2308.04753",
        aware=True,
        examples=examples,
        cost="N*(1 + L)",
        description=f"Accuracy lost on {examples} calibration examples when the layer is perturbed once.",
    )(_measured_drop)
    for examples in (32, 128, 512)
)
