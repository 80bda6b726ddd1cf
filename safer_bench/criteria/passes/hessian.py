"""Second derivatives of the mean loss by layer: products with vectors, the diagonal, the largest eigenvalue of a block."""

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from safer_bench.criteria.passes.gradients import mean_gradients
from safer_bench.criteria.passes.layers import Batches, count_answers, layer_weights
from safer_bench.criteria.passes.shared import shared, spend
from safer_bench.metrics import spearman
from safer_bench.networks.examples import NOT_COUNTED
from safer_bench.networks.inputs import joined
from safer_bench.stream import Stream

Vectors = dict[str, Tensor]  # layer -> shaped as its weight
TWICE_DIFFERENTIABLE = SDPBackend.MATH  # fused attention has no second derivative
PRODUCT = 6  # forward-equivalents of H v for one example
HALVES = 2  # independent estimates of the diagonal, whose mean is the result
ANSWER_DRAWS = 2  # random signs of an example's answers in each half
FIRST, MOST = 2, 16  # random sign vectors an example in each half, on average: at first and, by doubling, at most
AGREED = 0.98  # Spearman's correlation over layers with which the halves agree
PROBED = 8  # examples that tell in which weights the logits bend
DIAGONAL_COST = (
    f"at most N*(1 + {2 * HALVES * ANSWER_DRAWS}"
    f" + {3 * (MOST // FIRST).bit_length()} + {PRODUCT * HALVES}*{MOST + (MOST // FIRST).bit_length()})"
    f" + {PROBED}*(3 + {PRODUCT}*L)"
)
MOST_STEPS, TOLERANCE = 30, 1e-3  # of Lanczos: residual relative to the eigenvalue, whose own error is about its square


def _gradient_graph(weights: list[nn.Parameter], value: Tensor) -> list[Tensor]:
    """Return the gradients of a number, themselves differentiable."""
    gradients = torch.autograd.grad(value, weights, create_graph=True, allow_unused=True)
    return [torch.zeros_like(w) if g is None else g for w, g in zip(weights, gradients, strict=True)]


def _part_of_loss(model: nn.Module, batch: tuple[Tensor, Tensor], n: int) -> Tensor:
    """Return a batch's part of the mean loss over n answers."""
    return F.cross_entropy(model(batch[0]), batch[1], reduction="sum") / n


def _product(gradients: list[Tensor], weights: list[nn.Parameter], vectors: list[Tensor]) -> list[Tensor]:
    """Return the derivative of sum(gradients * vectors); gradients that are constant in the weights have none."""
    pairs = [(g, v) for g, v in zip(gradients, vectors, strict=True) if g.requires_grad]
    if not pairs:
        return [torch.zeros_like(w) for w in weights]
    outputs, along = zip(*pairs, strict=True)
    derivatives = torch.autograd.grad(outputs, weights, along, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(w) if h is None else h for w, h in zip(weights, derivatives, strict=True)]


def hessian_products(model: nn.Module, batches: Batches, vectors: list[Vectors]) -> list[Vectors]:
    """Return H v for each v, where H is the Hessian of the mean loss in all layers' weights together; float64.

    Args:
        model, batches: as criteria get them.
        vectors: float32, each with an entry for every layer.
    """
    weights = layer_weights(model, batches)
    parameters = list(weights.values())
    totals = [{name: torch.zeros_like(w, dtype=torch.float64) for name, w in weights.items()} for _ in vectors]
    with sdpa_kernel(TWICE_DIFFERENTIABLE):
        for batch in batches:
            gradients = _gradient_graph(parameters, _part_of_loss(model, batch, count_answers(batches)))
            for total, vector in zip(totals, vectors, strict=True):
                products = _product(gradients, parameters, [vector[name] for name in weights])
                for name, product in zip(weights, products, strict=True):
                    total[name] += product.double()
    return totals


@shared
def gradient_product(model: nn.Module, batches: Batches) -> Vectors:
    """Return H g, g the gradient of the mean loss in all layers' weights; float64."""
    return hessian_products(model, batches, [mean_gradients(model, batches)])[0]


def _signs(shape: Sequence[int], *key: object) -> Tensor:
    return torch.from_numpy(Stream("hutchinson", *key).signs(tuple(shape)))


def sign_vectors(weights: dict[str, nn.Parameter], *draw: object) -> Vectors:
    """Return random signs for every layer; equal draws give equal signs, whatever the batches are."""
    return {name: _signs(weight.shape, name, *draw).to(weight) for name, weight in weights.items()}


def _zeros(weights: dict[str, nn.Parameter]) -> list[Vectors]:
    """Return what a sum starts from, float64, for each half."""
    return [{name: torch.zeros_like(w, dtype=torch.float64) for name, w in weights.items()} for _ in range(HALVES)]


@shared
def hessian_diagonal(model: nn.Module, batches: Batches) -> Vectors:
    """Return an unbiased estimate of the diagonal of the Hessian by random signs; float64.

    H is the Gauss-Newton matrix, sum_i J_i' S_i J_i / n with J_i the logits' Jacobian and S_i = diag(p) - p p', and a
    remainder, the Hessian of the logits weighed by p - y. The first one's diagonal takes a backward pass for random signs
    of the answers, which no other layer disturbs. The remainder's, v * R v over random signs v of all weights, is noisy,
    since other layers add to it. But in weights where the logits are piecewise linear it is zero, and elsewhere few examples
    make most of it, those answered wrongly: an example has vectors in proportion to the norm of p - y. There are two
    halves, with vectors of their own: the number is doubled until they rank the layers alike, or up to 16 each.

    Its sum over a layer estimates the trace of the layer's block. Sums of it are unbiased but for when the doubling stops.
    Its norm and its largest entries are not: single entries are noisy, and noise enlarges both.

    Sources: Bekas et al. 2007, Applied Numerical Mathematics 57, and HAWQ-V2, arXiv 1911.03852 (random signs); Schraudolph
    2002, Neural Computation 14 (the two parts).
    """
    weights = layer_weights(model, batches)
    with sdpa_kernel(TWICE_DIFFERENTIABLE):
        gauss_newton, distances = _gauss_newton(model, batches, weights)
        bending = _bending(model, batches, weights)
        halves, remainder, taken = gauss_newton, _zeros(bending), 0
        while bending and taken < MOST and not (taken and _agree(halves, weights)):
            fresh = max(taken, FIRST)
            found = _remainder(model, batches, bending, _shares(distances, fresh), taken)
            remainder = [
                {name: (taken * old[name] + fresh * new[name]) / (taken + fresh) for name in bending}
                for old, new in zip(remainder, found, strict=True)
            ]
            taken += fresh
            halves = [
                {name: g + r[name] if name in r else g for name, g in first.items()}
                for first, r in zip(gauss_newton, remainder, strict=True)
            ]
    return {name: sum((half[name] for half in halves), torch.zeros(())) / HALVES for name in weights}


def _agree(halves: list[Vectors], weights: dict[str, nn.Parameter]) -> bool:
    """Return whether two estimates rank layers alike by trace, by mean curvature and by curvature times squared weight."""
    first, second = (np.array([_reduced(half[name], weight) for name, weight in weights.items()]).T for half in halves)
    return not bool((spearman(truth=first, scores=second) < AGREED).any())  # one layer has no ranking: nan


def _reduced(diagonal: Tensor, weight: nn.Parameter) -> tuple[float, float, float]:
    removed = (diagonal * weight.detach().double().square()).sum()
    return float(diagonal.sum()), float(diagonal.mean()), float(removed)


def _answer_gradients(logits: Tensor, labels: Tensor) -> Tensor:
    """Return p - y where an answer counts, else 0, as constants shaped as the logits ``(n, n_classes, ...)``."""
    leaf = logits.detach().requires_grad_(True)
    return torch.autograd.grad(F.cross_entropy(leaf, labels, reduction="sum"), leaf)[0]


def _gauss_newton(model: nn.Module, batches: Batches, weights: dict[str, nn.Parameter]) -> tuple[list[Vectors], list[float]]:
    """Return two estimates of the Gauss-Newton matrix's diagonal, and each example's norm of p - y.

    The squared derivative of sum(a * logits), with a = sum_c e_c sqrt(p_c) (unit_c - p) and e random signs, has the mean
    J' S J, as a a' has the mean S.
    """
    totals, distances, scale = _zeros(weights), [], ANSWER_DRAWS * count_answers(batches)
    for inputs, labels in batches:
        for i in range(len(labels)):
            logits, label = model(inputs[i : i + 1]), labels[i : i + 1]
            distances.append(float(_answer_gradients(logits, label).double().norm()))
            p = logits.detach().softmax(1)
            roots = p.sqrt() * (label != NOT_COUNTED).unsqueeze(1)
            for half, draw in product(range(HALVES), range(ANSWER_DRAWS)):
                signed = roots * _signs(p.shape[1:], half, draw).to(p)
                along = signed - p * signed.sum(1, keepdim=True)
                gradients = torch.autograd.grad(logits, list(weights.values()), along, retain_graph=True, allow_unused=True)
                for total, gradient in zip(totals[half].values(), gradients, strict=True):
                    if gradient is not None:
                        total += gradient.double().square().div_(scale)
    return totals, distances


def _bending(model: nn.Module, batches: Batches, weights: dict[str, nn.Parameter]) -> dict[str, nn.Parameter]:
    """Return the weights in each of which the logits are not piecewise linear, the others fixed.

    Found where a product with the block of a random sum of the logits' Hessians is not exactly zero.
    """
    inputs = batches[0][0][:PROBED]
    logits = model(inputs)
    gradients = _gradient_graph(list(weights.values()), (logits * _signs(logits.shape[1:], "logits").to(logits)).sum())
    vectors, found = sign_vectors(weights, "bending"), {}
    for gradient, (name, weight) in zip(gradients, weights.items(), strict=True):
        spend(PRODUCT * len(inputs))  # no second derivative of the logits: the meter does not see it
        if bool(_product([gradient], [weight], [vectors[name]])[0].any()):
            found[name] = weight
    return found


def _shares(distances: list[float], mean: int) -> list[int]:
    """Return a power of two for each example, in proportion to its distance, 1 at least and on average ``mean`` at most."""
    average = math.fsum(distances) / len(distances)
    return [2 ** int(math.log2(mean * d / average)) if mean * d > average else 1 for d in distances]


def _remainder(
    model: nn.Module, batches: Batches, weights: dict[str, nn.Parameter], shares: list[int], first: int
) -> list[Vectors]:
    """Return two estimates of the diagonal of the logits' Hessian weighed by p - y.

    Args:
        model, batches: as criteria get them.
        weights: those in which it is not zero.
        shares: number of sign vectors of each example, in each half.
        first: number of vectors that were taken before: others are drawn now.
    """
    totals, parameters = _zeros(weights), list(weights.values())
    for share, inputs, labels in _by_share(batches, shares):
        logits = model(inputs)
        value = (logits * _answer_gradients(logits, labels)).sum() / count_answers(batches)
        gradients = _gradient_graph(parameters, value)
        for half, draw in product(range(HALVES), range(share)):
            vectors = sign_vectors(weights, half, first, share, draw)
            spend(PRODUCT * len(labels))
            for name, image in zip(weights, _product(gradients, parameters, list(vectors.values())), strict=True):
                totals[half][name] += (vectors[name] * image).double() / share
    return totals


def _by_share(batches: Batches, shares: list[int]) -> Iterator[tuple[int, Any, Tensor]]:
    """Yield each share with batches of the examples that have it, of the given batches' size."""
    inputs, labels = joined([each for each, _ in batches]), torch.cat([each for _, each in batches])
    for share in sorted(set(shares)):
        rows = torch.tensor([i for i, s in enumerate(shares) if s == share], device=labels.device)
        for part in rows.split(len(batches[0][1])):
            yield share, inputs[part], labels[part]


@shared
def largest_eigenvalues(model: nn.Module, batches: Batches) -> dict[str, float]:
    """Return the largest eigenvalue of every layer's block of the Hessian, by Lanczos, 30 steps at most."""
    weights = layer_weights(model, batches)
    with sdpa_kernel(TWICE_DIFFERENTIABLE):  # one graph a batch serves all layers and steps
        n = count_answers(batches)
        graphs = [_gradient_graph(list(weights.values()), _part_of_loss(model, batch, n)) for batch in batches]
        return {
            name: _largest_eigenvalue([graph[i] for graph in graphs], weight, name)
            for i, (name, weight) in enumerate(weights.items())
        }


def _largest_eigenvalue(gradients: list[Tensor], weight: nn.Parameter, name: str) -> float:
    """Run Lanczos with full reorthogonalisation on a block.

    Args:
        gradients: one a batch, differentiable; the block is the derivative of their sum.
        weight: the layer's weight.
        name: names the random start.
    """
    start = torch.from_numpy(Stream("lanczos", name).normal((weight.numel(),)))
    basis = [start / start.norm()]
    diagonal: list[float] = []
    beside: list[float] = []
    for _ in range(min(MOST_STEPS, weight.numel())):
        vector = basis[-1].to(weight).reshape(weight.shape)
        image = sum((_product([g], [weight], [vector])[0].double() for g in gradients), torch.zeros(())).flatten().cpu()
        diagonal.append(float(image @ basis[-1]))
        eigenvalues, directions = np.linalg.eigh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
        for _ in range(2):  # twice is enough
            image = image - torch.stack(basis).T @ (torch.stack(basis) @ image)
        beside.append(float(image.norm()))
        if beside[-1] * abs(directions[-1, -1]) <= TOLERANCE * abs(eigenvalues[-1]):
            break
        basis.append(image / beside[-1])
    return float(eigenvalues[-1])
