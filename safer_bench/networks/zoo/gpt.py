"""Small generative transformers over bytes (Radford et al. 2019): learned positions, pre-norm blocks, a tied head."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from safer_bench.networks.zoo_network import Recipe, network


class Attention(nn.Module):
    """Causal multi-head self-attention with a joint projection to queries, keys and values."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        q, k, v = self.qkv(x).reshape(n, length, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.proj(mixed.transpose(1, 2).reshape(n, length, width))


class Block(nn.Module):
    """Attention and a two-layer perceptron, each behind a layer norm and around a shortcut."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width), Attention(width, n_heads)
        self.norm2, self.fc1, self.fc2 = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    """A causal transformer: bytes ``(n, length)`` to logits ``(n, length, n_bytes)`` of the byte that comes next."""

    def __init__(self, length: int, width: int, depth: int, n_heads: int, n_bytes: int = 256) -> None:
        super().__init__()
        self.embed = nn.Embedding(n_bytes, width)  # the head too
        nn.init.normal_(self.embed.weight, std=0.02)
        self.position = nn.Parameter(0.02 * torch.randn(1, length, width))
        self.blocks = nn.Sequential(*(Block(width, n_heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens) + self.position[:, : tokens.shape[1]]
        return F.linear(self.norm(self.blocks(x)), self.embed.weight)


@network(dataset="text", family="gpt", class_axis=-1, recipe=Recipe(1, 32, "adamw", 3e-3, 0.05))
def text_gpt() -> nn.Module:
    """Four blocks of width 96: seventeen layers."""
    return GPT(length=64, width=96, depth=4, n_heads=4)
