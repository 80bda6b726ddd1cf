"""How far a perturbation of one layer moves outputs: the network's, or the layer's own."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from safer_bench.criteria.criterion import Scores, criterion
from safer_bench.criteria.passes.activations import Application, laid_out_as, loss_gradients, run_recorded, total_by_layer
from safer_bench.criteria.passes.changes import LARGEST, Compare, ComparesLogits, finite, perturbed_weights
from safer_bench.criteria.passes.layers import Batches, Perturb, count_examples, layer_weights, of_answers, used_layers
from safer_bench.criteria.passes.shared import shared, spend

EXAMPLES = 128  # a pass for each layer and level, or activations kept for all levels
KEPT_BYTES = 1 << 30  # of inputs, outputs and gradients
Recorded = tuple[Application, Tensor]  # and the gradient at its output, shaped as it; 1 where none is asked for
MOST_NATS = 16.0  # of one example: where the measured loss is clipped as well


def _mean_over_answers(distances: Callable[[Tensor], Tensor], batches: Batches) -> Compare:
    """Return a comparison: the mean over answers of the distances ``(n, ...)`` that logits have, taken in float64."""
    return lambda logits: float(of_answers(distances(logits.double()), batches).mean())


@criterion(
    needs="data",
    formula="mean (z' - z)^2 of the logits z",
    source="Pandey et al. 2023, arXiv 2302.05397, as an error instead of a ratio",
    aware=True,
    examples=EXAMPLES,
    cost="N*(1 + L)",
)
@ComparesLogits
def output_mse(clean: Tensor, batches: Batches) -> Compare:
    """Mean squared change of the network's logits when the layer is perturbed."""
    z = clean.double()
    return _mean_over_answers(lambda changed: (finite(changed) - z).square().mean(1), batches)


@criterion(
    needs="data",
    formula="KL(p, p') of the softmax outputs p, at most 16 nats an example",
    source="Cai et al. 2020, arXiv 2001.00281 (ZeroQ)",
    aware=True,
    examples=EXAMPLES,
    cost="N*(1 + L)",
)
@ComparesLogits
def output_kl(clean: Tensor, batches: Batches) -> Compare:
    """Mean Kullback-Leibler divergence from the clean answers to those with the layer perturbed."""
    log_p = clean.double().log_softmax(1)
    p = log_p.exp()

    def divergence(changed: Tensor) -> Tensor:
        return torch.nan_to_num((p * (log_p - changed.log_softmax(1))).sum(1), nan=MOST_NATS).clamp(0.0, MOST_NATS)

    return _mean_over_answers(divergence, batches)


@criterion(
    needs="data",
    formula="(KL(p, m) + KL(p', m)) / 2, m = (p + p')/2, ln 2 where an answer is no number",
    source="Lin 1991, IEEE Transactions on Information Theory 37, in place of ZeroQ's divergence",
    aware=True,
    examples=EXAMPLES,
    cost="N*(1 + L)",
)
@ComparesLogits
def output_jsd(clean: Tensor, batches: Batches) -> Compare:
    """Mean Jensen-Shannon divergence, in nats, between the clean answers and those with the layer perturbed."""
    p = clean.double().softmax(1)
    of_p = torch.xlogy(p, p)

    def divergence(changed: Tensor) -> Tensor:
        q = changed.softmax(1)
        m = (p + q) / 2
        both = (of_p - torch.xlogy(p, m) + torch.xlogy(q, q) - torch.xlogy(q, m)).sum(1) / 2
        return torch.nan_to_num(both, nan=float(torch.log(torch.tensor(2.0)))).clamp_min(0.0)

    return _mean_over_answers(divergence, batches)


@criterion(
    needs="data",
    formula="mean (y' - y)^2 of the layer's output y, its input unchanged",
    source="Nagel et al. 2020, arXiv 2004.10568 (AdaRound), without the activation",
    aware=True,
    examples=EXAMPLES,
    cost="2*N",
)
def layer_output_mse(model: nn.Module, batches: Batches, perturb: Perturb, level: float) -> Scores:
    """Mean squared change of the layer's own output."""
    changed = _runnable(model, batches, perturb, level)
    sizes, sums = dict.fromkeys(changed, 0), dict.fromkeys(changed, 0.0)
    for application, _ in _each_level(_outputs, model, batches):
        change = _change(application, changed)
        sums[application.layer] += float(change.square().sum())
        sizes[application.layer] += change.numel()
    return {name: sums[name] / sizes[name] for name in sums}


@criterion(
    needs="labels, gradients",
    formula="(1/N) sum_i sum (dL_i/dy_i * (y_i' - y_i))^2",
    source="Li et al. 2021, arXiv 2102.05426 (BRECQ), at the layer's output",
    aware=True,
    examples=EXAMPLES,
    cost="4*N",
)
def output_fisher(model: nn.Module, batches: Batches, perturb: Perturb, level: float) -> Scores:
    """Squared change of the layer's output, weighed by the diagonal Fisher matrix of the output."""
    changed = _runnable(model, batches, perturb, level)
    n_examples = count_examples(batches)

    def parts() -> Iterator[tuple[str, float]]:
        for application, gradient in _each_level(_gradients, model, batches):
            weighed = gradient.double() * _change(application, changed)
            yield application.layer, float(weighed.square().sum()) / n_examples

    return total_by_layer(used_layers(model, batches), parts())


def _change(application: Application, changed: Mapping[str, Tensor]) -> Tensor:
    """Return what an output changes by when its layer's weight is replaced; float64, in the shape of y."""
    with torch.no_grad():
        return finite(application.run(application.x, changed[application.layer])) - application.y.double()


def _outputs(model: nn.Module, batches: Batches) -> Iterator[Recorded]:
    """Yield every application of a weight in passes over the examples."""
    for images, _ in batches:
        with torch.no_grad():
            applications = run_recorded(model, batches, images)[1]
        yield from ((application, torch.ones(())) for application in applications)


def _gradients(model: nn.Module, batches: Batches) -> Iterator[Recorded]:
    """Yield them with the gradient of each example's loss at the output."""
    for batch in loss_gradients(model, batches):
        yield from ((replace(each, x=each.x.detach(), y=each.y.detach()), gradient) for each, gradient in batch)


def _each_level(
    make: Callable[[nn.Module, Batches], Iterator[Recorded]], model: nn.Module, batches: Batches
) -> Iterable[Recorded]:
    """Return what passes over the examples give: kept from level to level where it fits into memory, else made again.

    Making it again is billed again: such a network costs more.
    """
    spend(count_examples(batches))  # each layer is run once more
    kept = _kept(model, batches, make)
    return make(model, batches) if kept is None else kept


@shared
def _kept(
    model: nn.Module, batches: Batches, make: Callable[[nn.Module, Batches], Iterator[Recorded]]
) -> list[Recorded] | None:
    recorded, size = [], 0
    for application, gradient in make(model, batches):
        recorded.append((application, gradient))
        size += application.x.nbytes + application.y.nbytes + gradient.nbytes
        if size > KEPT_BYTES:
            return None
    return recorded


def _runnable(model: nn.Module, batches: Batches, perturb: Perturb, level: float) -> dict[str, Tensor]:
    """Return finite perturbed weights in the layout of the originals."""
    perturbed = perturbed_weights(model, batches, perturb, level)
    weights = layer_weights(model, batches)
    return {name: laid_out_as(w, torch.nan_to_num(perturbed[name], nan=LARGEST)) for name, w in weights.items()}
