"""MLP-Mixers (Tolstikhin et al. 2021): perceptrons over the patches and over the channels in turn."""

from torch import Tensor, nn
from torch.nn import functional as F

from safer_bench.networks.zoo_network import Recipe, network


class Perceptron(nn.Module):
    """Two linear layers with a GELU between them, over the last axis."""

    def __init__(self, width: int, n_hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, n_hidden), nn.Linear(n_hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class MixerBlock(nn.Module):
    """A perceptron over the tokens and one over the channels, each behind a layer norm and around a shortcut."""

    def __init__(self, n_tokens: int, width: int, n_token_hidden: int) -> None:
        super().__init__()
        self.norm1, self.token_mixing = nn.LayerNorm(width), Perceptron(n_tokens, n_token_hidden)
        self.norm2, self.channel_mixing = nn.LayerNorm(width), Perceptron(width, 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.token_mixing(self.norm1(x).transpose(1, 2).contiguous()).transpose(1, 2)
        return x + self.channel_mixing(self.norm2(x))


class Mixer(nn.Module):
    """A mixer on square grey images; mean of the tokens, one linear layer."""

    def __init__(self, size: int, patch: int, width: int, depth: int, n_token_hidden: int, n_classes: int = 10) -> None:
        super().__init__()
        n_tokens = (size // patch) ** 2
        self.patch_embed = nn.Conv2d(1, width, patch, patch)
        self.blocks = nn.Sequential(*(MixerBlock(n_tokens, width, n_token_hidden) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patch_embed(images).flatten(2).transpose(1, 2)
        return self.head(self.norm(self.blocks(tokens)).mean(1))


@network(
    dataset="fashion_mnist",
    family="mixer",
    recipe=Recipe(16, 128, "adamw", 4e-3, 0.05, shift=2, flip=True, bfloat16=True),
)
def mixer5() -> nn.Module:
    """Five blocks of width 64 on patches of 4 x 4: 22 layers."""
    return Mixer(size=28, patch=4, width=64, depth=5, n_token_hidden=64)
