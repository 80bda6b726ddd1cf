"""Wide residual networks with pre-activation (Zagoruyko and Komodakis 2016; He et al. 2016b)."""

from torch import Tensor, nn
from torch.nn import functional as F

from safer_bench.networks.zoo_network import Recipe, network


class PreactivationBlock(nn.Module):
    """Two 3x3 convolutions, each behind batch norm and ReLU; where the shape changes the shortcut is a 1x1 convolution."""

    def __init__(self, n_inputs: int, n_outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(n_inputs)
        self.conv1 = nn.Conv2d(n_inputs, n_outputs, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_outputs)
        self.conv2 = nn.Conv2d(n_outputs, n_outputs, 3, padding=1, bias=False)
        self.projects = stride != 1 or n_inputs != n_outputs
        self.shortcut = nn.Conv2d(n_inputs, n_outputs, 1, stride, bias=False) if self.projects else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.bn1(x))
        y = self.conv2(F.relu(self.bn2(self.conv1(active))))
        return y + self.shortcut(active if self.projects else x)


class WideResNet(nn.Module):
    """Stages of pre-activation blocks; the first block of each later stage halves the image."""

    def __init__(self, n_inputs: int, widths: tuple[int, ...], n_blocks: int, n_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, n_inputs, 3, padding=1, bias=False)
        self.stages = nn.Sequential()
        for stage, width in enumerate(widths):
            first = PreactivationBlock(n_inputs, width, stride=2 if stage else 1)
            self.stages.append(nn.Sequential(first, *(PreactivationBlock(width, width, 1) for _ in range(n_blocks - 1))))
            n_inputs = width
        self.bn = nn.BatchNorm2d(n_inputs)
        self.fc = nn.Linear(n_inputs, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.bn(self.stages(self.conv1(images))))
        return self.fc(x.mean((2, 3)))


@network(
    dataset="fashion_mnist",
    family="wide_resnet",
    recipe=Recipe(12, 128, "sgd", 0.2, 5e-4, shift=2, flip=True, bfloat16=True),
)
def wide_resnet10() -> nn.Module:
    """One block a stage with widths 24, 48, 96: eleven layers with the three shortcuts."""
    return WideResNet(n_inputs=16, widths=(24, 48, 96), n_blocks=1)
