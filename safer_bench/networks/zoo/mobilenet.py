"""Inverted residual networks in the manner of MobileNetV2 (Sandler et al. 2018)."""

from torch import Tensor, nn

from safer_bench.networks.zoo_network import Recipe, network


def conv_bn(n_inputs: int, n_outputs: int, size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Return a convolution that keeps the image's size up to its stride, and batch norm."""
    conv = nn.Conv2d(n_inputs, n_outputs, size, stride, padding=size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(n_outputs))


class InvertedResidual(nn.Module):
    """Expansion by 1x1, depthwise 3x3, linear projection by 1x1; a shortcut where the shape stays."""

    def __init__(self, n_inputs: int, n_outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = expansion * n_inputs
        self.expand = conv_bn(n_inputs, width, 1)
        self.depthwise = conv_bn(width, width, 3, stride, groups=width)
        self.project = conv_bn(width, n_outputs, 1)
        self.activation = nn.ReLU6()
        self.keeps_shape = stride == 1 and n_inputs == n_outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.activation(self.depthwise(self.activation(self.expand(x))))
        y = self.project(y)
        return x + y if self.keeps_shape else y


class MobileNet(nn.Module):
    """A 3x3 stem of stride 2, stages of inverted residuals as (width, blocks, stride), 1x1 convolution, linear layer."""

    def __init__(self, n_inputs: int, stages: tuple[tuple[int, int, int], ...], n_head: int, n_classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_bn(1, n_inputs, 3, stride=2), nn.ReLU6())
        self.stages = nn.Sequential()
        for width, n_blocks, stride in stages:
            blocks = [InvertedResidual(n_inputs, width, stride, expansion=4)]
            blocks += [InvertedResidual(width, width, 1, expansion=4) for _ in range(n_blocks - 1)]
            self.stages.append(nn.Sequential(*blocks))
            n_inputs = width
        self.head = nn.Sequential(conv_bn(n_inputs, n_head, 1), nn.ReLU6())
        self.fc = nn.Linear(n_head, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.head(self.stages(self.stem(images))).mean((2, 3)))


@network(
    dataset="fashion_mnist",
    family="mobilenet",
    recipe=Recipe(12, 128, "sgd", 0.2, 2e-4, shift=2, flip=True),
)
def mobilenet18() -> nn.Module:
    """Five inverted residuals with widths 24, 48: eighteen layers."""
    return MobileNet(n_inputs=24, stages=((24, 2, 1), (48, 3, 2)), n_head=160)
