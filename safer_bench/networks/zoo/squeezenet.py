"""SqueezeNet 1.1 (Iandola et al. 2016), trained on ImageNet with Caffe: channels BGR, values 0 to 255 less their means."""

import pickle
from io import BytesIO
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from safer_bench.errors import BadInput, needs_package
from safer_bench.networks.data.imagenet import Preparation
from safer_bench.networks.foreign_network import PackagedWeights, foreign_network

FIRES = range(2, 10)
PARTS = ("squeeze1x1", "expand1x1", "expand3x3")
LAYERS = ("conv1", *(f"fire{n}/{part}" for n in FIRES for part in PARTS), "conv10")  # in the order of torchvision's state
PIECES = {  # what an array is made of when it is pickled
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _Arrays(pickle.Unpickler):
    """Reads arrays of numbers in dictionaries and lists, and refuses all else before it is made."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what one of the pieces of an array is made by."""
        if (module, name) not in PIECES:
            raise BadInput(f"a file of weights that asks for {module}.{name}; expected arrays alone")
        return PIECES[module, name]


def tensors(data: bytes) -> list[Tensor]:
    """Return kernels and biases in the order of torchvision's state, from a pickle of kernels ``(height, width, in, out)``.

    Raises:
        BadInput: the pickle asks for more than arrays.
    """
    arrays = _Arrays(BytesIO(data)).load()
    found = []
    for layer in LAYERS:
        kernel, bias = (torch.from_numpy(np.asarray(array, dtype=np.float32)) for array in arrays[layer])
        found += [kernel.permute(3, 2, 0, 1).contiguous(), bias]
    return found


@foreign_network(
    family="squeezenet",
    weights=PackagedWeights(
        "ndf",
        "0.1.4",
        "ndf/example_models/weights/squeezenet_weights.pkl",
        "f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1",
        "unknown (the package's MIT licence says nothing of the weights)",
    ),
    read=tensors,
    preparation=Preparation(
        227,
        256,
        "bilinear",
        mean=(103.9 / 255, 116.8 / 255, 123.7 / 255),
        deviation=(1 / 255, 1 / 255, 1 / 255),
        order="BGR",
    ),
)
def squeezenet1_1() -> nn.Module:
    """SqueezeNet 1.1 at 227 px: 26 convolutions, torchvision's definition."""
    with needs_package("torchvision", "imagenet"):
        import torchvision
    return torchvision.models.squeezenet1_1()
