"""Controls: measuring itself, on few examples. A criterion is useful only if it beats measuring at equal cost."""

import torch
from torch import nn

from safer_bench.criteria.criterion import Scores, criterion
from safer_bench.criteria.passes.changes import clean_logits, perturbed_logits
from safer_bench.criteria.passes.layers import Batches, Perturb, count_answers


def _measured_drop(model: nn.Module, batches: Batches, perturb: Perturb, level: float) -> Scores:
    """Return the accuracy lost when a layer is perturbed once; logits that are not finite are wrong."""
    labels = torch.cat([labels for _, labels in batches])

    def n_right(logits: torch.Tensor) -> int:  # a label that is not counted is no class
        return int(((logits.argmax(1) == labels) & logits.isfinite().all(1)).sum())

    clean = n_right(clean_logits(model, batches))
    perturbed = perturbed_logits(model, batches, perturb, level)
    return {name: (clean - n_right(logits)) / count_answers(batches) for name, logits in perturbed.items()}


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
