"""Control: measuring itself, on few examples. A criterion is useful only if it beats measuring at equal cost."""

import torch
from torch import nn

from safer_bench.criteria.entry import Batches, Perturb, Scores, criterion, layer_weights


@torch.no_grad()
def _n_right(model: nn.Module, batches: Batches) -> int:
    return sum(int((model(images).argmax(1) == labels).sum()) for images, labels in batches)


@criterion(
    needs="measurement",
    formula="accuracy drop on 128 probe examples, one draw, float32",
    source="control; Yvinec et al. 2023, arXiv 2308.04753",
    aware=True,
    examples=128,
)
def measured_drop_128(model: nn.Module, batches: Batches, perturb: Perturb, level: float) -> Scores:
    """Accuracy lost on 128 probe examples when the layer is perturbed once."""
    clean, n_examples = _n_right(model, batches), sum(len(labels) for _, labels in batches)
    drops = {}
    for name, weight in layer_weights(model, batches).items():
        original = weight.detach().clone()
        with torch.no_grad():
            weight.copy_(torch.from_numpy(perturb(name, level)))
            drops[name] = (clean - _n_right(model, batches)) / n_examples
            weight.copy_(original)
    return drops
