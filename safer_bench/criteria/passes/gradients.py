"""First derivatives of the loss by layer: mean gradients, squared gradients of single examples, integrated gradients."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from safer_bench.criteria.passes.layers import Batches, count_examples, layer_weights, used_layers
from safer_bench.criteria.passes.shared import shared

NODES = 16  # Gauss-Legendre nodes of the path integral


@shared
def mean_gradients(model: nn.Module, batches: Batches) -> dict[str, Tensor]:
    """Return the gradient of the mean cross-entropy over all examples with respect to each layer's weight."""
    weights = layer_weights(model, batches)
    n_examples = count_examples(batches)
    totals = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for images, labels in batches:
        loss = F.cross_entropy(model(images), labels, reduction="sum") / n_examples
        gradients = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
        for name, gradient in zip(weights, gradients, strict=True):
            if gradient is not None:
                totals[name] += gradient
    return totals


@shared
def empirical_fisher_diagonal(model: nn.Module, batches: Batches) -> dict[str, Tensor]:
    """Return the mean over examples of the squared gradient of each one's own loss, float64, shaped as the weights."""
    weights = layer_weights(model, batches)
    totals = {name: torch.zeros_like(weight, dtype=torch.float64) for name, weight in weights.items()}
    for images, labels in batches:
        for i in range(len(labels)):
            loss = F.cross_entropy(model(images[i : i + 1]), labels[i : i + 1])
            gradients = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
            for total, gradient in zip(totals.values(), gradients, strict=True):
                if gradient is not None:
                    total += gradient.double().square()
    return {name: total / count_examples(batches) for name, total in totals.items()}


@shared
def true_fisher_diagonal(model: nn.Module, batches: Batches) -> dict[str, Tensor]:
    """Return the mean over examples of sum_c p_c (d log p_c / d W)^2, float64, shaped as the weights.

    It is the diagonal of the Fisher matrix with the expectation over the model's own answers taken exactly, and for
    softmax and cross-entropy that of the generalised Gauss-Newton matrix.
    """
    weights = layer_weights(model, batches)
    totals = {name: torch.zeros_like(weight, dtype=torch.float64) for name, weight in weights.items()}
    for images, _ in batches:
        for image in images.split(1):
            log_p = model(image).log_softmax(1)[0]
            for c in range(len(log_p)):
                last = c + 1 == len(log_p)
                gradients = torch.autograd.grad(log_p[c], list(weights.values()), retain_graph=not last, allow_unused=True)
                p = float(log_p[c].detach().exp())
                for total, gradient in zip(totals.values(), gradients, strict=True):
                    if gradient is not None:
                        total += p * gradient.double().square()
    return {name: total / count_examples(batches) for name, total in totals.items()}


@shared
def integrated_gradients(model: nn.Module, batches: Batches) -> dict[str, Tensor]:
    """Return W times the integral over alpha from 0 to 1 of the mean loss's gradient at alpha*W, float64.

    All layers' weights are scaled together, biases and norms stay. Over all layers the entries add up to the loss at W
    minus the loss at 0, as far as 16 nodes resolve the path.
    """
    names = {layer.name: layer.parameter for layer in used_layers(model, batches)}
    weights = {name: weight.detach() for name, weight in layer_weights(model, batches).items()}
    n_examples = count_examples(batches)
    totals = {name: torch.zeros_like(weight, dtype=torch.float64) for name, weight in weights.items()}
    for node, share in zip(*np.polynomial.legendre.leggauss(NODES), strict=True):
        scaled = {names[name]: ((node + 1) / 2 * weight).requires_grad_(True) for name, weight in weights.items()}
        for images, labels in batches:
            loss = F.cross_entropy(functional_call(model, scaled, (images,)), labels, reduction="sum") / n_examples
            gradients = torch.autograd.grad(loss, list(scaled.values()), allow_unused=True)
            for total, gradient in zip(totals.values(), gradients, strict=True):
                if gradient is not None:
                    total += share / 2 * gradient.double()
    return {name: weights[name].double() * total for name, total in totals.items()}
