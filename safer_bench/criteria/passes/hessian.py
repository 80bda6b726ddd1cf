"""Second derivatives of the mean loss by layer: products with vectors, the diagonal, the largest eigenvalue of a block."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from safer_bench.criteria.passes.gradients import mean_gradients
from safer_bench.criteria.passes.layers import Batches, count_answers, layer_weights
from safer_bench.criteria.passes.shared import shared
from safer_bench.stream import Stream

Vectors = dict[str, Tensor]  # layer -> shaped as its weight
TWICE_DIFFERENTIABLE = SDPBackend.MATH  # fused attention has no second derivative
DRAWS = 16  # of Hutchinson's estimator
MOST_STEPS, TOLERANCE = 30, 1e-3  # of Lanczos: residual relative to the eigenvalue, whose own error is about its square


def _gradient_graph(weights: list[nn.Parameter], model: nn.Module, batch: tuple[Tensor, Tensor], n: int) -> list[Tensor]:
    """Return a batch's part of the mean loss's gradients, themselves differentiable."""
    loss = F.cross_entropy(model(batch[0]), batch[1], reduction="sum") / n
    gradients = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True)
    return [torch.zeros_like(w) if g is None else g for w, g in zip(weights, gradients, strict=True)]


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
            gradients = _gradient_graph(parameters, model, batch, count_answers(batches))
            for total, vector in zip(totals, vectors, strict=True):
                products = _product(gradients, parameters, [vector[name] for name in weights])
                for name, product in zip(weights, products, strict=True):
                    total[name] += product.double()
    return totals


@shared
def gradient_product(model: nn.Module, batches: Batches) -> Vectors:
    """Return H g, g the gradient of the mean loss in all layers' weights; float64."""
    return hessian_products(model, batches, [mean_gradients(model, batches)])[0]


def sign_vectors(weights: dict[str, nn.Parameter], draw: int) -> Vectors:
    """Return random signs for every layer; equal draws give equal signs, whatever the batches are."""
    return {
        name: torch.from_numpy(Stream("hutchinson", name, draw).signs(tuple(weight.shape))).to(weight)
        for name, weight in weights.items()
    }


@shared
def hessian_diagonal(model: nn.Module, batches: Batches) -> Vectors:
    """Return Hutchinson's estimate of the diagonal of the Hessian: the mean of v * H v over random signs v; float64.

    One product serves all layers: what v brings in from other layers has mean zero. Its sum over a layer estimates the
    trace of the layer's block. Source: Bekas et al. 2007, Applied Numerical Mathematics 57; HAWQ-V2, arXiv 1911.03852.

    Sums of it are unbiased. Its norm and its largest entries are not: single entries are noisy, and noise enlarges both.
    """
    weights = layer_weights(model, batches)
    vectors = [sign_vectors(weights, draw) for draw in range(DRAWS)]
    products = hessian_products(model, batches, vectors)
    return {
        name: sum((v[name].double() * h[name] for v, h in zip(vectors, products, strict=True)), torch.zeros(())) / DRAWS
        for name in weights
    }


@shared
def largest_eigenvalues(model: nn.Module, batches: Batches) -> dict[str, float]:
    """Return the largest eigenvalue of every layer's block of the Hessian, by Lanczos, 30 steps at most."""
    weights = layer_weights(model, batches)
    with sdpa_kernel(TWICE_DIFFERENTIABLE):  # one graph a batch serves all layers and steps
        n = count_answers(batches)
        graphs = [_gradient_graph(list(weights.values()), model, batch, n) for batch in batches]
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
