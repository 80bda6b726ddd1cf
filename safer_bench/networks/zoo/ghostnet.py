"""Networks of ghost modules (Han et al. 2020): half of each layer's channels are cheap depthwise copies of the others."""

import torch
from torch import Tensor, nn

from safer_bench.networks.zoo_network import Recipe, network


class GhostModule(nn.Module):
    """A 1x1 convolution makes half of the outputs, a depthwise 3x3 convolution of those the other half."""

    def __init__(self, n_inputs: int, n_outputs: int, relu: bool) -> None:
        super().__init__()
        width = n_outputs // 2
        self.primary, self.bn1 = nn.Conv2d(n_inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.cheap = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.activation: nn.Module = nn.ReLU() if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        made = self.activation(self.bn1(self.primary(x)))
        return torch.cat([made, self.activation(self.bn2(self.cheap(made)))], 1)


class GhostBottleneck(nn.Module):
    """Two ghost modules around a shortcut; with stride 2 a depthwise convolution stands between them."""

    def __init__(self, n_inputs: int, n_outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = expansion * n_inputs
        self.expand = GhostModule(n_inputs, width, relu=True)
        self.depthwise: nn.Module = nn.Identity()
        if stride != 1:
            conv = nn.Conv2d(width, width, 3, stride, padding=1, groups=width, bias=False)
            self.depthwise = nn.Sequential(conv, nn.BatchNorm2d(width))
        self.project = GhostModule(width, n_outputs, relu=False)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or n_inputs != n_outputs:
            conv = nn.Conv2d(n_inputs, n_outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(n_outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.depthwise(self.expand(x))) + self.shortcut(x)


class GhostNet(nn.Module):
    """A 3x3 stem of stride 2, stages of ghost bottlenecks, later ones at half the size, 1x1 convolution, linear layer."""

    def __init__(self, n_inputs: int, widths: tuple[int, ...], n_blocks: int, n_head: int, n_classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, n_inputs, 3, 2, padding=1, bias=False), nn.BatchNorm2d(n_inputs), nn.ReLU())
        self.stages = nn.Sequential()
        for stage, width in enumerate(widths):
            later = (GhostBottleneck(width, width, 1, expansion=2) for _ in range(n_blocks - 1))
            self.stages.append(nn.Sequential(GhostBottleneck(n_inputs, width, 2 if stage else 1, expansion=2), *later))
            n_inputs = width
        self.head = nn.Sequential(nn.Conv2d(n_inputs, n_head, 1, bias=False), nn.BatchNorm2d(n_head), nn.ReLU())
        self.fc = nn.Linear(n_head, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.head(self.stages(self.stem(images))).mean((2, 3)))


@network(
    dataset="fashion_mnist",
    family="ghostnet",
    recipe=Recipe(12, 128, "sgd", 0.2, 2e-4, shift=2, flip=True),
)
def ghostnet30() -> nn.Module:
    """Two stages of three ghost bottlenecks with widths 40, 80: 30 layers with the two projected shortcuts."""
    return GhostNet(n_inputs=32, widths=(40, 80), n_blocks=3, n_head=160)
