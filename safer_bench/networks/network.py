"""A trained network with its evaluation and calibration examples."""

import hashlib
import re
import warnings
from collections.abc import Callable
from copy import copy
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from safer_bench.errors import BadInput
from safer_bench.networks.adapted import adapted
from safer_bench.networks.devices import check_device, device_named
from safer_bench.networks.digest import state_sha256
from safer_bench.networks.examples import (
    NOT_COUNTED,
    Examples,
    checked_calibration,
    checked_examples,
)
from safer_bench.networks.first_answers import count_classes, returns_a_tensor, width_of_logits
from safer_bench.networks.folding import N_CHECKED, Folding, folded_copy
from safer_bench.networks.inputs import Given, Inputs, named_parts
from safer_bench.networks.layers import N_LOOKED_AT, NEVER_READ, Found, Layer, look_through
from safer_bench.networks.model_checks import checked_model
from safer_bench.registry import suggestion
from safer_bench.tables.columns import FOLDED, NAME, SPLITS

_FORMER = "a probe is a measurement, and the former name goes with the next version"


class Network:
    """A trained classifier with the examples that judge it.

    An *example* is one entry along axis 0 of the inputs; an *answer* is what the model says where a label counts: one an
    example, or one at each counted position of it.

    Args:
        model: eager, in evaluation mode, with float32 weights; maps inputs to logits ``(n, n_classes)`` or
            ``(n, n_classes, *positions)`` of two classes or more. A logit of -inf switches a class off.
        inputs: of the evaluation examples: one input ``(n, ...)``, a tuple of them (positional arguments) or a dictionary
            (keyword arguments). An input is a tensor, an array, or a list of either: as many as labels are single ones,
            others are chunks. Floating point is rounded to float32; integers and truth values stay what they are in every
            arithmetic. In random order: a probe sees consecutive ones.
            One DataLoader, torch Dataset or Hugging Face Dataset takes the place of inputs and labels: it is read once, in
            order, into main memory.
        labels: integers ``(n,)`` or ``(n, *positions)``, classes counted from 0: a tensor, an array, or a list of numbers or
            chunks. At a position of -100 nothing is counted.
        name: unique name; names the network in every table and in the perturbations' random streams.
        calibration: (inputs, labels) that criteria and gradients may see, or what holds both, disjoint from the evaluation
            examples; without them criteria need examples of their own and gradient perturbations are refused.
        output: takes the logits out of what the model returns; a tensor, the first of a tuple and an object with ``.logits``
            need none.
        class_axis: axis of the logits that runs over classes, 1 or -1.
        fold: fold batch norms into the layers before them, see ``folded``; the network is then called ``NAME_folded``.
        dataset, family, kind, split, licence, source: where the network stands in the zoo; ``own`` for a user's network.
        probe: the former name of ``calibration``, taken with a warning for one more version.

    Raises:
        BadInput: a name that cannot name files; a model that is not eager, in training mode, has weights that are not there,
            not finite, not float32 or on a device without float64, or does not turn one example and three into finite
            logits; inputs and labels that do not match, labels out of range, examples in the order of their classes,
            inputs that are not finite in float32; calibration examples of another shape, or that are evaluation examples.
    """

    folding: Folding | None = None  # which batch norms were folded, and which could not be; None where it was not asked for
    placed: torch.device | None = None  # where ``to`` put it, as it was named: cuda alone is any card

    def __init__(
        self,
        model: nn.Module,
        inputs: Given,
        labels: Given | None = None,
        *,
        name: str = "own",
        calibration: Given | None = None,
        output: Callable[[Any], torch.Tensor] | None = None,  # a model may return anything
        class_axis: int = 1,
        fold: bool = False,
        dataset: str = "own",
        family: str = "own",
        kind: str = "own",
        split: str = "test",
        licence: str = "",
        source: str = "",
        probe: Given | None = None,
    ) -> None:
        if not re.fullmatch(NAME, name):
            raise BadInput(f"network name {name!r}; expected letters, digits, '_', '-' and '.', as it names files")
        if split not in SPLITS:
            raise BadInput(f"network {name!r}: split {split!r}; expected {' or '.join(SPLITS)}")
        self.name, self.dataset, self.family, self.split = name, dataset, family, split
        self.kind, self.licence, self.source = kind, licence, source
        self.spec: str | None = None  # what load_network made it of, so that another process can
        if class_axis not in (1, -1):
            raise BadInput(
                f"network {name!r}: class_axis {class_axis!r}; expected 1, or -1 where classes are on the last axis"
            )
        self.model = checked_model(model, name)
        check_device(self.device, f"network {name!r}: its model's device {str(self.device)!r}")
        self.evaluation = checked_examples(inputs, labels, f"{name}, evaluation")
        if output is not None or class_axis != 1 or isinstance(self.inputs, Inputs) or not returns_a_tensor(self):
            self.model = adapted(model, output, class_axis)
        calibration = _calibration_of(calibration, probe, name)
        self._calibration = None if calibration is None else checked_calibration(calibration, self.evaluation, name)
        self.n_classes = count_classes(self, self._all_examples())
        if fold:
            self._fold()

    def __repr__(self) -> str:
        return f"Network({self.name!r}, dataset={self.dataset!r}, n_examples={len(self.labels)})"

    @property
    def inputs(self) -> torch.Tensor | Inputs:
        """Evaluation inputs: a float32 tensor ``(n, ...)`` where one such input was given, else ``Inputs``."""
        return self.evaluation[0]

    @property
    def labels(self) -> torch.Tensor:
        """Evaluation labels, int64 ``(n,)`` or ``(n, *positions)``; -100 where nothing is counted."""
        return self.evaluation[1]

    @property
    def n_answers(self) -> torch.Tensor:
        """Counted labels of each evaluation example, int64 ``(n,)``: ones of a network that gives each example one class."""
        return (self.labels != NOT_COUNTED).flatten(1).sum(1) if self.labels.ndim > 1 else torch.ones_like(self.labels)

    @property
    def calibration(self) -> Examples:
        """Calibration inputs and labels.

        Raises:
            BadInput: the network was made without calibration examples.
        """
        if self._calibration is None:
            raise BadInput(
                f"network {self.name!r} has no calibration examples; give Network(..., calibration=(inputs, labels))"
            )
        return self._calibration

    @property
    def images(self) -> torch.Tensor | Inputs:
        """The former name of ``inputs``."""
        warnings.warn(
            "Network.images is called Network.inputs now; the former name goes with the next version",
            FutureWarning,
            stacklevel=2,
        )
        return self.inputs

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
        return look_through(self.model, self.inputs[:N_LOOKED_AT].to(self.device))

    @cached_property
    def device(self) -> torch.device:
        """Where the model's weights are; inputs stay in main memory and move there batch by batch."""
        return next((parameter.device for parameter in self.model.parameters()), torch.device("cpu"))

    def to(self, device: str | torch.device) -> Self:
        """Move the model, as ``torch.nn.Module.to`` does, and return the network; inputs stay in main memory.

        Args:
            device: ``cpu``; ``cuda``: a card, and of several workers each takes the next one; ``cuda:1``: this card.

        Raises:
            BadInput: there is no such device, it has no float64, or the model does not run there.
        """
        self.placed = device_named(device)
        self.model.to(self.placed)
        self.__dict__.pop("device", None)
        width_of_logits(self, 1)
        return self

    def folded(self) -> Self:
        """Return the network with its batch norms folded, called ``NAME_folded``; itself where it is folded already.

        A layer is then a folded weight, under its own name. ``folding`` tells what was folded and what could not be.

        Raises:
            BadInput: the name gets too long, or the folded model answers otherwise.
        """
        if self.folding is not None:
            return self
        other = copy(self)
        other._fold()
        return other

    def _fold(self) -> None:
        if not re.fullmatch(NAME, self.name + FOLDED):
            raise BadInput(f"network name {self.name!r}: too long to be called {self.name + FOLDED!r}; give it another name")
        inputs = self.inputs[:N_CHECKED].to(self.device)
        self.model, self.folding = folded_copy(self.model, inputs, self.name)
        self.name += FOLDED
        for found in ("_found", "layers", "left_out", "unused_layers", "weights_sha256"):
            self.__dict__.pop(found, None)

    @cached_property
    def weights_sha256(self) -> str:
        """SHA-256 over name, type, shape and bytes of every entry of the state."""
        try:
            return state_sha256(self.model.state_dict())
        except BadInput as error:
            raise BadInput(f"network {self.name!r}: {error}") from error

    @cached_property
    def inputs_sha256(self) -> str:
        """SHA-256 over evaluation and calibration examples."""
        digest = hashlib.sha256()
        for examples in self._all_examples():
            for name, tensor in (*named_parts(examples[0]), ("input 0", examples[1])):
                kind = (
                    f"{tensor.dtype}|{tuple(tensor.shape)}|"
                    if name == "input 0"
                    else f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|"
                )
                digest.update(kind.encode() + tensor.numpy().tobytes())
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
        """Return n evaluation inputs and labels from number ``start`` on."""
        return self.inputs[start : start + n], self.labels[start : start + n]

    def weight(self, layer: Layer) -> np.ndarray:
        """Return a copy of the layer's weight, float32 of ``layer.shape``."""
        return self.model.get_parameter(layer.parameter).detach().cpu().numpy().astype(np.float32).copy()


def _calibration_of(calibration: Given | None, probe: Given | None, name: str) -> Given | None:
    """Return what was given under the name of today or, with a warning, under the former one."""
    if probe is None:
        return calibration
    if calibration is not None:
        raise BadInput(f"network {name!r}: both calibration= and probe=, its former name; give calibration= alone")
    warnings.warn(f"Network(..., probe=) is called calibration= now: {_FORMER}", FutureWarning, stacklevel=3)
    return probe


def require_network(given: object) -> None:
    """Refuse what is no network, such as the name of one.

    Raises:
        BadInput: it is none.
    """
    if not isinstance(given, Network):
        raise BadInput(f"expected a Network, got {given!r:.100}; safer_bench.load_network(NAME) loads one of the zoo")
