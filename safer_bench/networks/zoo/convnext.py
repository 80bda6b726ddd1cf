"""Convolutional networks in the manner of ConvNeXt (Liu et al. 2022)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from safer_bench.networks.zoo_network import Recipe, network


class ChannelNorm(nn.Module):
    """Layer norm over the channels of ``(n, channels, height, width)``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    """A depthwise convolution, layer norm, and two linear layers at each pixel, scaled by channel, around a shortcut."""

    def __init__(self, width: int, size: int, scale: float = 0.1) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, size, padding=size // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, x: Tensor) -> Tensor:
        pixels = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + (self.scale * self.fc2(F.gelu(self.fc1(pixels)))).permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    """A patch stem and stages of blocks, with layer norm and a strided convolution between stages."""

    def __init__(self, patch: int, widths: tuple[int, ...], n_blocks: int, size: int, n_classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, widths[0], patch, patch), ChannelNorm(widths[0]))
        self.stages = nn.Sequential()
        n_inputs = widths[0]
        for stage, width in enumerate(widths):
            down = [ChannelNorm(n_inputs), nn.Conv2d(n_inputs, width, 2, 2)] if stage else []
            self.stages.append(nn.Sequential(*down, *(ConvNeXtBlock(width, size) for _ in range(n_blocks))))
            n_inputs = width
        self.norm = nn.LayerNorm(n_inputs)
        self.head = nn.Linear(n_inputs, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.norm(self.stages(self.stem(images)).mean((2, 3))))


@network(
    dataset="fashion_mnist",
    family="convnext",
    recipe=Recipe(14, 128, "adamw", 4e-3, 0.05, shift=2, flip=True, bfloat16=True),
)
def convnext6() -> nn.Module:
    """Three blocks a stage with 3 x 3 convolutions and widths 40, 80 on patches of 2 x 2: 21 layers."""
    return ConvNeXt(patch=2, widths=(40, 80), n_blocks=3, size=3)
