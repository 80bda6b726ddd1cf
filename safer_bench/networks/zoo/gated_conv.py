"""Small gated convolutional language models over bytes (Dauphin et al. 2017), dilated as in van den Oord et al. 2016."""

from torch import Tensor, nn
from torch.nn import functional as F

from safer_bench.networks.zoo_network import Recipe, network


class Block(nn.Module):
    """A causal dilated convolution behind a layer norm, half of it the gate of the other, around a shortcut."""

    def __init__(self, width: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.reach = (kernel - 1) * dilation
        self.norm = nn.LayerNorm(width)
        self.conv = nn.Conv1d(width, 2 * width, kernel, dilation=dilation)
        self.proj = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        seen = F.pad(self.norm(x).transpose(1, 2), (self.reach, 0))
        return x + self.proj(F.glu(self.conv(seen), 1)).transpose(1, 2)


class GatedConv(nn.Module):
    """Gated convolutions: bytes ``(n, length)`` to logits ``(n, length, n_bytes)`` of the byte that comes next."""

    def __init__(self, width: int, kernel: int, dilations: tuple[int, ...], n_bytes: int = 256) -> None:
        super().__init__()
        self.embed = nn.Embedding(n_bytes, width)
        self.blocks = nn.Sequential(*(Block(width, kernel, dilation) for dilation in dilations))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, n_bytes)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.embed(tokens))))


@network(dataset="text", family="gated_conv", class_axis=-1, recipe=Recipe(2, 64, "adamw", 4e-3, 0.05, bfloat16=True))
def text_conv() -> nn.Module:
    """Seven blocks of width 80 that see 61 bytes: sixteen layers."""
    return GatedConv(width=80, kernel=4, dilations=(1, 2, 4, 8, 1, 2, 2))
