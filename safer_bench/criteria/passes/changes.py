"""What a perturbation does to one layer, as aware criteria see it: the changed weight, and the logits with it set.

Logits with a layer perturbed, at each level, would fill any memory where they are of a language model or of a thousand
classes. So criteria that compare logits look at those of one layer at a time, side by side, and none are kept.

A bit flip can make a weight infinite or no number at all: such entries count as float32's largest number.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from safer_bench.criteria.passes.cost import Cost
from safer_bench.criteria.passes.layers import Batches, Perturb, layer_weights
from safer_bench.criteria.passes.shared import Passes, Shared, current_sweep, shared, spend

LARGEST = torch.finfo(torch.float32).max
SIDE_BY_SIDE = 1 << 28  # most bytes of logits that are compared side by side, as each criterion makes copies of its own
T = TypeVar("T")
Compare = Callable[[Tensor], float]  # logits with a layer perturbed ``(n, n_classes, ...)`` -> what the layer scores
Comparison = Callable[[Tensor, Batches], Compare]  # clean logits, and the batches they are of


def finite(values: Tensor) -> Tensor:
    """Return float64 values; what is not finite becomes float32's largest number, with its sign."""
    return torch.nan_to_num(values.double(), nan=LARGEST, posinf=LARGEST, neginf=-LARGEST)


def perturbed_weights(model: nn.Module, batches: Batches, perturb: Perturb, level: float) -> dict[str, Tensor]:
    """Return each layer's perturbed weight, as the perturbation gives it."""
    return {name: torch.from_numpy(perturb(name, level)).to(w) for name, w in layer_weights(model, batches).items()}


def squared_changes(model: nn.Module, batches: Batches, perturb: Perturb, level: float) -> dict[str, float]:
    """Return the sum of (W' - W)^2 of each layer."""
    weights = layer_weights(model, batches)
    perturbed = perturbed_weights(model, batches, perturb, level)
    return {name: float((finite(perturbed[name]) - w.detach().double()).square().sum()) for name, w in weights.items()}


@shared
def clean_logits(model: nn.Module, batches: Batches) -> Tensor:
    """Return the logits of all examples, ``(n, n_classes)``."""
    shorter = _shorter(model)
    short = shorter.clean(batches) if shorter else None
    return _logits(model, batches) if short is None else _counted(short)


class ComparesLogits:
    """An aware criterion's function: a layer scores what a comparison makes of the logits, clean and with it perturbed.

    A sweep does comparisons side by side: they look at the same passes, and each is charged with its own work.

    Args:
        comparison: ``(clean logits, batches)`` to a function of the logits with a layer perturbed; its name and docstring
            are the criterion's.
    """

    def __init__(self, comparison: Comparison) -> None:
        self.comparison, self.__name__, self.__doc__ = comparison, comparison.__name__, comparison.__doc__

    def __call__(self, model: nn.Module, batches: Batches, perturb: Perturb, level: float) -> dict[str, float]:
        """Return each layer's score; every layer is restored."""
        sweep = current_sweep()
        if sweep is None:
            return _compared(model, batches, perturb, level, [self.comparison], Cost)[0][0]
        beside = self._beside(sweep, model, batches)
        key = (id(model), id(batches), perturb, level)

        def keep() -> None:
            found = _compared(model, batches, perturb, level, beside, sweep.meter.read)
            for comparison, (scores, cost) in zip(beside, found, strict=True):
                sweep.put((comparison, *key), scores, cost)

        sweep.once((beside, *key), keep)
        return sweep.once((self.comparison, *key), dict)  # it has just been kept, or was before

    def _beside(self, sweep: Shared, model: nn.Module, batches: Batches) -> tuple[Comparison, ...]:
        beside = tuple(sweep.side_by_side.get(id(batches), ()))
        fits = clean_logits(model, batches).nbytes <= SIDE_BY_SIDE
        return beside if fits and self.comparison in beside else (self.comparison,)


def _compared(
    model: nn.Module,
    batches: Batches,
    perturb: Perturb,
    level: float,
    comparisons: Sequence[Comparison],
    clock: Callable[[], Cost],
) -> list[tuple[dict[str, float], Cost]]:
    """Return each comparison's scores, and what they cost beside the passes."""
    compare: list[Compare] = []
    found: list[dict[str, float]] = [{} for _ in comparisons]
    costs = [Cost() for _ in comparisons]

    def charged(i: int, compute: Callable[[], T]) -> T:
        start = clock()
        value = compute()
        costs[i] += clock().since(start)
        return value

    clean = clean_logits(model, batches)
    for i, comparison in enumerate(comparisons):
        compare.append(charged(i, partial(comparison, clean, batches)))
    for name, logits in _perturbed_logits(model, batches, perturb, level):
        for i, one in enumerate(compare):
            found[i][name] = charged(i, partial(one, logits))
    return list(zip(found, costs, strict=True))


def _perturbed_logits(model: nn.Module, batches: Batches, perturb: Perturb, level: float) -> Iterator[tuple[str, Tensor]]:
    """Yield each layer with the logits of all examples ``(n, n_classes)`` while that layer is perturbed; it is restored."""
    shorter = _shorter(model)
    perturbed = perturbed_weights(model, batches, perturb, level)
    for name, weight in layer_weights(model, batches).items():
        short = shorter.perturbed(batches, name, perturbed[name]) if shorter else None
        yield name, _with_weight(model, batches, weight, perturbed[name]) if short is None else _counted(short)


def _shorter(model: nn.Module) -> Passes | None:
    """Return the shorter way to logits that the sweep knows, prepared: who uses it is billed for that."""
    _prepare(model, None)
    return _known_passes()


def _known_passes() -> Passes | None:
    sweep = current_sweep()
    return None if sweep is None else sweep.passes


@shared
def _prepare(model: nn.Module, batches: None) -> None:  # noqa: ARG001  once a sweep, whatever the batches
    shorter = _known_passes()
    if shorter:
        shorter.prepare()


def _counted(short: Tensor) -> Tensor:
    """Count logits ``(n, n_classes)`` that came by a shorter way as whole passes, which everyone has."""
    spend(len(short))
    return short


def _with_weight(model: nn.Module, batches: Batches, weight: nn.Parameter, perturbed: Tensor) -> Tensor:
    original = weight.detach().clone()
    try:
        with torch.no_grad():
            weight.copy_(perturbed)
        return _logits(model, batches)
    finally:
        with torch.no_grad():
            weight.copy_(original)


@torch.no_grad()
def _logits(model: nn.Module, batches: Batches) -> Tensor:
    return torch.cat([model(images) for images, _ in batches])
