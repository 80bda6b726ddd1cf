"""Residual networks for small images (He et al. 2016, section 4.2), with projection shortcuts."""

from torch import Tensor, nn
from torch.nn import functional as F

from safer_bench.networks.zoo_network import Recipe, network


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, projected by 1x1 where the shape changes."""

    def __init__(self, n_inputs: int, n_outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_inputs, n_outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_outputs)
        self.conv2 = nn.Conv2d(n_outputs, n_outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or n_inputs != n_outputs:
            projection = nn.Conv2d(n_inputs, n_outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(n_outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.downsample(x))


class ResNet(nn.Module):
    """Stages of basic blocks; the first block of each later stage halves the image."""

    def __init__(self, widths: tuple[int, ...], n_blocks: int, n_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.n_stages, n_inputs = len(widths), widths[0]
        for stage, width in enumerate(widths, start=1):
            strides = [1 if stage == 1 else 2] + [1] * (n_blocks - 1)
            inputs = [n_inputs] + [width] * (n_blocks - 1)
            blocks = (BasicBlock(n, width, stride) for n, stride in zip(inputs, strides, strict=True))
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
            n_inputs = width
        self.fc = nn.Linear(n_inputs, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(images)))
        for stage in range(1, self.n_stages + 1):
            x = self.get_submodule(f"layer{stage}")(x)
        return self.fc(x.mean((2, 3)))


@network(dataset="digits", family="resnet", recipe=Recipe(40, 64, "adamw", 4e-3, 0.05, shift=1))
def digits_resnet() -> nn.Module:
    """Two stages of two blocks on 8 x 8 images: eleven layers."""
    return ResNet(widths=(16, 32), n_blocks=2)


@network(
    dataset="fashion_mnist",
    family="resnet",
    recipe=Recipe(16, 128, "sgd", 0.2, 5e-4, shift=2, flip=True, bfloat16=True),
)
def resnet20() -> nn.Module:
    """ResNet-20 with widths 16, 32, 64 on 28 x 28 images: 22 layers with the two projections."""
    return ResNet(widths=(16, 32, 64), n_blocks=3)


@network(
    dataset="fashion_mnist",
    family="resnet",
    recipe=Recipe(14, 128, "sgd", 0.2, 5e-4, shift=2, flip=True, bfloat16=True),
)
def resnet8() -> nn.Module:
    """One block a stage with widths 16, 32, 64: ten layers with the two projections."""
    return ResNet(widths=(16, 32, 64), n_blocks=1)


@network(
    dataset="fashion_mnist",
    family="resnet",
    recipe=Recipe(12, 128, "sgd", 0.2, 5e-4, shift=2, flip=True, bfloat16=True),
)
def resnet32() -> nn.Module:
    """ResNet-32 with half the usual widths, 8, 16, 32: 34 layers with the two projections."""
    return ResNet(widths=(8, 16, 32), n_blocks=5)
