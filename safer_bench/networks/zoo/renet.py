"""Recurrent sweeps over patches of an image (ReNet, Visin et al. 2015, arXiv 1505.00393), with LSTMs."""

from torch import Tensor, nn

from safer_bench.networks.zoo_network import Recipe, network


class Sweeps(nn.Module):
    """Along the columns, then along the rows: a bidirectional LSTM each, ``(n, h, w, c)`` to ``(n, h, w, 2 width)``."""

    def __init__(self, n_inputs: int, width: int) -> None:
        super().__init__()
        self.cells = nn.ModuleList(
            nn.LSTM(size, width, batch_first=True, bidirectional=True) for size in (n_inputs, 2 * width)
        )
        self.norm = nn.LayerNorm(2 * width)

    def forward(self, grid: Tensor) -> Tensor:
        for cell in self.cells:
            grid = grid.transpose(1, 2)
            grid = cell(grid.flatten(0, 1))[0].unflatten(0, grid.shape[:2])
        return self.norm(grid)


class ReNet(nn.Module):
    """2x2 patches, stages of two sweeps with 2x2 mean pooling between them, the mean over places, a linear layer."""

    def __init__(self, n_features: int, widths: tuple[int, ...], n_classes: int = 10) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, n_features, 2, stride=2)
        sizes = (n_features, *(2 * width for width in widths))
        self.stages = nn.ModuleList(Sweeps(size, width) for size, width in zip(sizes, widths, strict=False))
        self.head = nn.Linear(sizes[-1], n_classes)

    def forward(self, images: Tensor) -> Tensor:
        grid = self.patches(images).permute(0, 2, 3, 1)
        for position, stage in enumerate(self.stages):
            if position:
                grid = grid.unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).mean((2, 4))
            grid = stage(grid)
        return self.head(grid.mean((1, 2)))


@network(dataset="fashion_mnist", family="renet", recipe=Recipe(12, 128, "adamw", 3e-3, 0.05, shift=2, flip=True))
def renet18() -> nn.Module:
    """Four bidirectional LSTMs (sixteen weights), a patch convolution and a linear layer on 28 x 28 images."""
    return ReNet(n_features=24, widths=(32, 48))
