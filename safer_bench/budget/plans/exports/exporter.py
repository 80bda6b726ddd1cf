"""What an export is: what a tool offers each layer, and the text that it reads."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from safer_bench.budget.plans.plan import Plan, PlannedLayer
from safer_bench.errors import BadInput
from safer_bench.tables.text import number_of

FLOAT_BITS = 32  # of a weight that stays as it is
PER_TENSOR = "quantize"  # the perturbation whose grid spans a whole tensor


TORCH_KINDS = {  # classes of torch's that own a weight of two dimensions or more; an export knows what its tool does to them
    "Bilinear", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "Embedding",
    "EmbeddingBag", "GRU", "GRUCell", "LSTM", "LSTMCell", "Linear", "MultiheadAttention", "NonDynamicallyQuantizableLinear",
    "RNN", "RNNCell",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Given:
    """A layer as one module has it, and the bits that a tool gives its weight there."""

    layer: PlannedLayer
    bits: int

    @property
    def module(self) -> str:
        """Dotted name of that module."""
        return self.layer.module


@dataclass(frozen=True, slots=True)
class Exporter:
    """How one tool is told a plan.

    Attributes:
        name: of the tool.
        offers: the bits that the tool has for a layer's weight; none where it does not quantize such a weight.
        write: ``(plan, layers with their bits) -> text``.
        per_tensor: whether it has one grid for a whole tensor.
        tasks: that it can be told.
        unties: whether modules that share a weight have one each when it is done.
    """

    name: str
    offers: Callable[[PlannedLayer], Sequence[int]]
    write: Callable[[Plan, Sequence[Given]], str]
    per_tensor: bool = True
    tasks: tuple[str, ...] = ("quantize",)
    unties: bool = False


@dataclass(frozen=True, slots=True)
class Exported:
    """What a tool reads, and where that is not the plan: one note each."""

    text: str
    notes: tuple[str, ...]


def export(plan: Plan, to: Exporter) -> Exported:
    """Return a plan as a tool reads it.

    Bits that the tool does not have are rounded up to the next that it has. A layer stays in float32 where it has none that
    are enough. A tied weight gets the same bits in all its modules, or none.

    Raises:
        BadInput: the tool cannot be told plans of this task, or quantizes no layer of this one.
    """
    if plan.task not in to.tasks:
        raise BadInput(
            f"{to.name} cannot be told a plan of task {plan.task!r}: it reads bits a layer, not which weights are pruned or "
            "protected. Export --to json, or take the weights themselves: safer_bench.apply_plan"
        )
    if plan.task != "quantize":
        return Exported(to.write(plan, ()), tuple(_to_fold(plan)))
    chosen = [(layer, bits) for layer in plan.layers if (bits := _bits(layer, to)) is not None]
    if not chosen:
        first = plan.layers[0]
        raise BadInput(
            f"{to.name} quantizes no layer of this plan (layer {first.name}: {_why_not(first, to)}); export --to another "
            "tool, or take the weights: safer_bench.apply_plan"
        )
    given = [Given(owner, bits) for layer, bits in chosen for owner in layer.owners]
    return Exported(to.write(plan, given), tuple(_notes(plan, given, to)))


def _bits(layer: PlannedLayer, to: Exporter) -> int | None:
    offered = set.intersection(*(set(to.offers(owner)) for owner in layer.owners))
    return min((bits for bits in offered if bits >= layer.amount), default=None)


def _notes(plan: Plan, given: Sequence[Given], to: Exporter) -> Iterator[str]:
    yield from _to_fold(plan)
    if plan.perturbation == PER_TENSOR and not to.per_tensor:
        yield f"{to.name} has a grid for each output channel; the plan was measured with one for each tensor"
    bits = {each.layer.name: each.bits for each in given}
    for layer in plan.layers:
        if layer.name not in bits:
            yield f"layer {layer.name} stays in float32: {_why_not(layer, to)}"
        elif bits[layer.name] != layer.amount:
            yield f"layer {layer.name} gets {bits[layer.name]} bits: {to.name} does not have {layer.amount:g} for it"
        if layer.name in bits and layer.tied and to.unties:
            yield f"layer {layer.name} shares its weight with {', '.join(layer.tied)}: {to.name} makes a copy for each"
    planned = f"{_mean_bits(plan, {layer.name: layer.amount for layer in plan.layers}):.3g}"
    spent = f"{_mean_bits(plan, {layer.name: bits.get(layer.name, FLOAT_BITS) for layer in plan.layers}):.3g}"
    if spent != planned:
        yield f"{to.name} spends {spent} mean bits of weights, the plan {planned}"


def _why_not(layer: PlannedLayer, to: Exporter) -> str:
    owner = next((each for each in layer.owners if not to.offers(each)), layer)
    shared = "" if owner is layer else f"it shares its weight with {owner.parameter}, and "
    if owner.kind not in TORCH_KINDS:
        return f"{shared}class {owner.kind} is not known to the export to {to.name}"
    enough = f" in {layer.amount:g} bits or more" if to.offers(owner) else ""
    return f"{shared}{to.name} quantizes none like it ({_shape(owner)}){enough}"


def _mean_bits(plan: Plan, bits: Mapping[str, float]) -> float:
    sizes = {layer.name: prod(layer.shape) for layer in plan.layers}
    return sum(bits[name] * size for name, size in sizes.items()) / sum(sizes.values())


def _to_fold(plan: Plan) -> Iterator[str]:
    if plan.folded:
        yield (
            f"fold {number_of(len(plan.folded), 'batch norm')} first, those that 'folded' names in plan.json: the plan "
            "is of Network(..., fold=True).model"
        )


def _shape(layer: PlannedLayer) -> str:
    return f"{layer.kind}, {'x'.join(map(str, layer.shape))}"
