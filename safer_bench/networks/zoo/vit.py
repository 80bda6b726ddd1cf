"""Small vision transformers (Dosovitskiy et al. 2021): patches, pre-norm blocks, mean of the tokens."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from safer_bench.networks.zoo_network import Recipe, network


class Attention(nn.Module):
    """Multi-head self-attention with a joint projection to queries, keys and values."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, n_tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(n, n_tokens, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(n, n_tokens, width))


class Block(nn.Module):
    """Attention and a two-layer perceptron, each behind a layer norm and around a shortcut."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width), Attention(width, n_heads)
        self.norm2, self.fc1, self.fc2 = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class ViT(nn.Module):
    """A vision transformer on square grey images."""

    def __init__(self, size: int, patch: int, width: int, depth: int, n_heads: int, n_classes: int = 10) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(1, width, patch, patch)
        self.position = nn.Parameter(0.02 * torch.randn(1, (size // patch) ** 2, width))
        self.blocks = nn.Sequential(*(Block(width, n_heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patch_embed(images).flatten(2).transpose(1, 2) + self.position
        return self.head(self.norm(self.blocks(tokens)).mean(1))


@network(dataset="digits", family="vit", recipe=Recipe(200, 64, "adamw", 3e-3, 0.05, shift=1))
def digits_vit() -> nn.Module:
    """Three blocks of width 32 on patches of 2 x 2: fourteen layers."""
    return ViT(size=8, patch=2, width=32, depth=3, n_heads=4)


@network(
    dataset="fashion_mnist",
    family="vit",
    recipe=Recipe(20, 128, "adamw", 2e-3, 0.05, shift=2, flip=True, bfloat16=True),
)
def vit6() -> nn.Module:
    """Six blocks of width 64 on patches of 4 x 4: 26 layers."""
    return ViT(size=28, patch=4, width=64, depth=6, n_heads=4)


@network(
    dataset="fashion_mnist",
    family="vit",
    recipe=Recipe(16, 128, "adamw", 2e-3, 0.05, shift=2, flip=True, bfloat16=True),
)
def vit8() -> nn.Module:
    """Eight narrower blocks, of width 48, on patches of 4 x 4: 34 layers."""
    return ViT(size=28, patch=4, width=48, depth=8, n_heads=4)
