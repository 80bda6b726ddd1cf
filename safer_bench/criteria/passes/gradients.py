"""First derivatives of the loss by layer: mean gradients, squared gradients of single examples, integrated gradients."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from safer_bench.criteria.passes.layers import (
    Batches,
    count_answers,
    count_examples,
    layer_weights,
    losses_of_examples,
    used_layers,
)
from safer_bench.criteria.passes.shared import shared
from safer_bench.errors import BadInput
from safer_bench.networks.examples import NOT_COUNTED

NODES = 16  # Gauss-Legendre nodes of the path integral
MOST_TERMS = 4096  # classes x answers of an example, a backward pass each


@shared
def mean_gradients(model: nn.Module, batches: Batches) -> dict[str, Tensor]:
    """Return the gradient of the mean cross-entropy over all answers with respect to each layer's weight."""
    weights = layer_weights(model, batches)
    n_answers = count_answers(batches)
    totals = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for images, labels in batches:
        loss = F.cross_entropy(model(images), labels, reduction="sum") / n_answers
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
            loss = losses_of_examples(model(images[i : i + 1]), labels[i : i + 1]).sum()
            gradients = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
            for total, gradient in zip(totals.values(), gradients, strict=True):
                if gradient is not None:
                    total += gradient.double().square()
    return {name: total / count_examples(batches) for name, total in totals.items()}


@shared
def true_fisher_diagonal(model: nn.Module, batches: Batches) -> dict[str, Tensor]:
    """Return the mean over answers of sum_c p_c (d log p_c / d W)^2, float64, shaped as the weights.

    It is the diagonal of the Fisher matrix with the expectation over the model's own answers taken exactly, and for
    softmax and cross-entropy that of the generalised Gauss-Newton matrix.

    Raises:
        BadInput: an example has so many classes and answers that their passes would take days.
    """
    weights = layer_weights(model, batches)
    totals = {name: torch.zeros_like(weight, dtype=torch.float64) for name, weight in weights.items()}
    for images, labels in batches:
        for i in range(len(labels)):
            log_p = model(images[i : i + 1]).log_softmax(1)[0]
            terms = log_p if log_p.ndim == 1 else log_p[:, labels[i] != NOT_COUNTED].flatten()
            if len(terms) > MOST_TERMS:
                raise BadInput(
                    f"the Fisher matrix of the model's own answers takes a backward pass for each class of each answer, "
                    f"{len(terms):,} an example (at most {MOST_TERMS:,} are made); criteria of the empirical one take one"
                )
            for c, term in enumerate(terms, 1):
                last = c == len(terms)
                gradients = torch.autograd.grad(term, list(weights.values()), retain_graph=not last, allow_unused=True)
                p = float(term.detach().exp())
                for total, gradient in zip(totals.values(), gradients, strict=True):
                    if gradient is not None:
                        total += p * gradient.double().square()
    return {name: total / count_answers(batches) for name, total in totals.items()}


@shared
def integrated_gradients(model: nn.Module, batches: Batches) -> dict[str, Tensor]:
    """Return W times the integral over alpha from 0 to 1 of the mean loss's gradient at alpha*W, float64.

    All layers' weights are scaled together, biases and norms stay. Over all layers the entries add up to the loss at W
    minus the loss at 0, as far as 16 nodes resolve the path.
    """
    names = {layer.name: layer.parameter for layer in used_layers(model, batches)}
    weights = {name: weight.detach() for name, weight in layer_weights(model, batches).items()}
    n_answers = count_answers(batches)
    totals = {name: torch.zeros_like(weight, dtype=torch.float64) for name, weight in weights.items()}
    for node, share in zip(*np.polynomial.legendre.leggauss(NODES), strict=True):
        scaled = {names[name]: ((node + 1) / 2 * weight).requires_grad_(True) for name, weight in weights.items()}
        for images, labels in batches:
            loss = F.cross_entropy(functional_call(model, scaled, (images,)), labels, reduction="sum") / n_answers
            gradients = torch.autograd.grad(loss, list(scaled.values()), allow_unused=True)
            for total, gradient in zip(totals.values(), gradients, strict=True):
                if gradient is not None:
                    total += share / 2 * gradient.double()
    return {name: weights[name].double() * total for name, total in totals.items()}
