"""Networks of split, transformed and shuffled channels in the manner of ShuffleNetV2 (Ma et al. 2018)."""

import torch
from torch import Tensor, nn

from safer_bench.networks.zoo_network import Recipe, network


def conv_bn(n_inputs: int, n_outputs: int, size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Return a convolution that keeps the image's size up to its stride, and batch norm."""
    conv = nn.Conv2d(n_inputs, n_outputs, size, stride, padding=size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(n_outputs))


def shuffle_channels(x: Tensor) -> Tensor:
    """Interleave the two halves of the channels of ``(n, channels, height, width)``."""
    return x.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)


class Branch(nn.Module):
    """1x1, depthwise 3x3 and 1x1 convolutions; ReLU after both 1x1."""

    def __init__(self, n_inputs: int, n_outputs: int, stride: int) -> None:
        super().__init__()
        self.pointwise1 = conv_bn(n_inputs, n_outputs, 1)
        self.depthwise = conv_bn(n_outputs, n_outputs, 3, stride, groups=n_outputs)
        self.pointwise2 = conv_bn(n_outputs, n_outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise2(self.depthwise(self.pointwise1(x).relu())).relu()


class ShuffleUnit(nn.Module):
    """Half of the channels pass unchanged, the other half a branch; then both are shuffled."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = Branch(width // 2, width // 2, stride=1)

    def forward(self, x: Tensor) -> Tensor:
        kept, changed = x.chunk(2, 1)
        return shuffle_channels(torch.cat([kept, self.branch(changed)], 1))


class ShuffleDownsampling(nn.Module):
    """Two branches of stride 2 on all channels, then shuffled: half the image, ``n_outputs`` channels."""

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.depthwise = conv_bn(n_inputs, n_inputs, 3, stride=2, groups=n_inputs)
        self.pointwise = conv_bn(n_inputs, n_outputs // 2, 1)
        self.branch = Branch(n_inputs, n_outputs // 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return shuffle_channels(torch.cat([self.pointwise(self.depthwise(x)).relu(), self.branch(x)], 1))


class ShuffleNet(nn.Module):
    """A 3x3 stem of stride 2, stages that halve the image again, a 1x1 convolution, average pooling, one linear layer."""

    def __init__(self, n_inputs: int, widths: tuple[int, ...], n_units: int, n_head: int, n_classes: int = 10) -> None:
        super().__init__()
        self.stem = conv_bn(1, n_inputs, 3, stride=2)
        self.stages = nn.Sequential()
        for width in widths:
            units = (ShuffleUnit(width) for _ in range(n_units))
            self.stages.append(nn.Sequential(ShuffleDownsampling(n_inputs, width), *units))
            n_inputs = width
        self.head = conv_bn(n_inputs, n_head, 1)
        self.fc = nn.Linear(n_head, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.head(self.stages(self.stem(images).relu())).relu().mean((2, 3)))


@network(
    dataset="fashion_mnist",
    family="shufflenet",
    recipe=Recipe(14, 128, "sgd", 0.2, 2e-4, shift=2, flip=True),
)
def shufflenet31() -> nn.Module:
    """Two stages of a downsampling and three units with widths 64, 128: 31 layers."""
    return ShuffleNet(n_inputs=24, widths=(64, 128), n_units=3, n_head=160)
