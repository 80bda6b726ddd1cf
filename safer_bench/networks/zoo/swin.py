"""Transformers of shifted windows (Swin, Liu et al. 2021), with learned absolute instead of relative positions."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from safer_bench.networks.zoo.vit import Attention
from safer_bench.networks.zoo_network import Recipe, network


def windows(x: Tensor, size: int) -> Tensor:
    """Cut ``(n, height, width, channels)`` into windows ``(n * n_windows, size * size, channels)``."""
    x = x.unflatten(2, (-1, size)).unflatten(1, (-1, size))
    return x.transpose(2, 3).flatten(0, 2).flatten(1, 2)


def merged(parts: Tensor, size: int, n_rows: int) -> Tensor:
    """Undo ``windows`` for images of ``n_rows`` x ``n_rows`` tokens."""
    x = parts.unflatten(1, (size, size)).unflatten(0, (-1, n_rows // size, n_rows // size))
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)


class SwinBlock(nn.Module):
    """Attention within windows, moved by ``shift`` tokens round the edges, and a perceptron, each around a shortcut."""

    def __init__(self, n_rows: int, window: int, shift: int, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_rows, self.window, self.shift = n_rows, window, shift
        self.norm1, self.attn = nn.LayerNorm(width), Attention(width, n_heads)
        self.norm2, self.fc1, self.fc2 = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        moved = self.norm1(x).roll((-self.shift, -self.shift), (1, 2))
        attended = merged(self.attn(windows(moved, self.window)), self.window, self.n_rows)
        x = x + attended.roll((self.shift, self.shift), (1, 2))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class PatchMerging(nn.Module):
    """Joins 2 x 2 tokens to one of twice the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.reduction(self.norm(windows(x, 2).flatten(1)).unflatten(0, (-1, x.shape[1] // 2, x.shape[2] // 2)))


class Swin(nn.Module):
    """Stages of shifted-window blocks, given as (blocks, window), with patch merging between them; mean of the tokens."""

    def __init__(
        self, size: int, patch: int, width: int, stages: tuple[tuple[int, int], ...], head_width: int, n_classes: int = 10
    ) -> None:
        super().__init__()
        n_rows = size // patch
        self.patch_embed = nn.Conv2d(1, width, patch, patch)
        self.position = nn.Parameter(0.02 * torch.randn(1, n_rows, n_rows, width))
        self.stages = nn.Sequential()
        for stage, (n_blocks, window) in enumerate(stages):
            down = [PatchMerging(width)] if stage else []
            n_rows, width = (n_rows // 2, 2 * width) if stage else (n_rows, width)
            shifts = [window // 2 * (block % 2) * (window < n_rows) for block in range(n_blocks)]  # one window cannot move
            blocks = (SwinBlock(n_rows, window, shift, width, width // head_width) for shift in shifts)
            self.stages.append(nn.Sequential(*down, *blocks))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patch_embed(images).permute(0, 2, 3, 1) + self.position
        return self.head(self.norm(self.stages(tokens)).mean((1, 2)))


@network(
    dataset="fashion_mnist",
    family="swin",
    recipe=Recipe(12, 128, "adamw", 2e-3, 0.05, shift=2, flip=True, bfloat16=True),
)
def swin5() -> nn.Module:
    """Two blocks of width 32 on 14 x 14 patches and three of width 64 on 7 x 7: 23 layers."""
    return Swin(size=28, patch=2, width=32, stages=((2, 7), (3, 7)), head_width=16)
