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
from typing import Any

import torch
from torch import Tensor, fx

from safer_bench.measurement.answers.limits import LARGEST
from safer_bench.measurement.answers.ranges import AFFINE, HIDING, MOVES, REACHES, SCALED, Bound, Bounded, Gain, Reach
from safer_bench.measurement.answers.replay import Piece, axis_of, with_dtype
from safer_bench.measurement.answers.trace import CannotReplayError, operation_name

IN_RANGE = LARGEST / 4  # leaves room for rounding
MOST_GAIN, MOST_SCALED = 60, 120  # exponents of two: of a weight's row sums, and of results, when scaled
CLOSE = 1e-4  # relative distance from float32's largest number at which rounding decides what is beyond it
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
        unsure = []
        for node in self._nodes:
            state[node] = self._run(node, state)
            read = state[node.all_input_nodes[0]]
            if operation_name(node) == "limited" and not _fits(read.bound, LARGEST * (1.0 - CLOSE)):
                unsure.append(_is_close(read))
            for dead in self._dead.get(node, ()):
                del state[dead]
        found = state[logits].value
        return found, ~torch.stack(unsure).any(0) if unsure else torch.ones(n, dtype=torch.bool, device=found.device)

    def _run(self, node: fx.Node, state: dict[fx.Node, Bounded]) -> Bounded:
        name, read = operation_name(node), [state[used] for used in node.all_input_nodes]
        args, kwargs = fx.map_arg((node.args, node.kwargs), state.__getitem__)  # type: ignore[arg-type]  # no argument of a graph
        if name == "limited":
            return _limited(*read)
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
        value = _scaled(node, args, gain) if gain < torch.inf else _call(node, *with_dtype((args, kwargs), F64), wide=True)
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


def _scaled(node: fx.Node, args: Any, gain: float) -> Tensor:
    """Run a convolution or a product by a weight in float32 on scaled values; float64, infinite where the values are."""
    x, weight, bias = args[0], args[1].value, args[2] if len(args) > 2 else None
    of_gain = math.frexp(gain)[1]
    of_weight = max(0, of_gain - MOST_GAIN)
    of_x = (torch.frexp(x.finite_bound).exponent + of_gain - of_weight - MOST_SCALED).clamp(min=0)
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


def _is_close(x: Bounded) -> Tensor:
    """Tell of which examples a value is so near to the end of float32's range that rounding decides what is beyond."""
    return x.any_of((x.value.abs() - LARGEST).abs() < CLOSE * LARGEST)


def _axis(node: fx.Node) -> tuple[int, int] | None:
    """Return the axis of a value's examples, and entries an example; of several values, that of the first."""
    value = node.meta.get("val")
    first = value[0] if isinstance(value, tuple | list) else value
    if not isinstance(first, Tensor):
        return None
    try:
        return axis_of(first.shape)
    except CannotReplayError:  # all examples are bounded together
        return None
