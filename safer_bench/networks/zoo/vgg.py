"""Plain convolutional networks in the manner of VGG (Simonyan and Zisserman 2015), with batch norm."""

from torch import Tensor, nn

from safer_bench.networks.zoo_network import Recipe, network


class VGG(nn.Module):
    """Stages of 3x3 convolutions, each stage but the last halved by max pooling; average pooling; two linear layers."""

    def __init__(self, widths: tuple[tuple[int, ...], ...], n_hidden: int, n_classes: int = 10) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        n_inputs = 1
        for stage in widths:
            blocks += [nn.MaxPool2d(2)] if blocks else []
            for width in stage:
                blocks += [nn.Conv2d(n_inputs, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
                n_inputs = width
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Sequential(nn.Linear(n_inputs, n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_classes))

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images).mean((2, 3)))


@network(dataset="digits", family="vgg", recipe=Recipe(40, 64, "adamw", 4e-3, 0.05, shift=1))
def digits_cnn() -> nn.Module:
    """Eight convolutions and two linear layers on 8 x 8 images."""
    return VGG(widths=((16, 16, 16), (24, 24, 24), (32, 32)), n_hidden=32)


@network(
    dataset="fashion_mnist",
    family="vgg",
    recipe=Recipe(16, 128, "sgd", 0.1, 5e-4, shift=2, flip=True, bfloat16=True),
)
def vgg10() -> nn.Module:
    """Eight convolutions and two linear layers on 28 x 28 images."""
    return VGG(widths=((32, 32), (64, 64), (96, 96), (128, 128)), n_hidden=128)


@network(
    dataset="fashion_mnist",
    family="vgg",
    recipe=Recipe(12, 128, "sgd", 0.1, 5e-4, shift=2, flip=True, bfloat16=True),
)
def vgg13() -> nn.Module:
    """Eleven narrower convolutions and two linear layers on 28 x 28 images."""
    return VGG(widths=((16, 16), (32, 32, 32), (48, 48, 48), (64, 64, 64)), n_hidden=64)
