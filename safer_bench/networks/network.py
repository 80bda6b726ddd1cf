"""A trained network with its evaluation and calibration examples."""

import hashlib
import re
import warnings
from collections.abc import Callable
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from safer_bench.errors import BadInput, text_of
from safer_bench.networks.adapted import adapted
from safer_bench.networks.devices import check_device, device_named
from safer_bench.networks.digest import state_sha256
from safer_bench.networks.examples import (
    NOT_COUNTED,
    Examples,
    checked_calibration,
    checked_examples,
    counted,
    unequal_classes,
)
from safer_bench.networks.inputs import Inputs, named_parts
from safer_bench.networks.layers import N_LOOKED_AT, NEVER_READ, Found, Layer, look_through
from safer_bench.networks.model_checks import checked_model, not_finite
from safer_bench.registry import suggestion
from safer_bench.tables.columns import NAME, SPLITS

N_TRIED = 3  # images that a new network has to turn into logits, beside one alone
STAYS = "what forward uses moves along where it is a parameter or a buffer: self.register_buffer(name, tensor)"
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
        dataset, family, split, licence, source: where the network stands in the zoo; ``own`` for a user's network.
        probe: the former name of ``calibration``, taken with a warning for one more version.

    Raises:
        BadInput: a name that cannot name files; a model that is not eager, in training mode, has weights that are not there,
            not finite, not float32 or on a device without float64, or does not turn one example and three into finite
            logits; inputs and labels that do not match, labels out of range, examples in the order of their classes,
            inputs that are not finite in float32; calibration examples of another shape, or that are evaluation examples.
    """

    placed: torch.device | None = None  # where ``to`` put it, as it was named: cuda alone is any card

    def __init__(
        self,
        model: nn.Module,
        inputs: Any,
        labels: Any = None,
        *,
        name: str = "own",
        calibration: Any = None,
        output: Callable[[Any], Any] | None = None,
        class_axis: int = 1,
        dataset: str = "own",
        family: str = "own",
        split: str = "test",
        licence: str = "",
        source: str = "",
        probe: tuple[Any, Any] | None = None,
    ) -> None:
        if not re.fullmatch(NAME, name):
            raise BadInput(f"network name {name!r}; expected letters, digits, '_', '-' and '.', as it names files")
        if split not in SPLITS:
            raise BadInput(f"network {name!r}: split {split!r}; expected {' or '.join(SPLITS)}")
        self.name, self.dataset, self.family, self.split = name, dataset, family, split
        self.licence, self.source = licence, source
        self.spec: str | None = None  # what load_network made it of, so that another process can
        if class_axis not in (1, -1):
            raise BadInput(
                f"network {name!r}: class_axis {class_axis!r}; expected 1, or -1 where classes are on the last axis"
            )
        self.model = checked_model(model, name)
        check_device(self.device, f"network {name!r}: its model's device {str(self.device)!r}")
        self.evaluation = checked_examples(inputs, labels, f"{name}, evaluation")
        if output is not None or class_axis != 1 or isinstance(self.inputs, Inputs) or not self._returns_a_tensor():
            self.model = adapted(model, output, class_axis)
        calibration = _calibration_of(calibration, probe, name)
        self._calibration = None if calibration is None else checked_calibration(calibration, self.evaluation, name)
        self.n_classes = self._count_classes()

    def __repr__(self) -> str:
        return f"Network({self.name!r}, dataset={self.dataset!r}, n_examples={len(self.labels)})"

    @property
    def inputs(self) -> Any:
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
    def images(self) -> Any:
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
        self._width_of_logits(1)
        return self

    def _returns_a_tensor(self) -> bool:
        """Tell whether the model returns logits as they are; what fails is told by the first pass that is checked."""
        try:
            with torch.no_grad():
                return isinstance(self.model(self.inputs[:1].clone().to(self.device)), torch.Tensor)
        except Exception:
            return True

    def _count_classes(self) -> int:
        """Return the width of the logits, of one example (which a last batch may be) and of a few alike."""
        n_classes, of_several = self._width_of_logits(1), self._width_of_logits(N_TRIED)
        if of_several != n_classes:
            raise BadInput(
                f"network {self.name!r}: {n_classes} logits of one {self._one} alone, {of_several} of each of several; "
                "expected as many, one for each class"
            )
        if n_classes < 2:
            raise BadInput(
                f"network {self.name!r}: {n_classes} logits an {self._one}; expected one for each of two classes or more: "
                "of a model with one logit z for the second of two classes, torch.cat([torch.zeros_like(z), z], 1)"
            )
        for _, labels in self._all_examples():
            answers = counted(labels)
            low, high = int(answers.min()), int(answers.max())
            if not 0 <= low <= high < n_classes:
                but = f", or {NOT_COUNTED} where none is counted" if labels.ndim > 1 else ""
                raise BadInput(f"network {self.name!r}: labels from {low} to {high}; expected 0 to {n_classes - 1}{but}")
        return n_classes

    def _width_of_logits(self, n: int) -> int:
        """Run the first n examples, or as many as there are, and return how many logits each has."""
        inputs = self.inputs[:n].clone().to(self.device)  # the model may work in place
        what = f"one {self._one}" if len(inputs) == 1 else f"{len(inputs)} {self._one}s"
        try:
            with torch.no_grad():
                logits = self.model(inputs)
        except Exception as error:
            said = text_of(error, typed=True)
            given = "it was given " + ", ".join(self._told(name, part) for name, part in named_parts(inputs))
            floating = isinstance(inputs, torch.Tensor)
            whole = "; what has to be whole is given as integers, inputs.long()" if floating and "Long" in said else ""
            if not floating and re.search(r"Long|Int|Byte|Bool|dtype", said):
                whole = "; integers stay what they are: inputs.float() gives numbers, scaled as in training"
            several = isinstance(error, TypeError) and re.search(r"missing \d+ required", said)
            other = "; further arguments are given in a tuple, or by name in a dictionary" if several else ""
            stays = f"; {STAYS}" if "same device" in said else ""
            raise BadInput(
                f"network {self.name!r}: running {what} raised {said:.300} ({given}{whole}{other}{stays})"
            ) from error
        positions = tuple(self.labels.shape[1:])
        fits = isinstance(logits, torch.Tensor) and logits.ndim > 1
        if not fits or (len(logits), *logits.shape[2:]) != (len(inputs), *positions):
            is_tensor = isinstance(logits, torch.Tensor)
            answer = tuple(logits.shape) if is_tensor else f"a {type(logits).__name__}"
            wrapped = "" if is_tensor else ": Network(..., output=lambda returned: ...) takes them out of what it returns"
            if is_tensor and positions and logits.shape == (len(inputs), *positions):
                wrapped = ": one label an example, labels.argmax(1) where they are one-hot"
            elif is_tensor and positions and (len(logits), *logits.shape[1:-1]) == (len(inputs), *positions):
                wrapped = ": Network(..., class_axis=-1) where the last axis runs over classes"
            expected = f"logits {(len(inputs), 'n_classes', *positions)}".replace("'", "") + wrapped
            raise BadInput(f"network {self.name!r}: {what} gave {answer}; expected {expected}")
        if not logits.is_floating_point():
            raise BadInput(f"network {self.name!r}: {what} gave {logits.dtype}; expected logits, which are floating point")
        if logits.numel() and len(inputs) == min(N_TRIED, len(self.labels)) and not torch.isfinite(logits.amax(1)).any():
            raise BadInput(
                f"network {self.name!r}: the largest logit of {what} is NaN or infinite{not_finite(self.model)}; expected "
                "finite ones (-inf for a class that is switched off)"
            )
        return int(logits.shape[1])

    @property
    def _one(self) -> str:
        return "image" if isinstance(self.inputs, torch.Tensor) else "example"

    @staticmethod
    def _told(name: str, part: torch.Tensor) -> str:
        form = f"{part.dtype} {tuple(part.shape)}"
        return form if name == "input 0" else f"{name}: {form}"

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

    @property
    def class_note(self) -> str:
        """What to say of very unequal classes of evaluation examples; empty where they are not."""
        note = unequal_classes(self.labels, self.n_classes)
        return f"network {self.name!r}: {note}" if note else ""

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


def _calibration_of(calibration: Any, probe: Any, name: str) -> Any:
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
