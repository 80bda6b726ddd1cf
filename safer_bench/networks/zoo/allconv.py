"""Networks of convolutions alone (Springenberg et al. 2015, arXiv 1412.6806), with batch norm."""

from torch import Tensor, nn

from safer_bench.networks.zoo_network import Recipe, network


def convolution(n_inputs: int, width: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    """A convolution without bias, batch norm and ReLU; an odd kernel keeps the size at stride 1."""
    return [
        nn.Conv2d(n_inputs, width, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    ]


class AllConv(nn.Module):
    """Stages of 3x3 convolutions, each stage but the first halved by its first stride; two 1x1 convolutions, averaged."""

    def __init__(self, widths: tuple[tuple[int, ...], ...], n_classes: int = 10) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        n_inputs = 1
        for stage in widths:
            for position, width in enumerate(stage):
                blocks += convolution(n_inputs, width, 3, stride=2 if blocks and position == 0 else 1)
                n_inputs = width
        self.features = nn.Sequential(*blocks, *convolution(n_inputs, n_inputs, 1))
        self.head = nn.Conv2d(n_inputs, n_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images)).mean((2, 3))


@network(
    dataset="fashion_mnist",
    family="allconv",
    recipe=Recipe(14, 128, "sgd", 0.1, 5e-4, shift=2, flip=True, bfloat16=True),
)
def allconv11() -> nn.Module:
    """Nine 3x3 and two 1x1 convolutions on 28 x 28 images."""
    return AllConv(widths=((24, 24, 24), (48, 48, 48), (72, 72, 72)))
