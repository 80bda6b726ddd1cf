"""Residual networks of grouped bottlenecks (ResNeXt, Xie et al. 2017)."""

from torch import Tensor, nn
from torch.nn import functional as F

from safer_bench.networks.zoo_network import Recipe, network


class GroupedBottleneck(nn.Module):
    """1x1, grouped 3x3 and 1x1 convolutions around a shortcut, projected by 1x1 where the shape changes."""

    def __init__(self, n_inputs: int, n_outputs: int, stride: int, groups: int) -> None:
        super().__init__()
        width = n_outputs // 2
        self.conv1, self.bn1 = nn.Conv2d(n_inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, n_outputs, 1, bias=False), nn.BatchNorm2d(n_outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or n_inputs != n_outputs:
            projection = nn.Conv2d(n_inputs, n_outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(n_outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class ResNeXt(nn.Module):
    """A 3x3 stem and stages of grouped bottlenecks; the first block of each later stage halves the image."""

    def __init__(self, n_inputs: int, widths: tuple[int, ...], n_blocks: int, groups: int, n_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, n_inputs, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_inputs)
        self.stages = nn.Sequential()
        for stage, width in enumerate(widths):
            first = GroupedBottleneck(n_inputs, width, 2 if stage else 1, groups)
            later = (GroupedBottleneck(width, width, 1, groups) for _ in range(n_blocks - 1))
            self.stages.append(nn.Sequential(first, *later))
            n_inputs = width
        self.fc = nn.Linear(n_inputs, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.stages(F.relu(self.bn1(self.conv1(images)))).mean((2, 3)))


@network(
    dataset="fashion_mnist",
    family="resnext",
    recipe=Recipe(12, 128, "sgd", 0.2, 5e-4, shift=2, flip=True, bfloat16=True),
)
def resnext20() -> nn.Module:
    """Two bottlenecks of four groups a stage with widths 32, 64, 128: 23 layers with the three projections."""
    return ResNeXt(n_inputs=16, widths=(32, 64, 128), n_blocks=2, groups=4)
