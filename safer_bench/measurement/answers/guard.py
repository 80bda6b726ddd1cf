"""float32 that leaves its range nowhere: what does not fit is computed in float64, operation by operation.

A grown weight (a flipped exponent bit) can overflow float32 within an operation; what comes after may hide it: a clamp
turns infinity into a number, a norm turns the square of a large number into zero. So every operation's result is bounded
before the next one reads it, example by example: by the bounds of what it reads where that suffices (the largest entry
times the largest row sum of a weight), else by a look at the result, in which an overflow still shows. Operations that
may hide one within (norms square what they read) have to read small enough values. Where that cannot be
proven, the operation runs on float64 numbers, with the limits of canonical arithmetic, until values fit again;
convolutions and products by a weight run in float32 all the same, on values scaled by a power of two.
"""

import math
from collections.abc import Iterable
from functools import reduce
from typing import Any

import torch
from torch import Tensor, fx

from safer_bench.measurement.answers.limits import LARGEST
from safer_bench.measurement.answers.ranges import AFFINE, HIDING, MOVES, REACHES, SCALED, Bound, Bounded, Gain, Reach
from safer_bench.measurement.answers.replay import Piece, axis_of, with_dtype
from safer_bench.measurement.answers.trace import CannotReplayError, operation_name

IN_RANGE = LARGEST / 4  # leaves room for rounding
MOST_GAIN, MOST_SCALED = 60, 120  # exponents of two: of a weight's row sums, and of results, when scaled
MOST_SHRUNK = 80  # by what values are scaled, so that small ones beside the large keep their digits
CLOSE = 1e-4  # relative distance from float32's largest number at which rounding decides what is beyond it
SMALLEST = torch.finfo(torch.float32).tiny
STEEP = {"div", "log", "reciprocal", "rsqrt", "sqrt", "pow"}  # make much of what is too small for float32
AXIS = "axis of examples"  # of a node's notes
F64 = torch.float64


class GuardedPiece:
    """A part of a graph, run operation by operation with bounds.

    Args:
        piece: in float32; its one output is ``(n, n_classes)``.

    Attributes:
        unknown: an operation of which nothing is known; None where there is none, and the piece can be run.
    """

    def __init__(self, piece: Piece) -> None:
        self._piece = piece
        self._nodes = [node for node in piece.graph.nodes if node.op == "call_function"]
        last_reader = {used: node for node in piece.graph.nodes for used in node.all_input_nodes}
        self._dead: dict[fx.Node, list[fx.Node]] = {}
        for node, reader in last_reader.items():
            self._dead.setdefault(reader, []).append(node)
        self._gains: dict[fx.Node, Gain] = {}
        names = (operation_name(node) for node in self._nodes)
        self.unknown = next((name for name in names if name not in REACHES and name not in AFFINE), None)

    def __call__(self, values: Iterable[Tensor], n: int) -> tuple[Tensor, Tensor]:
        """Return logits ``(n, n_classes)``, and of which examples they are proven to be right but for rounding, ``(n,)``."""
        state: dict[fx.Node, Bounded] = {}
        placeholders = [node for node in self._piece.graph.nodes if node.op == "placeholder"]
        for node, value in zip(placeholders, self._piece.arguments(values, n), strict=True):
            state[node] = Bounded(value, _axis(node))
        (logits,) = self._piece.graph.output_node().all_input_nodes
        doubts = list[Tensor]()
        for node in self._nodes:
            state[node] = self._run(node, state)
            doubts += _doubts(node, [state[used] for used in node.all_input_nodes], state[node])
            for dead in self._dead.get(node, ()):
                del state[dead]
        found = state[logits].value
        proven = torch.ones(n, dtype=torch.bool, device=found.device)
        for doubt in doubts:
            proven &= ~doubt
        return found, proven

    def _run(self, node: fx.Node, state: dict[fx.Node, Bounded]) -> Bounded:
        name, read = operation_name(node), [state[used] for used in node.all_input_nodes]
        args, kwargs = fx.map_arg((node.args, node.kwargs), state.__getitem__)  # type: ignore[arg-type]  # no argument of a graph
        if name == "limited":
            return _limited(*read)
        if name == "getitem" and node.args[1] != 0 and operation_name(node.all_input_nodes[0]) not in MOVES:
            return Bounded(_call(node, args, kwargs), _axis(node))  # of several results, only the first one has a bound
        if name in MOVES:
            return Bounded(_call(node, args, kwargs), _axis(node), REACHES[name](*args, **kwargs)[1])
        if all(_fits(each.bound) for each in read):
            reach, bound = self._reach(node, name, args, kwargs)
            if name in HIDING and not _fits(reach):
                for each in read:
                    each.measure()
                reach, bound = self._reach(node, name, args, kwargs)
            if name not in HIDING or _fits(reach):
                found = Bounded(_call(node, args, kwargs), _axis(node), bound)
                if _fits(reach) or _fits(found.measure()):
                    return found
        gain = self._gain(node, name, args)[0] if name in SCALED else torch.inf
        value = _scaled(node, args, gain) if gain < torch.inf else None
        if value is None:
            value = _call(node, *with_dtype((args, kwargs), F64), wide=True)
        found = Bounded(value, _axis(node))
        return found.narrowed() if _fits(found.measure()) else found

    def _reach(self, node: fx.Node, name: str, args: Any, kwargs: Any) -> Reach:
        if name not in AFFINE:
            return REACHES[name](*args, **kwargs)
        gain, offset = self._gain(node, name, args)
        bound = gain * args[0].bound + offset
        return bound, bound

    def _gain(self, node: fx.Node, name: str, args: Any) -> Gain:
        if node in self._gains:
            return self._gains[node]
        weights = node.all_input_nodes[1:]
        if any(_axis(used) is not None for used in weights):
            return torch.inf, 0.0
        gain = AFFINE[name](*(item.value if isinstance(item, Bounded) else item for item in args))
        if self._piece.constants.issuperset(weights):
            self._gains[node] = gain
        return gain


def _fits(bound: Bound, largest: float = IN_RANGE) -> bool:
    return bound <= largest if isinstance(bound, float) else bool((bound <= largest).all())  # false for NaN


def _call(node: fx.Node, args: Any, kwargs: Any, *, wide: bool = False) -> Any:
    """Run an operation on the values of bounded ones, in float64 where it is to be wide."""

    def given(item: Any) -> Any:
        value = item.value if isinstance(item, Bounded) else item
        return value.double() if wide and isinstance(value, Tensor) and value.is_floating_point() else value

    found_args, found_kwargs = torch.fx.node.map_aggregate((args, kwargs), given)
    return node.target(*found_args, **found_kwargs)  # type: ignore[operator]  # of an operation, target is a callable


def _limited(x: Bounded) -> Bounded:
    """Return what a module returns: in float32, which turns what is beyond its range into infinity."""
    if _fits(x.bound):
        return x
    bound = torch.as_tensor(x.measure())
    return Bounded(x.value.float(), x.axis, torch.where(bound > LARGEST, torch.inf, bound), measured=True)


def _scaled(node: fx.Node, args: Any, gain: float) -> Tensor | None:
    """Run a convolution or a product by a weight in float32 on scaled values; float64, infinite where the values are.

    None where small values would be scaled out of float32's range.
    """
    x, weight, bias = args[0], args[1].value, args[2] if len(args) > 2 else None
    of_gain = math.frexp(gain)[1]
    of_weight = max(0, of_gain - MOST_GAIN)
    of_x = (torch.frexp(x.finite_bound).exponent + of_gain - of_weight - MOST_SCALED).clamp(min=0)
    if int(of_x.max()) > MOST_SHRUNK:
        return None
    scaled = (x.value * _along(_power(-of_x).to(x.value.dtype), x.axis, x.value.ndim)).float()
    product = node.target(scaled, weight * 2.0**-of_weight, None, *args[3:])  # type: ignore[operator]
    found = product.double().mul_(_along(_power(of_x + of_weight), _axis(node), product.ndim))
    if bias is None:
        return found
    across = -1 if operation_name(node) == "linear" else (-1, *[1] * (weight.ndim - 2))
    return found.add_(bias.value.double().reshape(across))


def _power(exponent: Tensor) -> Tensor:
    return torch.exp2(exponent.double())


def _along(factors: Tensor, axis: tuple[int, int] | None, n_axes: int) -> Tensor:
    """Return factors of examples in the shape of a value that has its examples along an axis."""
    if axis is None or factors.ndim == 0:
        return factors
    place, per_example = axis
    return factors.repeat_interleave(per_example).reshape([-1 if each == place else 1 for each in range(n_axes)])


def _doubts(node: fx.Node, read: list[Bounded], found: Bounded) -> list[Tensor]:
    """Return of which examples an operation's result may be another one in float64, ``(n,)`` or ``()`` each."""
    name = operation_name(node)
    if name == "limited":
        return [] if _fits(read[0].bound, LARGEST * (1.0 - CLOSE)) else [_is_close(read[0])]
    if name in MOVES:
        return []
    doubts = [_is_small(each, _is_root(node)) for each in read if name in STEEP and isinstance(each.value, Tensor)]
    if not _fits(found.bound) and not _fits(found.measure(), torch.finfo(F64).max):
        # infinity or NaN of finite numbers: it may be 0 / 0, of numbers too small for float32
        finite = [torch.isfinite(torch.as_tensor(each.measure())) for each in read]
        doubts.append(reduce(torch.logical_and, finite, ~torch.isfinite(torch.as_tensor(found.bound))))
    return doubts


def _is_root(node: fx.Node) -> bool:
    """Tell whether an operation makes a number of what is zero in float32 alone."""
    exponent = 0.5 if operation_name(node) == "sqrt" else node.args[1] if operation_name(node) == "pow" else 1.0
    return not isinstance(exponent, int | float) or exponent < 1.0


def _is_small(x: Bounded, with_zero: bool) -> Tensor:
    """Tell of which examples a value in float32 is so small that it may have lost digits, or be zero for it."""
    small = x.value.abs() < SMALLEST
    return x.any_of(small if with_zero else small & (x.value != 0))


def _is_close(x: Bounded) -> Tensor:
    """Tell of which examples a value is so near to the end of float32's range that rounding decides what is beyond."""
    return x.any_of((x.value.abs() - LARGEST).abs() < CLOSE * LARGEST)


def _axis(node: fx.Node) -> tuple[int, int] | None:
    return node.meta[AXIS]


def find_axes(graph: fx.Graph) -> None:
    """Note of every value the axis of its examples, and entries an example; of several values, that of the first.

    None where all examples are bounded together: those of a batch may lie among one another along one axis (a
    concatenation of two views of all images; attention's tokens, then examples).
    """
    in_order: set[fx.Node] = set()
    for node in graph.nodes:
        axis = _axis_by_shape(node)
        if axis is None or axis[1] == 1 or _stays_in_order(node, axis, in_order):
            in_order.add(node)
        node.meta[AXIS] = axis if node in in_order else None


def _stays_in_order(node: fx.Node, axis: tuple[int, int], in_order: set[fx.Node]) -> bool:
    """Tell whether a result holds the entries of one example, then those of the next, as what it is made of does."""
    read = [(used, before) for used in node.all_input_nodes if (before := _axis_by_shape(used)) is not None]
    if operation_name(node) in {"view", "_unsafe_view", "reshape", "flatten", "unflatten"}:
        ((used, before),) = read
        return used in in_order and bool(math.prod(_shape(used)[: before[0]]) == math.prod(_shape(node)[: axis[0]]))
    return all(used in in_order and before[1] == axis[1] for used, before in read)


def _axis_by_shape(node: fx.Node) -> tuple[int, int] | None:
    try:
        return axis_of(_shape(node))
    except CannotReplayError:
        return None


def _shape(node: fx.Node) -> tuple[int | torch.SymInt, ...]:
    value = node.meta.get("val")
    first = value[0] if isinstance(value, tuple | list) else value
    return tuple(first.shape) if isinstance(first, Tensor) else ()
