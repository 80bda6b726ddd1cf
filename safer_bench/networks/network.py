"""A trained network with its evaluation and calibration images."""

import hashlib
import re
import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from safer_bench.errors import BadInput, text_of
from safer_bench.networks.layers import NEVER_READ, Found, Layer, look_through
from safer_bench.registry import suggestion
from safer_bench.tables.columns import NAME

SURELY_SHUFFLED = 20  # so many labels in random order are hardly ever sorted
N_TRIED = 3  # images that a new network has to turn into logits, beside one alone
Examples = tuple[torch.Tensor, torch.Tensor]  # images (n, ...) float32, labels (n,) int64
_FORMER = "a probe is a measurement, and the former name goes with the next version"


class Network:
    """A trained classifier with the examples that judge it.

    Args:
        model: in evaluation mode, maps float images ``(n, ...)`` to logits ``(n, n_classes)``.
        images: evaluation images, floating point ``(n, ...)``; a tensor, an array, or a sequence of either (chunks). In
            random order: a probe sees consecutive ones.
        labels: int64 ``(n,)``, classes counted from 0.
        name: unique name; names the network in every table and in the perturbations' random streams.
        calibration: images and labels that criteria and gradients may see, disjoint from the evaluation examples; without
            them criteria need examples of their own and gradient perturbations are refused.
        dataset, family, split, licence, source: where the network stands in the zoo; ``own`` for a user's network.
        probe: the former name of ``calibration``, taken with a warning for one more version.

    Raises:
        BadInput: a name that cannot name files, a model in training mode, of other parameters than float32, or one that
            does not turn one image and three into logits, images and labels that do not match, labels out of range,
            examples in the order of their classes, non-finite images, or evaluation examples as
            calibration examples.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Any,
        labels: Any,
        *,
        name: str = "own",
        calibration: tuple[Any, Any] | None = None,
        dataset: str = "own",
        family: str = "own",
        split: str = "test",
        licence: str = "",
        source: str = "",
        probe: tuple[Any, Any] | None = None,
    ) -> None:
        if not re.fullmatch(NAME, name):
            raise BadInput(f"network name {name!r}; expected letters, digits, '_', '-' and '.', as it names files")
        self.name, self.dataset, self.family, self.split = name, dataset, family, split
        self.licence, self.source = licence, source
        self.spec: str | None = None  # what load_network made it of, so that another process can
        self.model = _checked_model(model, name)
        self.evaluation = _checked_examples(images, labels, f"{name}, evaluation")
        calibration = _calibration_of(calibration, probe, name)
        self._calibration = None if calibration is None else _checked_calibration(calibration, self.evaluation, name)
        self.n_classes = self._count_classes()

    def __repr__(self) -> str:
        return f"Network({self.name!r}, dataset={self.dataset!r}, n_examples={len(self.labels)})"

    @property
    def images(self) -> torch.Tensor:
        """Evaluation images, float32 ``(n, ...)``."""
        return self.evaluation[0]

    @property
    def labels(self) -> torch.Tensor:
        """Evaluation labels, int64 ``(n,)``."""
        return self.evaluation[1]

    @property
    def calibration(self) -> Examples:
        """Calibration images and labels.

        Raises:
            BadInput: the network was made without calibration examples.
        """
        if self._calibration is None:
            raise BadInput(
                f"network {self.name!r} has no calibration examples; give Network(..., calibration=(images, labels))"
            )
        return self._calibration

    @property
    def probe(self) -> Examples:
        """The former name of ``calibration``."""
        warnings.warn(f"Network.probe is called Network.calibration now: {_FORMER}", FutureWarning, stacklevel=2)
        return self.calibration

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers in order of first use; a weight that the clean pass never reads is in ``unused_layers``."""
        return self._found.layers

    @cached_property
    def unused_layers(self) -> tuple[str, ...]:
        """Names of weights that the clean pass never reads (it may use a cached copy): they are not measured."""
        return tuple(name for name, reason in self.left_out.items() if reason == NEVER_READ)

    @cached_property
    def left_out(self) -> dict[str, str]:
        """Name of each parameter of two dimensions or more that is no layer -> why it is not measured."""
        return self._found.left_out

    @cached_property
    def _found(self) -> Found:
        return look_through(self.model, self.images[:1].clone().to(self.device))  # the model may work in place

    @cached_property
    def device(self) -> torch.device:
        """Where the model's weights are; images stay in main memory and move there batch by batch."""
        return next((parameter.device for parameter in self.model.parameters()), torch.device("cpu"))

    def _count_classes(self) -> int:
        """Return the width of the logits, of one image (which a last batch may be) and of a few alike."""
        n_classes, of_several = self._width_of_logits(1), self._width_of_logits(N_TRIED)
        if of_several != n_classes:
            raise BadInput(
                f"network {self.name!r}: {n_classes} logits of one image alone, {of_several} of each of several; "
                "expected as many, one for each class"
            )
        for _, labels in self._all_examples():
            low, high = int(labels.min()), int(labels.max())
            if not 0 <= low <= high < n_classes:
                raise BadInput(f"network {self.name!r}: labels from {low} to {high}; expected 0 to {n_classes - 1}")
        return n_classes

    def _width_of_logits(self, n: int) -> int:
        """Run the first n images, or as many as there are, and return how many logits each has."""
        images = self.images[:n].clone().to(self.device)
        what = "one image" if len(images) == 1 else f"{len(images)} images"
        try:
            with torch.no_grad():
                logits = self.model(images)
        except Exception as error:
            said = text_of(error, typed=True)
            raise BadInput(f"network {self.name!r}: running {what} raised {said:.300}") from error
        if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or len(logits) != len(images):
            answer = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
            raise BadInput(f"network {self.name!r}: {what} gave {answer}; expected logits ({len(images)}, n_classes)")
        return int(logits.shape[1])

    @cached_property
    def weights_sha256(self) -> str:
        """SHA-256 over name, type, shape and bytes of every tensor of the state."""
        digest = hashlib.sha256()
        for key, value in sorted(self.model.state_dict().items()):
            digest.update(f"{key}|{value.dtype}|{tuple(value.shape)}|".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @cached_property
    def inputs_sha256(self) -> str:
        """SHA-256 over evaluation and calibration examples."""
        digest = hashlib.sha256()
        for examples in self._all_examples():
            for tensor in examples:
                digest.update(f"{tensor.dtype}|{tuple(tensor.shape)}|".encode() + tensor.numpy().tobytes())
        return digest.hexdigest()

    def _all_examples(self) -> list[Examples]:
        return [self.evaluation] + ([self._calibration] if self._calibration else [])

    def layer(self, name: str) -> Layer:
        """Return the layer called ``name``.

        Raises:
            BadInput: no layer has that name.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        near = suggestion(name, [layer.name for layer in self.layers])
        raise BadInput(f"network {self.name!r} has no layer {name!r}.{near}")

    def examples(self, start: int, n: int) -> Examples:
        """Return n evaluation images and labels from number ``start`` on."""
        return self.images[start : start + n], self.labels[start : start + n]

    def weight(self, layer: Layer) -> np.ndarray:
        """Return a copy of the layer's weight, float32 of ``layer.shape``."""
        return self.model.get_parameter(layer.parameter).detach().cpu().numpy().astype(np.float32).copy()


def _checked_model(model: Any, name: str) -> nn.Module:
    if not isinstance(model, nn.Module):
        raise BadInput(f"network {name!r}: the model is a {type(model).__name__}; expected a torch.nn.Module")
    training = [path or "the model itself" for path, module in model.named_modules() if module.training]
    if training:
        raise BadInput(f"network {name!r}: {training[0]} is in training mode; call model.eval() first")
    for path, parameter in model.named_parameters():
        if parameter.is_meta:
            raise BadInput(f"network {name!r}: parameter {path} has no values (device meta); load weights first")
        if parameter.dtype != torch.float32:
            raise BadInput(
                f"network {name!r}: parameter {path} is {parameter.dtype}; expected float32: call model.float() first"
            )
    return model


def _checked_examples(images: Any, labels: Any, where: str) -> Examples:
    images, labels = _as_tensor(images), _as_tensor(labels)
    if not images.dtype.is_floating_point:
        raise BadInput(f"network {where}: images are {images.dtype}; expected floating point")
    if labels.dtype != torch.int64 or labels.ndim != 1:
        raise BadInput(f"network {where}: labels are {labels.dtype} {tuple(labels.shape)}; expected int64 (n,)")
    if len(images) != len(labels) or len(labels) == 0:
        raise BadInput(f"network {where}: {len(images)} images and {len(labels)} labels; expected as many, at least one")
    if len(labels) >= SURELY_SHUFFLED and bool((labels[1:] >= labels[:-1]).all()) and labels[0] != labels[-1]:
        raise BadInput(
            f"network {where}: the examples are in the order of their classes, so that a probe, which sees consecutive "
            "ones, would see a few classes only; shuffle images and labels alike"
        )
    if not bool(torch.isfinite(images).all()):
        raise BadInput(f"network {where}: the images hold NaN or infinite values")
    return images.float().cpu(), labels.cpu()


def _calibration_of(calibration: Any, probe: Any, name: str) -> Any:
    """Return what was given under the name of today or, with a warning, under the former one."""
    if probe is None:
        return calibration
    if calibration is not None:
        raise BadInput(f"network {name!r}: both calibration= and probe=, its former name; give calibration= alone")
    warnings.warn(f"Network(..., probe=) is called calibration= now: {_FORMER}", FutureWarning, stacklevel=3)
    return probe


def _checked_calibration(calibration: Any, evaluation: Examples, name: str) -> Examples:
    if not isinstance(calibration, tuple | list) or len(calibration) != 2:
        raise BadInput(f"network {name}, calibration: a {type(calibration).__name__}; expected (images, labels)")
    images, labels = _checked_examples(calibration[0], calibration[1], f"{name}, calibration")
    n_both = min(len(images), len(evaluation[0]))
    if images.shape[1:] == evaluation[0].shape[1:] and torch.equal(images[:n_both], evaluation[0][:n_both]):
        raise BadInput(
            f"network {name}, calibration: these are evaluation examples, so that criteria would see what they are judged "
            "by; give others of the same kind"
        )
    return images, labels


def _as_tensor(values: Any) -> torch.Tensor:
    if isinstance(values, Sequence) and len(values) and isinstance(values[0], torch.Tensor | np.ndarray):
        return torch.cat([torch.as_tensor(chunk) for chunk in values])
    try:
        return torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        found = f"a {type(values).__name__} is no images or labels ({text_of(error)})"
        raise BadInput(f"{found}; expected a tensor or array") from error


def require_network(given: object) -> None:
    """Refuse what is no network, such as the name of one.

    Raises:
        BadInput: it is none.
    """
    if not isinstance(given, Network):
        raise BadInput(f"expected a Network, got {given!r:.100}; safer_bench.load_network(NAME) loads one of the zoo")
