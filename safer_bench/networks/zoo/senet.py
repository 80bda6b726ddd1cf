"""Residual networks with squeeze and excitation (Hu et al. 2018): channels are weighted by what the whole image holds."""

from torch import Tensor, nn
from torch.nn import functional as F

from safer_bench.networks.zoo_network import Recipe, network


class SqueezeExcitation(nn.Module):
    """Scales each channel by a number in (0, 1) that two linear layers compute from all channels' means."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, width // reduction)
        self.fc2 = nn.Linear(width // reduction, width)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.fc2(F.relu(self.fc1(x.mean((2, 3))))).sigmoid()
        return x * scale[:, :, None, None]


class SEBlock(nn.Module):
    """Two 3x3 convolutions, squeeze and excitation, and a shortcut, projected by 1x1 where the shape changes."""

    def __init__(self, n_inputs: int, n_outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_inputs, n_outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_outputs)
        self.conv2 = nn.Conv2d(n_outputs, n_outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_outputs)
        self.se = SqueezeExcitation(n_outputs, reduction=4)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or n_inputs != n_outputs:
            projection = nn.Conv2d(n_inputs, n_outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(n_outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(self.se(y) + self.downsample(x))


class SENet(nn.Module):
    """A 3x3 stem and stages of squeeze-and-excitation blocks; the first block of each later stage halves the image."""

    def __init__(self, widths: tuple[int, ...], n_blocks: int, n_classes: int = 10) -> None:
        super().__init__()
        n_inputs = widths[0]
        self.conv1 = nn.Conv2d(1, n_inputs, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_inputs)
        self.stages = nn.Sequential()
        for stage, width in enumerate(widths):
            first = SEBlock(n_inputs, width, stride=2 if stage else 1)
            self.stages.append(nn.Sequential(first, *(SEBlock(width, width, 1) for _ in range(n_blocks - 1))))
            n_inputs = width
        self.fc = nn.Linear(n_inputs, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.stages(F.relu(self.bn1(self.conv1(images)))).mean((2, 3)))


@network(
    dataset="fashion_mnist",
    family="senet",
    recipe=Recipe(12, 128, "sgd", 0.2, 5e-4, shift=2, flip=True, bfloat16=True),
)
def se_resnet14() -> nn.Module:
    """Two blocks a stage with widths 16, 32, 64: 28 layers, twelve of them in squeeze and excitation."""
    return SENet(widths=(16, 32, 64), n_blocks=2)
