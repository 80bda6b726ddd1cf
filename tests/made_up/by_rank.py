"""One network of each kind for inputs of any rank: sequences, images, volumes."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

N_CLASSES = 4
WIDTH = 6
SHAPES = {"sequences": (3, 11), "colour images": (3, 8, 9), "video": (3, 4, 6, 5)}


def of_rank(name: str, rank: int) -> type[nn.Module]:
    """Return torch's module of a rank, such as ``Conv2d``."""
    return getattr(nn, f"{name}{rank}d")


class Kind(nn.Module):
    """A first convolution, a middle that kinds differ in, and a head on the mean over all places."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.rank = len(shape) - 1
        self.first = of_rank("Conv", self.rank)(shape[0], WIDTH, 3, padding=1)
        self.make(of_rank("Conv", self.rank))
        self.head = nn.Linear(WIDTH, N_CLASSES)

    def make(self, conv: type[nn.Module]) -> None:
        self.second = conv(WIDTH, WIDTH, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.middle(F.relu(self.first(x))).flatten(2).mean(2))

    def middle(self, x: Tensor) -> Tensor:
        return F.relu(self.second(x))


class Perceptron(nn.Module):
    """Nothing but views and linear layers."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.flatten, self.hidden = nn.Flatten(), nn.Linear(torch.Size(shape).numel(), 2 * WIDTH)
        self.head = nn.Linear(2 * WIDTH, N_CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.hidden(self.flatten(x))))


class Views(Perceptron):
    """Views of the images, and of what a convolution returns."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__((shape[0], *shape[1:]))
        self.first = of_rank("Conv", len(shape) - 1)(shape[0], shape[0], 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = x.view(x.shape[0], x.shape[1], -1).view(x.shape)
        return super().forward(self.first(x).view(x.shape[0], -1))


class Normed(Kind):
    """Group, instance, layer and batch norms, the first of the images themselves."""

    def make(self, conv: type[nn.Module]) -> None:
        self.norms = nn.ModuleList(
            [nn.GroupNorm(2, WIDTH), of_rank("InstanceNorm", self.rank)(WIDTH), nn.GroupNorm(1, WIDTH)]
        )
        self.second, self.batch = conv(WIDTH, WIDTH, 3, padding=1), of_rank("BatchNorm", self.rank)(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.layer_norm(F.group_norm(x, 3), x.shape[1:]))

    def middle(self, x: Tensor) -> Tensor:
        for norm in self.norms:
            x = F.relu(norm(x)) + x
        return F.relu(self.batch(self.second(x)))


class Residual(Kind):
    """Two blocks with batch norm and a shortcut, added in place."""

    def make(self, conv: type[nn.Module]) -> None:
        norm = of_rank("BatchNorm", self.rank)
        self.blocks = nn.ModuleList(
            nn.Sequential(conv(WIDTH, WIDTH, 3, padding=1, bias=False), norm(WIDTH), nn.ReLU(inplace=True)) for _ in range(2)
        )

    def middle(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            y = block(x)
            y += x
            x = F.relu(y, inplace=True)
        return x


class Separable(Kind):
    """Depthwise, grouped, dilated and pointwise convolutions, and channels weighed by their means."""

    def make(self, conv: type[nn.Module]) -> None:
        self.depthwise = conv(WIDTH, WIDTH, 3, padding=2, dilation=2, groups=WIDTH, padding_mode="circular")
        self.grouped, self.pointwise = conv(WIDTH, 2 * WIDTH, 3, padding=1, groups=3), conv(2 * WIDTH, WIDTH, 1)
        self.weigh = conv(WIDTH, WIDTH, 1)

    def middle(self, x: Tensor) -> Tensor:
        x = self.pointwise(F.relu6(self.grouped(self.depthwise(x))))
        return x * torch.sigmoid(self.weigh(x.mean(tuple(range(2, x.ndim)), keepdim=True)))


class Pooled(Kind):
    """Pools of the images and of what follows, and a transposed convolution back."""

    def make(self, conv: type[nn.Module]) -> None:
        self.up = of_rank("ConvTranspose", self.rank)(WIDTH, WIDTH, 2, stride=2, groups=2)
        self.before, self.largest = of_rank("AvgPool", self.rank)(3, 1, 1), of_rank("MaxPool", self.rank)(2)
        self.fixed = of_rank("AdaptiveAvgPool", self.rank)(2)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.before(x))

    def middle(self, x: Tensor) -> Tensor:
        return self.fixed(F.relu(self.up(self.largest(x))))


class Dense(Kind):
    """Concatenates, takes halves and multiplies them."""

    def make(self, conv: type[nn.Module]) -> None:
        self.second, self.third = conv(WIDTH, WIDTH, 3, padding=1), conv(2 * WIDTH, 2 * WIDTH, 1)

    def middle(self, x: Tensor) -> Tensor:
        left, right = self.third(torch.cat([x, F.gelu(self.second(x))], 1)).chunk(2, 1)
        return left * torch.sigmoid(right)


class Attentive(Kind):
    """Attention among all places, the last axis first, and a layer norm."""

    def make(self, conv: type[nn.Module]) -> None:
        self.attention, self.norm = nn.MultiheadAttention(WIDTH, 2, batch_first=True), nn.LayerNorm(WIDTH)

    def middle(self, x: Tensor) -> Tensor:
        tokens = self.norm(x.permute(0, *range(x.ndim - 1, 0, -1)).reshape(x.shape[0], -1, WIDTH))
        return (tokens + self.attention(tokens, tokens, tokens)[0]).transpose(1, 2)


class Mixed(Kind):
    """Linear layers over channels and over places in turn."""

    def make(self, conv: type[nn.Module]) -> None:
        self.channels, self.places = nn.Linear(WIDTH, WIDTH), nn.LazyLinear(5)

    def middle(self, x: Tensor) -> Tensor:
        x = F.gelu(self.channels(x.flatten(2).transpose(1, 2))).transpose(1, 2)
        return F.gelu(self.places(x))


class Shuffled(nn.Module):
    """Images of which places become channels and back, in several ways, before the first convolution."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(4 * shape[0], 8, 3, padding=1), nn.Conv2d(2, 4, 1)
        self.patches, self.head = nn.Linear(4 * shape[0], 4), nn.Linear(4, N_CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = x[..., : x.shape[-1] // 2 * 2].permute(0, 1, 3, 2)
        patches = self.patches(F.unfold(x, 2, stride=2).transpose(1, 2)).mean(1)
        windows = x.unfold(2, 2, 2).unfold(3, 2, 2).permute(0, 1, 4, 5, 2, 3).flatten(1, 3)
        x = F.relu(self.first(F.pixel_unshuffle(x, 2) + windows))
        x = self.second(F.channel_shuffle(F.pixel_shuffle(x, 2), 2))
        return self.head(x.mean((2, 3)) + patches)


KINDS = [Kind, Perceptron, Views, Normed, Residual, Separable, Pooled, Dense, Attentive, Mixed]
CASES = [(kind, name) for kind in KINDS for name in SHAPES] + [(Shuffled, "colour images")]
