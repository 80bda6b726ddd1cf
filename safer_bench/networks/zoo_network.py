"""What one network of the zoo is: a name, a dataset, a family, a recipe, and a function that builds the bare model."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from json import dumps
from typing import Any, Literal

from torch import nn

from safer_bench.errors import BadInput
from safer_bench.networks import weights
from safer_bench.networks.data.parts import SOURCES, load_part
from safer_bench.networks.network import Network

# Every network of a family lies in one split, in all datasets: levels, signs and hyper-parameters are chosen on
# `validation`; `test` is scored once. Of the language models each split has one with attention and one without, so that what
# is chosen on `validation` has seen both; the design of today's models and the only recurrent one are what is judged.
# Families of one kind of architecture resemble each other. Kinds go by the architecture alone.
KINDS = {
    "plain_convolution": {"allconv": "validation", "lenet": "validation", "squeezenet": "validation", "vgg": "validation"},
    "residual": {"densenet": "validation", "resnet": "test", "senet": "test", "wide_resnet": "test"},
    "depthwise_or_grouped": dict.fromkeys(
        ("convnext", "efficientnet_lite", "ghostnet", "mobilenet", "resnext", "shufflenet"), "test"
    ),
    "attention": {"hybrid": "test", "swin": "test", "vit": "test"},
    "perceptron_or_mixer": {"mixer": "validation", "mlp": "validation"},
    "recurrent": {"renet": "validation"},
    "language_model": {"gated_conv": "validation", "gpt": "validation", "llama": "test", "lstm": "test"},
}
FAMILY_KINDS = {family: kind for kind, families in KINDS.items() for family in families}
FAMILY_SPLITS = {family: split for families in KINDS.values() for family, split in families.items()}


@dataclass(frozen=True, slots=True)
class Corruption:
    """What is added to all layers' weights at once for the second loss of a step.

    Attributes:
        direction: ``gradient`` (the batch's worst case to first order) or ``random``.
        norm: ``l2``: each layer's ``a`` has Euclidean norm ``size`` x norm2(W), as in the perturbations ``*_corruption_l2``;
            ``linf``: each entry is plus or minus ``size`` x max abs(W), as in ``*_corruption_linf``.
        size: relative to the layer's own norm.
        mixing: weight of the loss at W + a, from 0 (plain training) to 1.
    """

    direction: Literal["gradient", "random"]
    norm: Literal["l2", "linf"]
    size: float
    mixing: float


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained: cross-entropy, one-cycle learning rate, per-epoch shuffling.

    Attributes:
        epochs: passes over the fit part.
        batch_size: examples a step.
        optimizer: ``sgd`` (Nesterov momentum 0.9) or ``adamw``.
        peak_rate: largest learning rate of the one-cycle schedule.
        weight_decay: as the optimizer defines it; not applied to tensors of fewer than two dimensions.
        shift: images are moved by up to so many pixels each way, at random.
        flip: images are mirrored left to right with probability 1/2.
        bfloat16: forward passes under bfloat16 autocast.
        seed: of initial weights, data order and augmentation.
        corruption: what the weights of each step are also trained to withstand; None for plain training.
    """

    epochs: int
    batch_size: int
    optimizer: str
    peak_rate: float
    weight_decay: float
    shift: int = 0
    flip: bool = False
    bfloat16: bool = False
    seed: int = 0
    corruption: Corruption | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """All settings that are not None: a setting added later leaves the digest of older recipes as it was."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    @property
    def sha256(self) -> str:
        """Digest of the settings; the weights carry it."""
        return sha256(dumps(self.settings, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ZooNetwork:
    """One network of the zoo; calling it returns the trained ``Network`` with its examples.

    ``role`` is ``zoo`` for what boards rank over, ``twin`` for a training that is only compared with its twins,
    ``foreign`` for one of ImageNet that somebody else trained: it has no recipe, and is measured where it is named.
    ``class_axis`` is the axis of the bare model's logits that runs over classes.
    """

    name: str
    dataset: str
    family: str
    recipe: Recipe | None
    build: Callable[[], nn.Module]
    role: str = "zoo"
    class_axis: int = 1

    @property
    def split(self) -> str:
        """``validation`` or ``test``, by family."""
        return self._by_family(FAMILY_SPLITS)

    @property
    def kind(self) -> str:
        """Kind of architecture, by family."""
        return self._by_family(FAMILY_KINDS)

    def _by_family(self, known: Mapping[str, str]) -> str:
        if self.family not in known:
            raise BadInput(
                f"network {self.name!r}: family {self.family!r} has no kind and split; add it to KINDS in {__file__}"
            )
        return known[self.family]

    def __call__(self) -> Network:
        """Load weights and examples.

        Raises:
            MissingData: weights or examples are not on this machine.
            BadInput: the weights are damaged or belong to another recipe.
        """
        path = weights.weights_path(self.name, self.dataset)
        model = weights.load_weights_file(path, self.build(), self.recipe.sha256 if self.recipe else None)
        return Network(
            model,
            *load_part(self.dataset, "evaluation"),
            name=self.name,
            calibration=load_part(self.dataset, "calibration"),
            class_axis=self.class_axis,
            dataset=self.dataset,
            family=self.family,
            kind=self.kind,
            split=self.split,
            licence="Apache-2.0",
            source=f"safer-bench zoo, trained on {SOURCES[self.dataset]}",
        )


def network(
    *, dataset: str, family: str, recipe: Recipe | None = None, class_axis: int = 1
) -> Callable[[Callable[[], nn.Module]], ZooNetwork]:
    """Make a zoo network of a function that builds its bare model; the function's name is the network's.

    Args:
        dataset: a key of ``DATASETS`` in ``networks/data/parts.py``.
        family: decides the split and the kind, see ``KINDS``.
        recipe: how ``safer-bench train`` trains it.
        class_axis: of the model's logits that runs over classes: -1 where they are ``(n, length, n_classes)``.
    """

    def decorate(build: Callable[[], nn.Module]) -> ZooNetwork:
        return ZooNetwork(build.__name__, dataset, family, recipe, build, class_axis=class_axis)

    return decorate
