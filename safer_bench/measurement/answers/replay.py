"""Runs only what a perturbed layer can change: everything before it is kept from a clean pass."""

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, fx

from safer_bench.measurement.answers.fuse import reuse_memory
from safer_bench.measurement.answers.trace import CannotReplayError, Traced, bytes_per_example, size_of
from safer_bench.measurement.answers.tuning import arranged

F32, F64 = torch.float32, torch.float64


class Piece:
    """A part of a traced graph as one function: values in, values out.

    Args:
        inputs: nodes whose values are given at each call.
        outputs: nodes whose values are returned.
        constants: gives the value of a node that never changes, None for others.
        dtype: arithmetic; conversions follow it.
    """

    def __init__(
        self,
        inputs: Sequence[fx.Node],
        outputs: Sequence[fx.Node],
        constants: Callable[[fx.Node], Tensor | None],
        dtype: torch.dtype = F32,
    ) -> None:
        input_nodes = set(inputs)
        needed = _needed(outputs, lambda node: node in input_nodes or is_size(node) or constants(node) is not None)
        graph, copies = fx.Graph(), {}
        kept = [node for node in needed if node not in input_nodes and constants(node) is not None]
        self._sizes = [node for node in needed if is_size(node)]
        for node in [*kept, *self._sizes, *inputs]:
            copies[node] = graph.placeholder(f"{node.name}_")
            copies[node].meta = dict(node.meta)
        for node in needed:
            if node not in copies:
                copies[node] = graph.node_copy(node, lambda used: copies[used])
                copies[node].args, copies[node].kwargs = with_dtype((copies[node].args, copies[node].kwargs), dtype)
        graph.output(tuple(copies[node] for node in outputs))
        reuse_memory(graph)
        self.inputs, self.graph = tuple(inputs), graph
        self.constants = {copies[node] for node in kept}
        self._constants = [constants(node) for node in kept]
        self._run = fx.GraphModule({}, graph).forward
        self._sizes_of = cache(lambda n: tuple(size_of(node.meta["val"], n) for node in self._sizes))

    def __call__(self, values: Iterable[Tensor], n: int) -> tuple[Tensor, ...]:
        """Return the outputs for the values of ``inputs``, which belong to n examples."""
        return tuple(self._run(*self.arguments(values, n)))

    def arguments(self, values: Iterable[Tensor], n: int) -> list[Any]:
        """Return what the graph's placeholders are given, in order."""
        return [*self._constants, *self._sizes_of(n), *values]


@dataclass(frozen=True, slots=True)
class LayerReplay:
    """What depends on one layer's weight.

    Attributes:
        frontier: clean values that the suffix reads: all that has to be kept of a clean pass.
        weight_nodes: the nodes that the perturbed weight replaces.
        prepare: perturbed weight -> what follows from it alone (a folded weight), in the replay's first arithmetic; once a
            probe.
        suffixes: prepared values and frontier -> logits, in each arithmetic; once a batch.
        selects: the kept values of some examples can be picked out; else all examples are run to answer some.
    """

    frontier: tuple[fx.Node, ...]
    weight_nodes: tuple[fx.Node, ...]
    prepare: Piece
    suffixes: dict[torch.dtype, Piece]
    selects: bool = True

    @property
    def dtype(self) -> torch.dtype:
        """The arithmetic of the clean pass."""
        return next(iter(self.suffixes))

    @property
    def bytes_per_example(self) -> int:
        """Memory that the frontier takes for one example in float32."""
        return sum(map(bytes_per_example, self.frontier))

    def prepared(self, weight: Tensor, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """Return what the suffix of an arithmetic reads of a perturbed weight."""
        given = cast(weight, self.dtype)
        return tuple(cast(value, dtype, self.dtype) for value in self.prepare([given] * len(self.weight_nodes), 0))


class Replay:
    """Takes a traced model apart, layer by layer.

    Args:
        traced: the model's graph, fused or not.
        dtypes: arithmetics of the suffixes. The clean pass, and what is prepared of a weight, are in the first.
    """

    def __init__(self, traced: Traced, dtypes: tuple[torch.dtype, ...] = (F32,)) -> None:
        self.traced, self.dtypes, self.dtype = traced, dtypes, dtypes[0]
        self._bridges: dict[tuple[tuple[fx.Node, ...], ...], Piece] = {}
        self._casts: dict[tuple[fx.Node, torch.dtype], Tensor] = {}
        self._fixed: dict[fx.Node, Tensor | None] = {}
        self._fixed |= {node: cast(value, self.dtype) for node, value in traced.tensors.items()}
        for node in traced.graph.nodes:
            self._fixed.setdefault(node, self._evaluate(node))

    def layer(self, weight_nodes: tuple[fx.Node, ...]) -> LayerReplay:
        """Return the part of the computation that depends on a weight.

        Raises:
            CannotReplayError: a value that would have to be kept is no tensor with its examples along one axis.
        """
        nodes = list(self.traced.graph.nodes)
        changed = set(weight_nodes)
        for node in nodes:
            if node.op == "call_function" and not changed.isdisjoint(node.all_input_nodes):
                changed.add(node)
        rest = {node for node in changed if self._fixed[node] is None}
        read = {used: None for node in nodes if node in rest for used in node.all_input_nodes if used not in rest}
        read |= {} if self.traced.logits in changed else {self.traced.logits: None}
        prepared = tuple(node for node in read if node in changed)
        frontier = tuple(node for node in read if node not in changed and self._fixed[node] is None and not is_size(node))
        for node in frontier:
            if not isinstance(node.meta.get("val"), Tensor):
                raise CannotReplayError(f"a value before it is no tensor ({node.name})")
            example_axis(node)
        read_by = {
            dtype: Piece((*prepared, *frontier), (self.traced.logits,), self._constants(dtype, changed), dtype)
            for dtype in self.dtypes
        }
        return LayerReplay(frontier, weight_nodes, self._prepare(weight_nodes, prepared, changed), read_by)

    def _prepare(self, weights: tuple[fx.Node, ...], prepared: tuple[fx.Node, ...], changed: set[fx.Node]) -> Piece:
        return Piece(weights, prepared, self._constants(self.dtype, changed), self.dtype)

    def whole(self, dtype: torch.dtype | None = None) -> Piece:
        """Return the whole computation: inputs -> logits; in the first arithmetic by default."""
        wanted = dtype or self.dtype
        return Piece(self.traced.inputs, (self.traced.logits,), self._constants(wanted), wanted)

    def bridge(self, known: Iterable[fx.Node], wanted: Sequence[fx.Node]) -> Piece:
        """Return the clean computation of some values from known ones and the inputs, which come last."""
        inputs = (*(node for node in known if node not in self.traced.inputs), *self.traced.inputs)
        key = inputs, tuple(wanted)
        if key not in self._bridges:
            self._bridges[key] = Piece(inputs, wanted, self._constants(self.dtype), self.dtype)
        return self._bridges[key]

    def _constants(self, dtype: torch.dtype, changed: Container[fx.Node] = ()) -> Callable[[fx.Node], Tensor | None]:
        """Return what gives the values that do not depend on the inputs, each cast once."""

        def constant(node: fx.Node) -> Tensor | None:
            value = None if node in changed else self._fixed[node]
            if value is None or dtype == self.dtype:
                return value
            if (node, dtype) not in self._casts:
                self._casts[node, dtype] = cast(value, dtype, self.dtype)
            return self._casts[node, dtype]

        return constant

    def _evaluate(self, node: fx.Node) -> Tensor | None:
        """Return the value of an operation on parameters and constants alone, None where it depends on the inputs."""
        if node.op != "call_function" or is_size(node) or any(self._fixed[used] is None for used in node.all_input_nodes):
            return None
        args, kwargs = fx.map_arg(with_dtype((node.args, node.kwargs), self.dtype), self._fixed.__getitem__)
        with torch.no_grad():
            return node.target(*args, **kwargs)  # type: ignore[operator]  # of an operation, target is a callable


def cast(value: Any, dtype: torch.dtype, of: torch.dtype = F32) -> Any:
    """Return tensors of one type as ``dtype``, everything else as it is.

    Float64 lies in C order, in which sums are those of whole passes; what becomes float32 in channels_last.
    """
    if not isinstance(value, Tensor) or value.dtype != of or of == dtype:
        return value
    if dtype == F64:
        return value.to(F64, memory_format=torch.contiguous_format)
    return arranged(value.to(F32), torch.channels_last) if dtype == F32 else value.to(dtype)


def is_size(node: fx.Node) -> bool:
    """Tell whether a node is a whole number made of the number of examples."""
    return isinstance(node.meta.get("val"), torch.SymInt)


def example_axis(node: fx.Node) -> tuple[int, int] | None:
    """Return (axis, entries an example) of the axis along which a value's examples lie, None where it has none.

    Raises:
        CannotReplayError: several axes grow with the number of examples, or one not in proportion.
    """
    try:
        return axis_of(node.meta["val"].shape)
    except CannotReplayError as error:
        raise CannotReplayError(f"{error} ({node.name})") from error


def axis_of(shape: Sequence[int | torch.SymInt]) -> tuple[int, int] | None:
    """Return (axis, entries an example) of the axis of a shape that grows with the examples, None where none does.

    Raises:
        CannotReplayError: several axes grow with the number of examples, or one not in proportion.
    """
    growing = [(axis, size) for axis, size in enumerate(shape) if isinstance(size, torch.SymInt)]
    if not growing:
        return None
    axis, size = growing[0]
    per_example = size_of(size, 1)
    if len(growing) > 1 or size_of(size, 10) != 10 * per_example:
        raise CannotReplayError("a value before it does not hold its examples along one axis")
    return axis, per_example


def select_examples(node: fx.Node, values: Sequence[Tensor], rows: Sequence[Tensor]) -> Tensor:
    """Join chosen examples of a value that is kept in batches.

    Args:
        node: whose value it is.
        values: one a batch.
        rows: of each batch, its chosen examples, int64.
    """
    examples_axis = example_axis(node)
    if examples_axis is None:
        return values[0]
    axis, per_example = examples_axis
    entries = torch.arange(per_example, device=values[0].device)
    indices = [(each[:, None] * per_example + entries).flatten() for each in rows]
    strides = values[0].stride()
    order = sorted(range(len(strides)), key=lambda i: -strides[i])  # what views a value goes by its strides
    back, place = [order.index(i) for i in range(len(order))], order.index(axis)
    chosen = [value.permute(order).index_select(place, each) for value, each in zip(values, indices, strict=True)]
    return torch.cat(chosen, place).permute(back)


def _needed(outputs: Iterable[fx.Node], stops: Callable[[fx.Node], bool]) -> list[fx.Node]:
    """Return the nodes that outputs are computed from, in order, back to those where a value is at hand."""
    seen: set[fx.Node] = set()
    waiting = list(outputs)
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting += [] if stops(node) else node.all_input_nodes
    if not seen:
        return []
    return [node for node in next(iter(seen)).graph.nodes if node in seen]


def with_dtype(arguments: Any, dtype: torch.dtype) -> Any:
    """Return arguments of an operation for another arithmetic than float32."""
    return torch.fx.node.map_aggregate(arguments, lambda value: dtype if value is torch.float32 else value)
