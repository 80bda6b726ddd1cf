"""Multi-layer perceptrons with batch norm."""

from itertools import pairwise

from torch import Tensor, nn

from safer_bench.networks.zoo_network import Recipe, network


class MLP(nn.Module):
    """``depth`` linear layers; every hidden one is followed by batch norm and ReLU."""

    def __init__(self, n_inputs: int, width: int, depth: int, n_classes: int = 10) -> None:
        super().__init__()
        sizes = [n_inputs] + [width] * (depth - 1)
        self.hidden = nn.Sequential(*(self._block(a, b) for a, b in pairwise(sizes)))
        self.head = nn.Linear(width, n_classes)

    @staticmethod
    def _block(n_inputs: int, n_outputs: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(n_inputs, n_outputs, bias=False), nn.BatchNorm1d(n_outputs), nn.ReLU())

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.hidden(images.flatten(1)))


@network(dataset="digits", family="mlp", recipe=Recipe(60, 64, "adamw", 4e-3, 0.05, shift=1))
def digits_mlp() -> nn.Module:
    """Ten layers of 64 units."""
    return MLP(n_inputs=64, width=64, depth=10)


@network(dataset="fashion_mnist", family="mlp", recipe=Recipe(20, 128, "adamw", 4e-3, 0.05, shift=1, flip=True))
def mlp10() -> nn.Module:
    """Ten layers of 160 units on 28 x 28 images."""
    return MLP(n_inputs=784, width=160, depth=10)
