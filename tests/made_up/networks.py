"""Networks made up for tests: small ones, and such as are read in unusual ways."""

import torch
from torch import nn
from torch.nn import functional as F

from safer_bench.networks.network import Network

N_OWN = 24  # evaluation examples of ``own_network``, and as many calibration examples


class TinyNet(nn.Module):
    """A convolution, a hidden layer and a head on 4 x 4 images of three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1)
        self.hidden = nn.Linear(48, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.hidden(torch.relu(self.conv(images)).flatten(1))))


class WholePasses:
    """Knows no shorter way to logits."""

    def prepare(self) -> None:
        pass

    def clean(self, *_: object) -> None:
        return None

    perturbed = clean


def tiny_network(name: str = "tiny") -> Network:
    """Return an untrained three-layer network whose labels are its own answers, some of them changed."""
    generator = torch.Generator().manual_seed(7)
    torch.manual_seed(7)
    model = TinyNet().eval()
    images = torch.randn(100, 1, 4, 4, generator=generator)
    with torch.no_grad():
        for bias in (model.conv.bias, model.hidden.bias, model.head.bias):
            bias.zero_()  # else one class wins whatever the weights are
        labels = model(images).argmax(1)
    labels[::5] = (labels[::5] + 1) % 3
    return Network(model, images[:60], labels[:60], name=name, calibration=(images[60:], labels[60:]))


def small_network(seed=7):
    """Return an untrained network of three layers that judges itself by its own answers, and half of 240 examples."""
    torch.manual_seed(seed)
    model = TinyNet().eval()
    inputs = torch.randn(270, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for bias in (model.conv.bias, model.hidden.bias, model.head.bias):
            bias.zero_()
        labels = model(inputs).argmax(1)
    return Network(model, inputs[:240], labels[:240], name="small", calibration=(inputs[240:], labels[240:]))


class Unordered(nn.Module):
    """Defines its layers in another order than it uses them; one is tied, one unused, one read without its module."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(6, 3)
        self.unused = nn.Linear(6, 6)
        self.first = nn.Linear(4, 6)
        self.middle = nn.Linear(6, 6)
        self.tied = nn.Linear(6, 6)
        self.tied.weight = self.middle.weight
        self.bias_only = nn.Parameter(torch.zeros(2, 2))

    def forward(self, x):
        x = F.linear(x, self.first.weight)
        return self.last(self.tied(self.middle(x)))


class Attention(nn.Module):
    """Packed in-projection, called without its child modules."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 8)
        self.attn = nn.MultiheadAttention(8, 2, batch_first=True)
        self.up = nn.ConvTranspose1d(8, 4, 3, groups=2)

    def forward(self, x):
        x = self.embed((x[:, :, 0] > 0).long())
        x = self.attn(x, x, x)[0]
        return self.up(x.transpose(1, 2)).mean(2)


class Volumes(nn.Module):
    """Convolutions of three dimensions and transposed ones, and activations that work in place."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv3d(1, 4, 3, padding=1)
        self.up = nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2)
        self.norm = nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 3)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.act(self.first(x)).mean(2)
        return self.head(self.act(self.norm(self.up(x))).mean((2, 3)))


class Encoder(nn.Module):
    """torch's own transformer layer: fused attention, and a fast path that calls none of its modules."""

    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.layer(x).mean(1))


class Positions(nn.Module):
    """Reads a table of positions, and maps one, once a batch: the former is no layer, the latter is."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(3, 6)
        self.positions = nn.Embedding(5, 6)
        self.mapped = nn.Linear(2, 6)
        self.head = nn.Linear(6, 3)
        self.register_buffer("table", torch.linspace(-1, 1, 10).view(5, 2))

    def forward(self, x):
        x = self.embed(x) + self.positions(torch.arange(5)) + self.mapped(self.table)
        return self.head(x.tanh().mean(1))


def own_network(kind, shape, n_classes):
    generator = torch.Generator().manual_seed(3)
    torch.manual_seed(3)
    images, labels = torch.randn(2 * N_OWN, *shape, generator=generator), torch.arange(2 * N_OWN) % n_classes
    model = kind().eval().requires_grad_(False)  # a frozen model is as good as any
    return Network(
        model, images[:N_OWN], labels[:N_OWN], name=kind.__name__.lower(), calibration=(images[N_OWN:], labels[N_OWN:])
    )


def trained(model: nn.Module) -> nn.Module:
    """Return a model whose batch norms have what training leaves: unequal statistics and scales, some of them negative."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            if module.running_mean is not None and module.running_var is not None:
                module.running_mean.normal_(generator=generator)
                module.running_var.uniform_(0.25, 4.0, generator=generator)
            if module.affine:
                module.weight.data.normal_(generator=generator)
                module.bias.data.normal_(generator=generator)
    return model.eval()


def normed_network(name: str = "mine", *, fold: bool = False, dataset: str = "own") -> Network:
    """Return an untrained network of two layers with a batch norm behind the first, which judges itself by its answers."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 3, 3, bias=False), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 3)]
    model = trained(nn.Sequential(*layers))
    inputs = torch.randn(90, 1, 4, 4)
    labels = model(inputs).argmax(1).detach()
    examples = {"inputs": inputs[:60], "labels": labels[:60], "calibration": (inputs[60:], labels[60:])}
    return Network(model, **examples, name=name, dataset=dataset, fold=fold)
