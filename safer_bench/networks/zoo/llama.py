"""Small Llama-like transformers over bytes (Touvron et al. 2023): RMS norm, rotary positions, gated perceptrons."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from safer_bench.networks.zoo_network import Recipe, network


def rotations(length: int, width: int) -> Tensor:
    """Return cosines and sines of each position's angles ``(2, length, width)``; both halves turn alike.

    Source: Su et al. 2021, arXiv 2104.09864, with halves in place of neighbouring pairs.
    """
    rates = 10_000.0 ** (-np.arange(width // 2) / (width // 2))
    angles = np.tile(np.outer(np.arange(length), rates), 2)
    return torch.from_numpy(np.stack([np.cos(angles), np.sin(angles)])).float()


class Attention(nn.Module):
    """Causal multi-head self-attention whose queries and keys are turned by their position."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(width, width, bias=False) for _ in range(4))

    def forward(self, x: Tensor, turns: Tensor) -> Tensor:
        n, length, width = x.shape
        q, k, v = (
            project(x).reshape(n, length, self.n_heads, -1).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = F.scaled_dot_product_attention(_turned(q, turns), _turned(k, turns), v, is_causal=True)
        return self.o_proj(mixed.transpose(1, 2).reshape(n, length, width))


def _turned(x: Tensor, turns: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return x * turns[0] + torch.cat([-second, first], -1) * turns[1]


class GatedMLP(nn.Module):
    """A hidden layer multiplied by a gate (SwiGLU)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_proj, self.up_proj = (nn.Linear(width, hidden, bias=False) for _ in range(2))
        self.down_proj = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    """Attention and a gated perceptron, each behind an RMS norm and around a shortcut."""

    def __init__(self, width: int, hidden: int, n_heads: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.RMSNorm(width, eps=1e-6), Attention(width, n_heads)
        self.norm2, self.mlp = nn.RMSNorm(width, eps=1e-6), GatedMLP(width, hidden)

    def forward(self, x: Tensor, turns: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x), turns)
        return x + self.mlp(self.norm2(x))


class Llama(nn.Module):
    """A causal transformer: bytes ``(n, length)`` to logits ``(n, length, n_bytes)`` of the byte that comes next."""

    turns: Tensor

    def __init__(self, length: int, width: int, hidden: int, depth: int, n_heads: int, n_bytes: int = 256) -> None:
        super().__init__()
        self.embed = nn.Embedding(n_bytes, width)
        self.register_buffer("turns", rotations(length, width // n_heads))  # in the weights' file: cosines differ by machine
        self.blocks = nn.ModuleList(Block(width, hidden, n_heads) for _ in range(depth))
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.head = nn.Linear(width, n_bytes, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x, turns = self.embed(tokens), self.turns[:, : tokens.shape[1]]
        for block in self.blocks:
            x = block(x, turns)
        return self.head(self.norm(x))


@network(dataset="text", family="llama", class_axis=-1, recipe=Recipe(1, 32, "adamw", 3e-3, 0.05))
def text_llama() -> nn.Module:
    """Four blocks of width 96: thirty layers."""
    return Llama(length=64, width=96, hidden=256, depth=4, n_heads=4)
