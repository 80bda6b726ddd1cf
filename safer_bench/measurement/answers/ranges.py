"""How large an operation's values can become, on the way and in its result, from how large those are that it reads."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Bound = Tensor | float  # of the largest absolute entry, float64: (n,), or () where no example changes it
Reach = tuple[Bound, Bound]  # of all that is computed on the way, and of the result


@dataclass(slots=True)
class Bounded:
    """A value with a bound of its largest absolute entry, of each example; measured where it is asked for first.

    Attributes:
        value: a tensor, or several of which the first counts.
        axis: (axis, entries an example) of its examples; None where it holds none, or they are bounded together.
        known: the bound.
        measured: it is the largest entry itself.
    """

    value: Any
    axis: tuple[int, int] | None
    known: Bound | None = None
    measured: bool = False

    def __post_init__(self) -> None:
        if self.axis is None and isinstance(self.known, Tensor):
            self.known = self.known.amax()

    @property
    def bound(self) -> Bound:
        """The bound."""
        return self.measure() if self.known is None else self.known

    @property
    def finite_bound(self) -> Tensor:
        """The bound of finite entries."""
        bound = torch.as_tensor(self.bound, dtype=torch.float64, device=self.value.device)
        if bool(torch.isfinite(bound).all()):
            return bound
        finite = torch.where(torch.isfinite(self.value), self.value, 0.0)
        return torch.as_tensor(Bounded(finite, self.axis).bound)

    def measure(self) -> Bound:
        """Look at the value: NaN where it holds NaN."""
        if not self.measured or self.known is None:
            self.known, self.measured = self._largest(), True
        return self.known

    def narrowed(self) -> "Bounded":
        """Return it in float32."""
        value = self.value.float() if isinstance(self.value, Tensor) else tuple(each.float() for each in self.value)
        return Bounded(value, self.axis, self.known, self.measured)

    def any_of(self, found: Tensor) -> Tensor:
        """Tell of which examples any entry is true, ``(n,)``; ``()`` where no axis is known."""
        return self._by_example(found.to(torch.uint8)) > 0

    def _largest(self) -> Bound:
        first = _first(self.value)
        if not isinstance(first, Tensor):
            return abs(float(first))
        if first.numel() == 0:
            return 0.0
        return self._by_example(first.abs() if first.is_floating_point() else first.double().abs()).double()

    def _by_example(self, value: Tensor) -> Tensor:
        """Return the largest entry of each example."""
        if self.axis is None:
            return value.amax()
        axis, per_example = self.axis
        others = tuple(dim for dim in range(value.ndim) if dim != axis)
        return (value.amax(others) if others else value).unflatten(0, (-1, per_example)).amax(1)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple | list) else value


def _bound(item: Any) -> Bound:
    """Return the bound of a value or of a number."""
    return item.bound if isinstance(item, Bounded) else abs(float(item))


def _larger(left: Bound, right: Bound) -> Bound:
    """Return the larger bound, example by example; NaN where one is."""
    if isinstance(left, float):
        return max(left, right) if isinstance(right, float) else right.clamp(min=left)
    return left.clamp(min=right)


def _kept(x: Any, *rest: Any, **_: Any) -> Reach:
    """Return the largest bound of what is rearranged, joined or cut; numbers among the arguments are places."""
    read = [item for item in (*(x if isinstance(x, list | tuple) else (x,)), *rest) if isinstance(item, Bounded)]
    bound = read[0].bound
    for other in read[1:]:
        bound = _larger(bound, other.bound)
    return bound, bound


def _padded(x: Bounded, _: Any, value: float = 0.0) -> Reach:
    bound = _larger(x.bound, _bound(value))
    return bound, bound


def _padded_by(x: Bounded, size: Any, _: str = "constant", value: float | None = None) -> Reach:
    return _padded(x, size, value or 0.0)


def _sum(left: Any, right: Any, *, alpha: float = 1.0) -> Reach:
    bound = _bound(left) + abs(alpha) * _bound(right)
    return bound, bound


def _product(left: Any, right: Any) -> Reach:
    bound = _bound(left) * _bound(right)
    return bound, bound


def _matrix_product(left: Bounded, right: Bounded) -> Reach:
    bound = left.bound * right.bound * left.value.shape[-1]
    return bound, bound


def _mean(x: Bounded, *_: Any, **__: Any) -> Reach:
    return x.bound * x.value.numel(), x.bound


def _pooled(x: Bounded, size: Any, *rest: Any, divisor_override: int | None = None, **__: Any) -> Reach:
    divided = len(rest) < 5 and divisor_override is None
    reach, bound = _mean(x, size)
    return reach, bound if divided else reach


def _between(x: Bounded, low: float = -1.0, high: float = 1.0) -> Reach:
    return x.bound, max(abs(low), abs(high))


def _clamped(x: Bounded, min: Any = None, max: Any = None) -> Reach:  # noqa: A002  as the operation calls them
    ends = [_bound(end) for end in (min, max) if end is not None]
    return x.bound, _larger(*ends) if len(ends) == 2 else _larger(x.bound, ends[0])


def _six(x: Bounded) -> Reach:
    return x.bound, 6.0


def _squashed(x: Bounded, *_: Any, **__: Any) -> Reach:
    return 8.0 * x.bound, 1.0


def _gelu(x: Bounded, *, approximate: str = "none") -> Reach:
    return x.bound if approximate == "none" else x.bound**3, x.bound


def _gated(x: Bounded, *_: Any) -> Reach:
    return 8.0 * x.bound, 2.0 * x.bound


def _glu(x: Bounded, *_: Any) -> Reach:
    return 8.0 * x.bound, x.bound


def _elu(x: Bounded, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Reach:
    bound = x.bound * (abs(scale) * max(1.0, abs(alpha)) * max(1.0, abs(input_scale)))
    return 8.0 * bound, bound


def _normed(x: Bounded, n: int, weight: Any, bias: Any) -> Reach:
    """Return the reach of dividing by the root of a mean of n squares: no entry is larger than sqrt(n) then."""
    gain = 1.0 if weight is None else weight.bound
    return 4.0 * n * x.bound**2, math.sqrt(n) * gain + (0.0 if bias is None else bias.bound)


def _layer_norm(x: Bounded, shape: list[int], weight: Any = None, bias: Any = None, *_: Any) -> Reach:
    return _normed(x, math.prod(shape), weight, bias)


def _rms_norm(x: Bounded, shape: list[int], weight: Any = None, *_: Any, **__: Any) -> Reach:
    return _normed(x, math.prod(shape), weight, None)


def _group_norm(x: Bounded, groups: int, weight: Any = None, bias: Any = None, *_: Any) -> Reach:
    return _normed(x, math.prod(x.value.shape[1:]) // groups, weight, bias)


def _attention(query: Bounded, key: Bounded, value: Bounded, *_: Any, scale: float | None = None, **__: Any) -> Reach:
    scores = query.bound * key.bound * query.value.shape[-1] * max(1.0, abs(scale or 1.0))
    return _larger(4.0 * scores, value.bound), 2.0 * value.bound


def _lstm(x: Bounded, state: list[Bounded], weights: list[Bounded], *_: Any) -> Reach:
    """Return the reach of the gates' sums: a cell grows by 1 a step at most, an output is within 1, unless projected."""
    rows = [float(each.value.double().abs().sum(1).max()) for each in weights if each.value.ndim == 2]
    biases = [float(torch.as_tensor(each.bound).max()) for each in weights if each.value.ndim == 1]
    before = _larger(_larger(state[0].bound, state[1].bound), max(1.0, *rows))
    reach = _larger(x.bound, before) * (2.0 * max(rows)) + 2.0 * max(biases, default=0.0)
    return 8.0 * reach, before + float(max(x.value.shape[:-1]))


def _anything(*_: Any, **__: Any) -> Reach:
    return math.inf, math.inf


MOVES = {
    *("getitem", "reshape", "view", "_unsafe_view", "flatten", "unflatten", "permute", "transpose", "t", "movedim", "roll"),
    *("squeeze", "unsqueeze", "expand", "clone", "alias", "contiguous", "detach", "dropout", "slice", "select", "narrow"),
    *("split", "split_with_sizes", "chunk", "unbind", "cat", "stack", "flip", "repeat", "index_select", "embedding"),
    *("pixel_shuffle", "channel_shuffle", "upsample_nearest2d"),
}
CHOOSES = {
    *("relu", "abs", "neg", "amax", "amin"),
    *("max_pool1d", "max_pool2d", "max_pool2d_with_indices", "adaptive_max_pool2d"),
}
AVERAGE = {"mean", "avg_pool1d", "avg_pool2d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "_adaptive_avg_pool2d"}
# What overflows in them still shows in their results.
SHOWING = {"div", "pow", "sqrt", "rsqrt", "exp", "sum", "var", "std", "reciprocal", "log", "leaky_relu", "prelu"}

# Operations that may hide an overflow within: what they read is kept small enough.
HIDING: dict[str, Callable[..., Reach]] = {
    "hardtanh": _between,
    "relu6": _six,
    "clamp": _clamped,
    "sigmoid": _squashed,
    "tanh": _squashed,
    "softmax": _squashed,
    "_softmax": _squashed,
    "hardsigmoid": _squashed,
    "gelu": _gelu,
    "silu": _gated,
    "hardswish": _gated,
    "elu": _elu,
    "glu": _glu,
    "selu": _gated,
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
    "rms_norm": _rms_norm,
    "lstm": _lstm,
    "scaled_dot_product_attention": _attention,
}
REACHES: dict[str, Callable[..., Reach]] = {
    **dict.fromkeys(MOVES | CHOOSES, _kept),
    "limited": _kept,
    **dict.fromkeys(AVERAGE, _mean),
    "avg_pool2d": _pooled,
    **dict.fromkeys(SHOWING, _anything),
    **HIDING,
    "add": _sum,
    "sub": _sum,
    "mul": _product,
    "matmul": _matrix_product,
    "bmm": _matrix_product,
    "mm": _matrix_product,
    "constant_pad_nd": _padded,
    "pad": _padded_by,
}

Gain = tuple[float, float]  # |result| <= gain * |x| + offset


def _rows(weight: Tensor, bias: Tensor | None, axes: tuple[int, ...]) -> Gain:
    sums = weight.double().abs().sum(axes)
    return float(sums.max()), 0.0 if bias is None else float(bias.abs().max())


def _linear(_: Any, weight: Tensor, bias: Tensor | None = None) -> Gain:
    return _rows(weight, bias, (1,))


def _convolution(_: Any, weight: Tensor, bias: Tensor | None = None, *__: Any) -> Gain:
    return _rows(weight, bias, tuple(range(1, weight.ndim)))


def _transposed(_: Any, weight: Tensor, bias: Tensor | None = None, *__: Any) -> Gain:
    return _rows(weight, bias, (0, *range(2, weight.ndim)))


def _batch_norm(_: Any, gamma: Any, beta: Any, mean: Tensor, variance: Tensor, __: float, epsilon: float) -> Gain:
    scale = (variance.double() + epsilon).rsqrt() * (1.0 if gamma is None else gamma.double())
    gain = float(scale.abs().max())
    return gain, gain * float(mean.abs().max()) + (0.0 if beta is None else float(beta.abs().max()))


SCALED = {"linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}
AFFINE: dict[str, Callable[..., Gain]] = {
    "linear": _linear,
    "conv1d": _convolution,
    "conv2d": _convolution,
    "conv3d": _convolution,
    "conv_transpose1d": _transposed,
    "conv_transpose2d": _transposed,
    "conv_transpose3d": _transposed,
    "_native_batch_norm_legit_no_training": _batch_norm,
}
