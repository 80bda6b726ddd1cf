"""How far a perturbation of one layer moves outputs: the network's, or the layer's own."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from safer_bench.criteria.activations import laid_out_as, loss_gradients, run_recorded, total_by_layer
from safer_bench.criteria.changes import LARGEST, clean_logits, finite, perturbed_logits, perturbed_weights
from safer_bench.criteria.entry import Batches, Perturb, Scores, count_examples, criterion, layer_weights, used_layers
from safer_bench.criteria.shared import spend

EXAMPLES = 128  # a pass for each layer and level
MOST_NATS = 16.0  # of one example: where the measured loss is clipped as well


def _mean_over_examples(
    model: nn.Module, batches: Batches, perturb: Perturb, level: float, distance: Callable[[Tensor, Tensor], Tensor]
) -> Scores:
    """Return the mean of ``distance(clean logits, logits with the layer perturbed)``, float64 ``(n,)``."""
    clean = clean_logits(model, batches).double()
    perturbed = perturbed_logits(model, batches, perturb, level)
    return {name: float(distance(clean, logits.double()).mean()) for name, logits in perturbed.items()}


@criterion(
    needs="data",
    formula="mean (z' - z)^2 of the logits z",
    source="Pandey et al. 2023, arXiv 2302.05397, as an error instead of a ratio",
    aware=True,
    examples=EXAMPLES,
    cost="N*(1 + L)",
)
def output_mse(model: nn.Module, batches: Batches, perturb: Perturb, level: float) -> Scores:
    """Mean squared change of the network's logits when the layer is perturbed."""
    return _mean_over_examples(model, batches, perturb, level, lambda z, w: (finite(w) - z).square().mean(1))


@criterion(
    needs="data",
    formula="KL(p, p') of the softmax outputs p, at most 16 nats an example",
    source="Cai et al. 2020, arXiv 2001.00281 (ZeroQ)",
    aware=True,
    examples=EXAMPLES,
    cost="N*(1 + L)",
)
def output_kl(model: nn.Module, batches: Batches, perturb: Perturb, level: float) -> Scores:
    """Mean Kullback-Leibler divergence from the clean answers to those with the layer perturbed."""

    def divergence(clean: Tensor, perturbed: Tensor) -> Tensor:
        p, q = clean.log_softmax(1), perturbed.log_softmax(1)
        return torch.nan_to_num((p.exp() * (p - q)).sum(1), nan=MOST_NATS).clamp(0.0, MOST_NATS)

    return _mean_over_examples(model, batches, perturb, level, divergence)


@criterion(
    needs="data",
    formula="(KL(p, m) + KL(p', m)) / 2, m = (p + p')/2, ln 2 where an answer is no number",
    source="Lin 1991, IEEE Transactions on Information Theory 37, in place of ZeroQ's divergence",
    aware=True,
    examples=EXAMPLES,
    cost="N*(1 + L)",
)
def output_jsd(model: nn.Module, batches: Batches, perturb: Perturb, level: float) -> Scores:
    """Mean Jensen-Shannon divergence, in nats, between the clean answers and those with the layer perturbed."""

    def divergence(clean: Tensor, perturbed: Tensor) -> Tensor:
        p, q = clean.softmax(1), perturbed.softmax(1)
        m = (p + q) / 2
        both = (torch.xlogy(p, p) - torch.xlogy(p, m) + torch.xlogy(q, q) - torch.xlogy(q, m)).sum(1) / 2
        return torch.nan_to_num(both, nan=float(torch.log(torch.tensor(2.0)))).clamp_min(0.0)

    return _mean_over_examples(model, batches, perturb, level, divergence)


@criterion(
    needs="data",
    formula="mean (y' - y)^2 of the layer's output y, its input unchanged",
    source="Nagel et al. 2020, arXiv 2004.10568 (AdaRound), without the activation",
    aware=True,
    cost="2*N",
)
def layer_output_mse(model: nn.Module, batches: Batches, perturb: Perturb, level: float) -> Scores:
    """Mean squared change of the layer's own output."""
    changed = _runnable(model, batches, perturb, level)
    sizes = dict.fromkeys(changed, 0)
    sums = dict.fromkeys(changed, 0.0)
    with torch.no_grad():
        for images, _ in batches:
            spend(len(images))
            for application in run_recorded(model, batches, images)[1]:
                after = finite(application.run(application.x, changed[application.layer]))
                sums[application.layer] += float((after - application.y.double()).square().sum())
                sizes[application.layer] += after.numel()
    return {name: sums[name] / sizes[name] for name in sums}


@criterion(
    needs="labels, gradients",
    formula="(1/N) sum_i sum (dL_i/dy_i * (y_i' - y_i))^2",
    source="Li et al. 2021, arXiv 2102.05426 (BRECQ), at the layer's output",
    aware=True,
    cost="4*N",
)
def output_fisher(model: nn.Module, batches: Batches, perturb: Perturb, level: float) -> Scores:
    """Squared change of the layer's output, weighed by the diagonal Fisher matrix of the output."""
    changed = _runnable(model, batches, perturb, level)
    n_examples = count_examples(batches)
    spend(n_examples)

    def parts():  # type: ignore[no-untyped-def]
        for batch in loss_gradients(model, batches):
            for application, gradient in batch:
                with torch.no_grad():
                    after = finite(application.run(application.x, changed[application.layer]))
                    change = gradient.double() * (after - application.y.double())
                yield application.layer, float(change.square().sum()) / n_examples

    return total_by_layer(used_layers(model, batches), parts())


def _runnable(model: nn.Module, batches: Batches, perturb: Perturb, level: float) -> dict[str, Tensor]:
    """Return finite perturbed weights in the layout of the originals."""
    perturbed = perturbed_weights(model, batches, perturb, level)
    weights = layer_weights(model, batches)
    return {name: laid_out_as(w, torch.nan_to_num(perturbed[name], nan=LARGEST)) for name, w in weights.items()}
