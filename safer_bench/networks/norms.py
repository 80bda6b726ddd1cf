"""Which batch norm scales the output of which layer, found by what a pass does; and why others cannot be folded."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from safer_bench.networks.inputs import Inputs
from safer_bench.networks.layers import taken_apart
from safer_bench.networks.operations import Operations
from safer_bench.networks.parameter_entries import tensors_in

BatchNorm = nn.modules.batchnorm._BatchNorm
FoldsInto = nn.modules.conv._ConvNd | nn.Linear
NORMS = ("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training")
OF_THE_BATCH = "takes the statistics of the batch"
NEVER_CALLED = "never called"
CALLED_AGAIN = "called more than once"
NO_LAYER = "follows no convolution or linear layer"
READ_ELSEWHERE = "its layer's output is read elsewhere, too"
LAYER_AGAIN = "its layer's weight is shared, or used more than once"


@dataclass(frozen=True, slots=True)
class Made:
    """What a convolution or linear layer puts out.

    Attributes:
        output: the tensor.
        weight, bias: of the layer.
        in_rows: whether each row of the last dimension holds its outputs, as of a linear layer; else dimension 1 does.
    """

    output: Tensor
    weight: Tensor
    bias: Tensor | None
    in_rows: bool


class Watched(Operations):
    """Watches which layer makes what, what batch norms are given, and how often each tensor is read, within the block.

    A transposed weight stands for that weight, and rows of a linear layer's output that are laid out anew for that output.
    Any other view or copy is another tensor.

    Args:
        model: whose weights are watched.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._weights = {id(weight) for weight in model.parameters()}
        self._stands_for: dict[int, Tensor] = {}
        self._made: dict[int, Made] = {}  # by what is put out
        self._reads: Counter[int] = Counter()
        self._norms: list[dict[str, Any]] = []
        self._kept: list[Tensor] = []  # so that no other tensor takes the place of one, and is taken for it

    def _watch(self, func: Any, given: dict[str, Any], result: Any) -> None:
        operation = func.overloadpacket.__name__
        if self._is_the_same(operation, given, result):
            self._keep(result)
            self._stands_for[id(result)] = self._original(given["self"])
            return
        for tensor in tensors_in(given):
            self._reads[id(self._original(tensor))] += 1
        if operation in NORMS and given.get("running_var") is not None:
            self._norms.append(given)
        elif operation == "convolution":
            self._note_made(result, given["weight"], given["bias"], in_rows=False)
        elif operation in ("mm", "addmm") and id(given["mat2"]) in self._stands_for:  # transposed, as a linear layer does
            self._note_made(result, given["mat2"], given["self"] if operation == "addmm" else None, in_rows=True)

    def _is_the_same(self, operation: str, given: dict[str, Any], result: Any) -> bool:
        """Tell whether a result stands for what it was made of."""
        if operation == "t":
            return id(given["self"]) in self._weights
        made = self.made(given["self"]) if operation in ("view", "_unsafe_view") else None
        return made is not None and made.in_rows and result.shape[-1] == given["self"].shape[-1]

    def _note_made(self, result: Tensor, weight: Tensor, bias: Tensor | None, *, in_rows: bool) -> None:
        weight = self._original(weight)
        if id(weight) in self._weights:
            self._keep(result)
            self._made[id(result)] = Made(result, weight, bias, in_rows)

    def _keep(self, tensor: Tensor) -> None:
        """Keep a tensor, of which nothing is known yet: what lay in its place before is forgotten."""
        self._kept.append(tensor)
        self._reads.pop(id(tensor), None)

    def _original(self, tensor: Tensor) -> Tensor:
        return self._stands_for.get(id(tensor), tensor)

    def calls(self, norm: nn.Module) -> list[dict[str, Any]]:
        """Return the arguments of each call of a batch norm, by their names."""
        return [given for given in self._norms if given["running_var"] is norm.running_var]

    def made(self, tensor: Tensor) -> Made | None:
        """Return what made a tensor, where it is or stands for a layer's output."""
        return self._made.get(id(self._original(tensor)))

    def n_reads(self, tensor: Tensor) -> int:
        """Return how many operations read a tensor or what stands for it."""
        return self._reads[id(tensor)]


def watched_pass(model: nn.Module, inputs: Tensor | Inputs) -> Watched:
    """Return what a pass was seen to do."""
    with torch.no_grad(), taken_apart(), Watched(model) as watched:
        model(inputs.clone())  # the model may work in place
    return watched


def followed_by(model: nn.Module, inputs: Tensor | Inputs) -> tuple[dict[str, str], dict[str, str]]:
    """Find the batch norms that scale the output of one layer and nothing else.

    Args:
        model: in evaluation mode.
        inputs: of one example; others are expected to pass the same operations.

    Returns:
        Path of each batch norm that can be folded -> path of the module of its layer; of each other one -> why it cannot.
    """
    norms = {path: module for path, module in model.named_modules() if isinstance(module, BatchNorm)}
    if not norms:
        return {}, {}
    watched = watched_pass(model, inputs)
    found = {path: _layer_of(norm, watched, model) for path, norm in norms.items()}
    into = {path: layer for path, (layer, reason) in found.items() if not reason}
    return into, {path: reason for path, (_, reason) in found.items() if reason}


def _layer_of(norm: BatchNorm, watched: Watched, model: nn.Module) -> tuple[str, str]:
    """Return the path of the layer that a batch norm can be folded into, or why it cannot: the other one is empty."""
    calls = watched.calls(norm)
    if norm.running_var is None or any(call.get("training") for call in calls):
        return "", OF_THE_BATCH
    if len(calls) != 1:
        return "", CALLED_AGAIN if calls else NEVER_CALLED
    made = watched.made(calls[0]["input"])
    if made is None or (made.in_rows and calls[0]["input"].ndim != 2):
        return "", NO_LAYER
    owners = [item for item in model.named_modules() if any(own is made.weight for own in item[1].parameters(recurse=False))]
    if not all(isinstance(module, FoldsInto) and module.bias is made.bias for _, module in owners):
        return "", NO_LAYER
    if len(owners) > 1 or watched.n_reads(made.weight) > 1:
        return "", LAYER_AGAIN
    return (owners[0][0], "") if watched.n_reads(made.output) == 1 else ("", READ_ELSEWHERE)
