"""Attributions along a path from nothing: of the weights, or of the image."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from safer_bench.criteria.criterion import Scores, criterion
from safer_bench.criteria.passes.activations import total_by_layer, with_output_gradients
from safer_bench.criteria.passes.gradients import NODES, integrated_gradients
from safer_bench.criteria.passes.layers import Batches, count_examples, refuse_integers, used_layers
from safer_bench.networks.examples import NOT_COUNTED
from safer_bench.networks.inputs import parts_of, with_parts

STEPS = 16  # from zeros, the mean grey of standardised images, to the example


@criterion(
    needs="labels, gradients",
    formula="sum abs(W * integral of g(a*W) da, a from 0 to 1)",
    source="Sundararajan et al. 2017, arXiv 1703.01365, of weights as in Yvinec et al. 2022, arXiv 2207.04089",
    cost=f"{3 * NODES}*N",
)
def weight_integrated_gradients(model: nn.Module, batches: Batches) -> Scores:
    """Sum of the magnitudes of the weights' integrated gradients, all layers scaled together."""
    return {name: float(found.abs().sum()) for name, found in integrated_gradients(model, batches).items()}


@criterion(
    needs="labels, gradients",
    formula="(1/N) sum_i sum abs(sum_k dF/dy(a_k) * (y(a_(k+1)) - y(a_k))), a_k x the image, F the label's logit",
    source="Dhamdhere et al. 2018, arXiv 1805.12233, magnitudes summed: signed sums are the same for every layer",
    cost=f"{3 * (STEPS + 1)}*N",
)
def layer_conductance(model: nn.Module, batches: Batches) -> Scores:
    """How much of the label's logit flows through each of the layer's outputs as the image fades in from zeros.

    Zeros are the mean grey of standardised images, not black.

    Raises:
        BadInput: an input is no floating point number, and fades in from nothing.
    """
    refuse_integers(batches[0][0], "layer_conductance fades the input in from zeros")
    parts = (part for images, labels in batches for part in _conductances(model, batches, images, labels))
    totals = total_by_layer(used_layers(model, batches), parts)
    return {name: total / count_examples(batches) for name, total in totals.items()}


def _conductances(model: nn.Module, batches: Batches, images: Any, labels: Tensor) -> Iterator[tuple[str, float]]:
    """Yield for each use of a layer's weight the magnitudes of its outputs' conductances, summed over a batch."""

    def label_logits(logits: Tensor) -> Tensor:
        counts = labels != NOT_COUNTED
        return (logits.gather(1, labels.where(counts, 0)[:, None])[:, 0] * counts).sum()

    def faded(share: float) -> Any:
        return with_parts(images, [part * share for part in parts_of(images)])

    before = with_output_gradients(model, batches, faded(0.0), label_logits)
    totals = [torch.zeros_like(use.y, dtype=torch.float64) for use, _ in before]
    for step in range(1, STEPS + 1):
        after = with_output_gradients(model, batches, faded(step / STEPS), label_logits)
        for total, (old, gradient), (new, _) in zip(totals, before, after, strict=True):
            total += gradient.double() * (new.y.detach().double() - old.y.detach().double())
        before = after
    for total, (use, _) in zip(totals, before, strict=True):
        yield use.layer, float(total.abs().sum())
