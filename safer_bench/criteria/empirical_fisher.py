"""Curvature of the likelihood, from the labels."""

import torch
from torch import nn
from torch.nn import functional as F

from safer_bench.criteria.entry import Batches, Scores, criterion, layer_weights


@criterion(
    needs="gradients", formula="(1/N) sum_i norm2(g_i)^2", source="Kunstner et al. 2019, arXiv 1905.12558, equation 3"
)
def empirical_fisher(model: nn.Module, batches: Batches) -> Scores:
    """Trace of the empirical Fisher matrix: mean squared norm of each example's own gradient."""
    weights = layer_weights(model, batches)
    totals = dict.fromkeys(weights, 0.0)
    for images, labels in batches:
        for i in range(len(labels)):
            loss = F.cross_entropy(model(images[i : i + 1]), labels[i : i + 1])
            gradients = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
            for name, gradient in zip(weights, gradients, strict=True):
                totals[name] += 0.0 if gradient is None else float(gradient.double().square().sum())
    n_examples = sum(len(labels) for _, labels in batches)
    return {name: total / n_examples for name, total in totals.items()}
