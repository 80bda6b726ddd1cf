"""Hybrids in the manner of the compact convolutional transformer (Hassani et al. 2021): convolutions make the tokens."""

import torch
from torch import Tensor, nn

from safer_bench.networks.zoo.vit import Block
from safer_bench.networks.zoo_network import Recipe, network


class Hybrid(nn.Module):
    """3x3 convolutions, each halved by max pooling, then transformer blocks on the remaining pixels; mean of the tokens."""

    def __init__(self, size: int, widths: tuple[int, ...], depth: int, n_heads: int, n_classes: int = 10) -> None:
        super().__init__()
        stem: list[nn.Module] = []
        n_inputs = 1
        for width in widths:
            conv = nn.Conv2d(n_inputs, width, 3, padding=1, bias=False)
            stem += [conv, nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]
            n_inputs = width
        self.stem = nn.Sequential(*stem)
        self.position = nn.Parameter(0.02 * torch.randn(1, (size // 2 ** len(widths)) ** 2, n_inputs))
        self.blocks = nn.Sequential(*(Block(n_inputs, n_heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(n_inputs)
        self.head = nn.Linear(n_inputs, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.stem(images).flatten(2).transpose(1, 2) + self.position
        return self.head(self.norm(self.blocks(tokens)).mean(1))


@network(
    dataset="fashion_mnist",
    family="hybrid",
    recipe=Recipe(12, 128, "adamw", 2e-3, 0.05, shift=2, flip=True, bfloat16=True),
)
def hybrid4() -> nn.Module:
    """Two convolutions and four transformer blocks of width 64: nineteen layers."""
    return Hybrid(size=28, widths=(32, 64), depth=4, n_heads=4)
