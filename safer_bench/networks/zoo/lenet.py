"""Networks in the manner of LeNet-5 (LeCun et al. 1998), deeper: 5x5 convolutions, tanh and average pooling."""

from torch import Tensor, nn

from safer_bench.networks.zoo_network import Recipe, network


class LeNet(nn.Module):
    """Stages of 5x5 convolutions with batch norm and tanh, each stage halved by average pooling; three linear layers."""

    def __init__(self, widths: tuple[tuple[int, ...], ...], n_features: int, n_classes: int = 10) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        n_inputs = 1
        for stage in widths:
            for width in stage:
                blocks += [nn.Conv2d(n_inputs, width, 5, padding=2, bias=False), nn.BatchNorm2d(width), nn.Tanh()]
                n_inputs = width
            blocks.append(nn.AvgPool2d(2))
        self.features = nn.Sequential(*blocks)
        linear = (nn.Linear(n_features, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, n_classes))
        self.classifier = nn.Sequential(*linear)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images).flatten(1))


@network(
    dataset="fashion_mnist",
    family="lenet",
    recipe=Recipe(14, 128, "sgd", 0.1, 5e-4, shift=2, flip=True, bfloat16=True),
)
def lenet10() -> nn.Module:
    """Seven convolutions and three linear layers on 28 x 28 images."""
    return LeNet(widths=((12, 12), (24, 24), (32, 32, 32)), n_features=32 * 3 * 3)
