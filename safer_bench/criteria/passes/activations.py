"""Inputs and outputs of layers: every application of a weight in a pass, whether or not its module was called."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from safer_bench.criteria.passes.apart import take_apart
from safer_bench.criteria.passes.layers import Batches, count_examples, layer_weights, losses_of_examples, used_layers
from safer_bench.criteria.passes.shared import shared, spend
from safer_bench.errors import BadInput
from safer_bench.networks.layers import Layer
from safer_bench.networks.parameter_entries import storage_of

ADDING = {"addmm", "baddbmm", "addbmm", "addmv"}  # their first argument is added to the product of the other two
INDEXING = {"__getitem__", "index_select"}
OPERATIONS = (
    {"linear", "matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "mv", "inner", "tensordot", "einsum"}
    | {"embedding", "embedding_bag", "conv_tbc", *ADDING, *INDEXING}
    | {f"conv{transposed}{n}d" for transposed in ("", "_transpose") for n in (1, 2, 3)}
)


@dataclass(frozen=True, slots=True)
class Application:
    """One use of a layer's weight: y = run(x, W).

    Attributes:
        layer: name of the layer.
        x: its input; int64 indices for an embedding.
        y: its output, before anything is done to it in place; with its graph where gradients are enabled.
        run: the same operation, bias included, on another input of x's shape and a weight laid out in memory as W is.
    """

    layer: str
    x: Tensor
    y: Tensor
    run: Callable[[Tensor, Tensor], Tensor]


class _Recorder(TorchFunctionMode):
    """Notes each operation that applies a layer's weight, found by its storage: a view of a weight is that weight.

    While it is active, torch keeps transformer layers from their fast path.
    """

    def __init__(self, weights: dict[str, nn.Parameter]) -> None:
        super().__init__()
        self.weights = weights
        self.owners = {storage_of(weight): name for name, weight in weights.items()}
        self.applications: list[Application] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.multi_head_attention_forward:  # its projections are seen from within only
            with patch.object(F, "has_torch_function", lambda _: False), self:
                return func(*args, **kwargs)
        with self:  # what it is made of is seen
            parts = take_apart(func, args, kwargs)
        if parts is not NotImplemented:
            return parts
        result = func(*args, **kwargs)
        slots: dict[Any, Any] = dict(enumerate(args)) | kwargs
        places = [at for at, value in slots.items() if self._owner(value) is not None]
        noted = [self._note(func, slots, at, result) for at in places if getattr(func, "__name__", "") in OPERATIONS]
        return result.clone() if any(noted) else result  # whoever works in place must not reach the recorded output

    def _owner(self, value: Any) -> str | None:
        """Return whose weight a value is; a weight read as complex numbers is not seen as it is."""
        return self.owners.get(storage_of(value)) if isinstance(value, Tensor) and not value.is_complex() else None

    def _note(self, func: Any, slots: dict[Any, Any], at: Any, y: Tensor) -> bool:
        """Note an application of the weight in one of the slots, if it is one; a single other factor is its input."""
        name, operation = self.owners[storage_of(slots[at])], func.__name__
        beside = {"bias", 0, "input"} if operation in ADDING else {"bias"}
        inputs = [k for k, value in slots.items() if isinstance(value, Tensor) and k != at and k not in beside]
        if not inputs or at in beside or (operation == "einsum" and len(inputs) > 1):
            return False
        x_at = inputs[0]
        if operation in INDEXING and slots[x_at].dtype != torch.int64:
            return False  # rows chosen by a mask
        view, start = slots[at], self.weights[name].storage_offset()

        def run(x: Tensor, weight: Tensor) -> Tensor:
            same_part = weight.as_strided(view.shape, view.stride(), view.storage_offset() - start + weight.storage_offset())
            filled = slots | {x_at: x, at: same_part}
            result: Tensor = func(
                *(value for key, value in filled.items() if isinstance(key, int)),
                **{key: value for key, value in filled.items() if isinstance(key, str)},
            )
            return result

        self.applications.append(Application(name, slots[x_at], y, run))
        return True


def run_recorded(model: nn.Module, batches: Batches, images: Tensor) -> tuple[Tensor, list[Application]]:
    """Run the model on images and return logits and every application of a layer's weight.

    Args:
        model, batches: as criteria get them; they name the layers.
        images: ``(n, ...)``.

    Raises:
        BadInput: a layer's weight is read by no convolution, linear map, matrix product or lookup.
    """
    weights = layer_weights(model, batches)
    with _Recorder(weights) as recorder:
        logits = model(images)
    unseen = set(weights) - {application.layer for application in recorder.applications}
    if unseen:
        raise BadInput(
            f"layer {min(unseen)!r}: no operation applies its weight as it is (but a copy, or what is computed from it), so "
            "that its input and output are unknown; criteria of weights, gradients or curvature do without"
        )
    return logits, recorder.applications


def laid_out_as(weight: Tensor, values: Tensor) -> Tensor:
    """Return values in the memory layout of a weight, as ``Application.run`` wants them."""
    return torch.empty_strided(weight.shape, weight.stride(), dtype=weight.dtype, device=weight.device).copy_(values)


@shared
def by_example(model: nn.Module, batches: Batches) -> Batches:
    """Return the batches, or each example by itself where a layer reads the same for all of them.

    Such a layer, of a table of positions for instance, is applied once a batch: what is summed over examples would
    depend on the batches' size. Found by passes over one example and over two.
    """
    images = max((images for images, _ in batches), key=len)[:2]
    sizes: list[Counter[str]] = [Counter(), Counter()]
    with torch.no_grad():
        for n, size in enumerate(sizes, 1):
            for application in run_recorded(model, batches, images[:n])[1]:
                size[application.layer] += application.y.numel()
    if all(sizes[1][name] == len(images) * size for name, size in sizes[0].items()):
        return batches
    return [(images[i : i + 1], labels[i : i + 1]) for images, labels in batches for i in range(len(labels))]


def with_output_gradients(
    model: nn.Module, batches: Batches, images: Tensor, objective: Callable[[Tensor], Tensor]
) -> list[tuple[Application, Tensor]]:
    """Return every application with the gradient of ``objective(logits)`` with respect to its output, shaped as y."""
    logits, applications = run_recorded(model, batches, images)
    gradients = torch.autograd.grad(objective(logits), [application.y for application in applications], allow_unused=True)
    return [
        (application, torch.zeros_like(application.y) if gradient is None else gradient)
        for application, gradient in zip(applications, gradients, strict=True)
    ]


def loss_gradients(model: nn.Module, batches: Batches) -> Iterator[list[tuple[Application, Tensor]]]:
    """Yield for each batch its applications with the gradient of each example's own loss."""
    for images, labels in by_example(model, batches):

        def total_loss(logits: Tensor, labels: Tensor = labels) -> Tensor:
            return losses_of_examples(logits, labels).sum()

        yield with_output_gradients(model, batches, images, total_loss)


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a layer reads and writes, over all examples and uses.

    Attributes:
        input_zeros: share of entries of x that are exactly 0; an embedding's input counts as one-hot.
        output_energy: mean of y^2.
    """

    input_zeros: float
    output_energy: float


@shared
def statistics(model: nn.Module, batches: Batches) -> dict[str, Statistics]:
    """Return the statistics of every layer by one pass over all examples."""
    sums = {layer.name: [0.0, 0, 0.0, 0] for layer in used_layers(model, batches)}
    rows = {layer.name: layer.shape[0] for layer in used_layers(model, batches)}
    with torch.no_grad():
        for images, _ in batches:
            for application in run_recorded(model, batches, images)[1]:
                of_layer, x, y = sums[application.layer], application.x, application.y
                one_hot = not x.is_floating_point()
                width = rows[application.layer] if one_hot else 1
                of_layer[0] += x.numel() * (width - 1) if one_hot else int((x == 0).sum())
                of_layer[1] += x.numel() * width
                of_layer[2] += float(y.double().square().sum())
                of_layer[3] += y.numel()
    return {name: Statistics(zeros / entries, energy / size) for name, (zeros, entries, energy, size) in sums.items()}


@shared
def squared_inputs(model: nn.Module, batches: Batches) -> dict[str, Tensor]:
    """Return for each weight the squared input it meets, summed over its uses in an example, mean over examples; float64.

    Replacing x by x^2, the sum of all outputs is linear in W, and its gradient is the sum wanted.
    """
    weights = layer_weights(model, batches)
    totals = {name: torch.zeros_like(weight, dtype=torch.float64) for name, weight in weights.items()}
    for images, _ in by_example(model, batches):
        with torch.no_grad():
            applications = run_recorded(model, batches, images)[1]
        spend(3 * len(images))  # each layer once more, forward and backward
        for application in applications:
            weight = laid_out_as(weights[application.layer], weights[application.layer].detach()).requires_grad_(True)
            x = application.x.square() if application.x.is_floating_point() else application.x
            (gradient,) = torch.autograd.grad(application.run(x, weight).sum(), [weight])
            totals[application.layer] += gradient.double()
    return {name: total / count_examples(batches) for name, total in totals.items()}


def total_by_layer(layers: Sequence[Layer], parts: Iterator[tuple[str, float]]) -> dict[str, float]:
    """Add up what several uses and batches contribute to each layer."""
    totals = {layer.name: 0.0 for layer in layers}
    for name, value in parts:
        totals[name] += value
    return totals
