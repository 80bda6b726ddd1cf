"""Densely connected networks (Huang et al. 2017): each convolution sees the outputs of all before it in its block."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from safer_bench.networks.zoo_network import Recipe, network


class DenseLayer(nn.Module):
    """Batch norm, ReLU and a 3x3 convolution, whose output is appended to its input."""

    def __init__(self, n_inputs: int, growth: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(n_inputs)
        self.conv = nn.Conv2d(n_inputs, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv(F.relu(self.bn(x)))], 1)


class Transition(nn.Module):
    """Batch norm, ReLU, a 1x1 convolution to half as many channels, average pooling."""

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(n_inputs)
        self.conv = nn.Conv2d(n_inputs, n_outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(self.conv(F.relu(self.bn(x))), 2)


class DenseNet(nn.Module):
    """Dense blocks with transitions between them, batch norm, average pooling, one linear layer."""

    def __init__(self, width: int, growth: int, n_blocks: int, n_layers: int, n_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1, bias=False)
        blocks = nn.Sequential()
        for block in range(1, n_blocks + 1):
            layers = [DenseLayer(width + i * growth, growth) for i in range(n_layers)]
            blocks.add_module(f"block{block}", nn.Sequential(*layers))
            width += n_layers * growth
            if block < n_blocks:
                blocks.add_module(f"transition{block}", Transition(width, width // 2))
                width //= 2
        self.features = blocks
        self.bn = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.bn(self.features(self.conv1(images))))
        return self.fc(x.mean((2, 3)))


@network(
    dataset="fashion_mnist",
    family="densenet",
    recipe=Recipe(11, 128, "sgd", 0.2, 5e-4, shift=2, flip=True, bfloat16=True),
)
def densenet19() -> nn.Module:
    """Three dense blocks of five layers with growth rate 10: nineteen layers."""
    return DenseNet(width=16, growth=10, n_blocks=3, n_layers=5)
