"""Networks made up at random: a few operations in a row, or beside each other, on inputs of one to four axes an example.

``Choices`` says which: a seed does, or hypothesis, which then finds the smallest network that goes wrong.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from safer_bench.networks.network import Network

N_CLASSES = 4
MOST_ENTRIES = 1500  # of a value, an example
SHAPES = (
    *((3, 6, 6), (4, 5, 7), (1, 6, 6), (2, 8, 8)),  # images
    *((3, 9), (6, 8), (1, 12)),  # sequences
    *((6,), (9,)),  # features
    *((2, 3, 4, 4), (3, 2, 5, 4)),  # volumes
)
Choose = Callable[[Sequence[Any]], Any]


class Of(nn.Module):
    """A function of one tensor, as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Residual(nn.Module):
    """Adds what a module makes of its input, or multiplies by it."""

    def __init__(self, inner: nn.Module, how: str) -> None:
        super().__init__()
        self.inner, self.how = inner, how

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(x)
        if self.how == "add in place":
            y += x
            return y
        return x + y if self.how == "add" else x * torch.sigmoid(y)


class Beside(nn.Module):
    """Joins what two modules make of one input."""

    def __init__(self, left: nn.Module, right: nn.Module) -> None:
        super().__init__()
        self.left, self.right = left, right

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.left(x), self.right(x)], 1)


class Attention(nn.Module):
    """Attention among the last axis of (n, width, length)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2)
        return (x + self.inner(x, x, x, need_weights=False)[0]).transpose(1, 2)


class OwnAttention(nn.Module):
    """Attention written out: one projection, chunk, softmax."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x.transpose(1, 2)).chunk(3, -1)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)


class Recurrent(nn.Module):
    """A recurrent layer along the last axis of (n, width, length)."""

    def __init__(self, kind: type[nn.Module], width: int, out: int) -> None:
        super().__init__()
        self.inner = kind(width, out, batch_first=True, bidirectional=out % 2 == 0)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.transpose(1, 2))[0].transpose(1, 2)


class Head(nn.Module):
    """Logits of whatever is left."""

    def __init__(self, n_features: int, how: str) -> None:
        super().__init__()
        self.head, self.how = nn.Linear(n_features, N_CLASSES), how

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "flatten":
            return self.head(x.flatten(1))
        return self.head(x.view(x.shape[0], -1) if self.how == "view" else x.reshape(x.shape[0], x.shape[1], -1).mean(2))


def _convolution(x: Tensor, choose: Choose) -> nn.Module:
    rank, width = x.ndim - 2, x.shape[1]
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1]
    groups = choose([1, 1, *(g for g in (2, 3, width) if width % g == 0)])
    out, kernel = groups * choose([1, 2, 3]), choose([1, 2, 3])
    padding, dilation = choose([0, 1]), choose([1, 1, 2])
    mode = choose(["zeros", "zeros", "circular"])
    return kind(width, out, kernel, choose([1, 2]), padding, dilation, groups, choose([True, False]), mode)


def _transposed(x: Tensor, choose: Choose) -> nn.Module:
    kind = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[x.ndim - 3]
    groups = choose([1, *(g for g in (2, 3) if x.shape[1] % g == 0)])
    return kind(x.shape[1], groups * choose([1, 2]), choose([1, 2, 3]), stride=choose([1, 2]), groups=groups)


def _pool(x: Tensor, choose: Choose) -> nn.Module:
    rank = x.ndim - 2
    kind, arguments = choose(
        [("MaxPool", (2,)), ("MaxPool", (3, 2, 1)), ("AvgPool", (2,)), ("AdaptiveAvgPool", (2,)), ("AdaptiveMaxPool", (3,))]
    )
    return getattr(nn, f"{kind}{rank}d")(*arguments)


def _norm(x: Tensor, choose: Choose) -> nn.Module:
    rank, width = max(1, x.ndim - 2), x.shape[1]
    kind = choose(["batch", "batch", "group", "instance", "layer", "last"])
    if kind == "group":
        return nn.GroupNorm(choose([g for g in (1, 2, 3) if width % g == 0]), width)
    if kind == "layer":
        return nn.LayerNorm(x.shape[1:])
    if kind == "last":
        return nn.LayerNorm(x.shape[-1])
    if kind == "instance" and x.ndim > 2:
        return getattr(nn, f"InstanceNorm{rank}d")(width, affine=choose([True, False]))
    norm = getattr(nn, f"BatchNorm{rank}d")(width)
    norm.running_mean.normal_(0, 0.3)
    norm.running_var.uniform_(0.5, 2)
    return norm


def _activation(x: Tensor, choose: Choose) -> nn.Module:
    made = [nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6(), nn.GELU(), nn.SiLU(), nn.Hardswish(), nn.LeakyReLU(0.1), nn.ELU()]
    return choose([*made, nn.Tanh(), nn.Sigmoid(), nn.PReLU(), nn.Softplus(), nn.Softmax(1), nn.Mish(), nn.Softmax(-1)])


def _arrange(x: Tensor, choose: Choose) -> nn.Module:
    """Return a view, or a copy in another order."""
    width, axes = x.shape[1], x.ndim
    last, half = axes - 1, x.shape[-1] // 2
    functions = [
        lambda x: x.flatten(1),
        lambda x: x.view(x.shape[0], -1),
        lambda x: x.view(x.shape[0], x.shape[1], -1),
        lambda x: x.reshape(x.shape[0], -1, width),
        lambda x: x.reshape(x.shape[0], x.shape[1], 1, -1),
        lambda x: x.transpose(1, last),
        lambda x: x.transpose(1, last).contiguous().view(x.shape[0], -1),
        lambda x: x.permute(0, *range(axes - 1, 0, -1)),
        lambda x: x.flip(last),
        lambda x: x.roll(1, last),
        lambda x: x.unsqueeze(2),
        lambda x: x.mean(last),
        lambda x: x.amax(last),
        lambda x: x[..., half:],
        lambda x: x[:, ::2],
        lambda x: x.unfold(last, 2, 2).reshape(x.shape[0], -1, half),
        lambda x: torch.stack([x, x.flip(1)], 2),
        lambda x: x.repeat_interleave(2, 1),
        lambda x: F.pad(x, (1, 1)),
        lambda x: x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x.clone(),
    ]
    return Of(choose(functions))


def _combine(x: Tensor, choose: Choose) -> nn.Module:
    """Return a function that takes its input apart and joins it again."""

    def written_to(x: Tensor) -> Tensor:
        y = x.clone()
        y[:, :1].relu_()
        y[:, -1] = x[:, 0]
        return y

    functions = [
        lambda x: torch.cat([x, x.relu()], 1),
        lambda x: torch.cat(x.chunk(2, 1)[::-1], 1),
        lambda x: F.glu(x, 1),
        lambda x: x.chunk(2, -1)[0] * x.chunk(2, -1)[0].tanh(),
        lambda x: x + x.mean(1, keepdim=True),
        lambda x: x * x.sigmoid(),
        lambda x: x / (1 + x.abs()),
        lambda x: F.normalize(x, dim=1),
        lambda x: x - x.logsumexp(1, keepdim=True),
        lambda x: torch.maximum(x, -x.flip(-1)),
        lambda x: x.cumsum(-1),
        lambda x: torch.where(torch.arange(x.shape[-1]) % 2 == 0, x, 0.5 * x),
        lambda x: torch.einsum("bi...,bj...->bij", x, x),
        written_to,
    ]
    return Of(choose(functions))


def _linear(x: Tensor, choose: Choose) -> nn.Module:
    return nn.Linear(x.shape[-1], choose([3, 5, 8]), bias=choose([True, False]))


def _of_images(x: Tensor, choose: Choose) -> nn.Module:
    made = [
        nn.PixelShuffle(2),
        nn.PixelUnshuffle(2),
        nn.Unfold(2, stride=2),
        nn.ChannelShuffle(2),
        nn.Upsample(scale_factor=2),
    ]
    return choose([*made, nn.ReflectionPad2d(1), nn.ZeroPad2d(1), nn.Upsample(size=5, mode="bilinear"), nn.LPPool2d(2, 2)])


def _attention(x: Tensor, choose: Choose) -> nn.Module:
    heads = choose([h for h in (1, 2, 3) if x.shape[1] % h == 0])
    return choose([Attention(x.shape[1], heads), OwnAttention(x.shape[1])])


def _recurrent(x: Tensor, choose: Choose) -> nn.Module:
    return Recurrent(choose([nn.LSTM, nn.GRU, nn.RNN]), x.shape[1], choose([3, 4]))


def _together(x: Tensor, choose: Choose) -> nn.Module:
    """Return a branch beside its input, or two beside each other."""
    how = choose(["add", "add in place", "gate", "beside"])
    inner = nn.Sequential(_piece(x, choose, PLAIN), _piece(x, choose, [_activation]))
    return Beside(inner, _piece(x, choose, PLAIN)) if how == "beside" else Residual(inner, how)


def _raises_beyond(x: Tensor) -> Tensor:
    assert bool((x.abs() < 3).all()), "too large"
    return x


def _half_of_them_nan(x: Tensor) -> Tensor:
    return torch.where(x.flatten(1)[:, :1].reshape(-1, *[1] * (x.ndim - 1)) > 0, x, torch.nan)


class WritesItsState(nn.Module):
    """Counts its calls in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x


def _odd(function: Callable[[Tensor], Tensor]) -> Callable[[], nn.Module]:
    return lambda: Of(function)


ODD: dict[str, Callable[[], nn.Module]] = {
    "by values": _odd(lambda x: x if x.sum() > -1e9 else -x),
    "by the number": _odd(lambda x: x.view(len(x), *x.shape[1:])),
    "jumps": _odd(lambda x: (4 * x).round() / 4),
    "raises": _odd(_raises_beyond),
    "single precision": _odd(lambda x: x.float()),
    "single precision inside": _odd(lambda x: x.float().to(x.dtype)),
    "numpy": _odd(lambda x: torch.from_numpy(x.numpy() * 1.0)),
    "as_strided": _odd(lambda x: x.as_strided(x.shape, x.stride())),
    "its layout": _odd(lambda x: x * float(x.stride(1))),
    "nan": _odd(lambda x: x * torch.nan),
    "some nan": _odd(_half_of_them_nan),
    "random": _odd(lambda x: x + torch.rand_like(x)),
    "state": WritesItsState,
    "logarithm": _odd(lambda x: x.relu().log()),
    "several": _odd(lambda x: torch.cat([x, x])[: x.shape[0]]),
    "data": _odd(lambda x: x.data.clone()),
    "complex": _odd(lambda x: torch.fft.ifft(torch.fft.fft(x)).real),
    "sorted": _odd(lambda x: x.sort(-1)[0]),
}
PLAIN = [_convolution, _convolution, _norm, _activation, _linear]
RANKS = {
    _convolution: (3, 4, 5),
    _transposed: (3, 4, 5),
    _pool: (3, 4, 5),
    _of_images: (4,),
    _attention: (3,),
    _recurrent: (3,),
}
KINDS = [
    *PLAIN,
    _transposed,
    _pool,
    _arrange,
    _arrange,
    _combine,
    _of_images,
    _of_images,
    _attention,
    _recurrent,
    _together,
    _together,
]


def _piece(x: Tensor, choose: Choose, kinds: Sequence[Any]) -> nn.Module:
    return choose([kind for kind in kinds if x.ndim in RANKS.get(kind, (x.ndim,))])(x, choose)


def _fits(module: nn.Module, x: Tensor) -> Tensor | None:
    """Return a module's answer to the input; None where it does not take it, or answers by nothing or too much."""
    try:
        found = module(x.clone())
    except (RuntimeError, ValueError, IndexError, TypeError, AssertionError):
        return None
    fits = 2 <= found.ndim <= 5 and len(found) == len(x) and 0 < found[0].numel() <= MOST_ENTRIES
    return found if fits and bool(torch.isfinite(found).all()) else None


@torch.no_grad()
def made_up(choose: Choose, n_images: int = 12, name: str = "made_up", odd: str | None = None) -> Network:
    """Return a network of one to six operations and a head, whose answers spread over the classes.

    Args:
        choose: of some options, one.
        n_images: evaluation images.
        name: of the network.
        odd: one of ``ODD`` that it has besides, if any; some are refused.

    Raises:
        BadInput: an odd one was refused.
    """
    images = torch.randn(n_images, *choose(SHAPES))
    modules, x = [], images
    for _ in range(choose([1, 2, 3, 4, 5, 6])):
        module = _piece(x, choose, KINDS).eval()
        if (found := _fits(module, x)) is not None:
            modules.append(module)
            x = found
    how = choose(["flatten", "flatten", "view", "mean"])
    head = Head(x.shape[1] if how == "mean" else x[0].numel(), how)
    modules.append(head if _fits(head, x) is not None else Head(x[0].numel(), "flatten"))
    model = nn.Sequential(*modules).eval()
    logits, head = model(images.clone()), model[-1].head
    if bool((logits.std(0) > 1e-2).all()):  # else rounding alone would choose the classes
        head.weight.div_(logits.std(0)[:, None])
        head.bias.sub_(logits.mean(0)).div_(logits.std(0))
    if odd is not None:
        model.insert(len(modules) - 1 if choose([True, False]) else 0, ODD[odd]().eval())
    labels = model(images.clone()).argmax(1)
    labels[::5] = (labels[::5] + 1) % N_CLASSES
    return Network(model, images, labels, name=name)


def of_seed(seed: int) -> Network:
    """Return the network of a seed; one in five is odd."""
    torch.manual_seed(seed)
    own = random.Random(seed)
    odd = own.choice(list(ODD)) if seed % 5 == 4 else None
    return made_up(own.choice, own.choice([3, 7, 12, 13]), f"made_up_{seed}", odd)
