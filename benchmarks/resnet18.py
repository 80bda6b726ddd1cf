"""A ResNet-18 of timm for which nothing was trained or downloaded: how long does a plan take from nothing?

``make bench-plan``, or the same for 100 images at 32 px, a trial:
``safer-bench plan --task quantize --network benchmarks/resnet18.py:small --level 8 --level 4 --budget 5 --out plans/small``

Needs timm: ``pip install -e ".[timm]"``. Weights and images are random by a fixed seed.
"""

import torch
from torch.nn import functional as F

import safer_bench as sb

BLOCKS = 8  # an image is as many blocks of one colour across: so coarse that answers differ from image to image


def full() -> sb.Network:
    """Return the network with 500 images at 128 px."""
    return _network(500, 128)


def small() -> sb.Network:
    """Return the network with 100 images at 32 px."""
    return _network(100, 32)


def _network(n: int, pixels: int) -> sb.Network:
    """Return the network; labels are what it answers, so that what a plan loses is real."""
    import timm

    torch.manual_seed(0)
    model = timm.create_model("resnet18", num_classes=10).eval()
    images = F.interpolate(torch.randn(n, 3, BLOCKS, BLOCKS), size=pixels)
    logits = _answers(model, images)
    with torch.no_grad():  # each logit gets mean 0 and spread 1 over the images: else one class would win them all
        model.fc.weight /= logits.std(0)[:, None]
        model.fc.bias.copy_((model.fc.bias - logits.mean(0)) / logits.std(0))
    return sb.Network(model, images, _answers(model, images).argmax(1), name=f"resnet18_{n}x{pixels}")


@torch.no_grad()
def _answers(model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    return torch.cat([model(chunk) for chunk in images.split(50)])
