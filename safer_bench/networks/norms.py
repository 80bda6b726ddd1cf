"""Which batch norm scales the output of which layer, found by what a pass does; and why others cannot be folded."""

from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from safer_bench.networks.entries import tensors_in
from safer_bench.networks.inputs import Inputs
from safer_bench.networks.layers import taken_apart

BatchNorm = nn.modules.batchnorm._BatchNorm
FoldsInto = nn.modules.conv._ConvNd | nn.Linear
NORMS = ("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training")
OF_THE_BATCH = "takes the statistics of the batch"
NEVER_CALLED = "never called"
CALLED_AGAIN = "called more than once"
NO_LAYER = "follows no convolution or linear layer"
READ_ELSEWHERE = "its layer's output is read elsewhere, too"
LAYER_AGAIN = "its layer's weight is shared, or used more than once"


class Watched(TorchDispatchMode):
    """Watches which layer makes what, what batch norms are given, and how often each tensor is read, within the block.

    A tensor is known by itself, so that a view or a changed copy of a layer's output is another one.

    Args:
        model: whose weights are watched.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._weights = {id(weight): weight for weight in model.parameters()}  # and a transposed view of one -> the weight
        self._made: dict[int, tuple[Tensor, Tensor | None]] = {}  # what a layer puts out -> its weight and bias
        self._reads: Counter[int] = Counter()
        self._norms: list[dict[str, Any]] = []
        self._kept: list[Tensor] = []  # so that no other tensor takes the place of one, and is taken for it

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with self:  # within inference mode operations come as they were called
            parts = func.decompose(*args, **kwargs)
        if parts is not NotImplemented:
            return parts
        result = func(*args, **kwargs)
        given = dict(zip((item.name for item in func._schema.arguments), args, strict=False)) | kwargs
        self._watch(func.overloadpacket.__name__, given, result)
        return result

    def _watch(self, operation: str, given: dict[str, Any], result: Any) -> None:
        if operation == "t" and id(given["self"]) in self._weights:
            self._weights[id(result)] = self._weights[id(given["self"])]
            self._kept.append(result)
            return
        for tensor in tensors_in(given):
            self._reads[id(self._weights.get(id(tensor), tensor))] += 1
        if operation in NORMS and given.get("running_var") is not None:
            self._norms.append(given)
        elif operation == "convolution":
            self._note_made(given["weight"], given["bias"], result)
        elif operation in ("mm", "addmm"):
            self._note_made(given["mat2"], given["self"] if operation == "addmm" else None, result)

    def _note_made(self, weight: Tensor, bias: Tensor | None, result: Tensor) -> None:
        self._made.pop(id(result), None)
        self._reads.pop(id(result), None)  # of what lay there before
        if id(weight) in self._weights:
            self._made[id(result)] = (self._weights[id(weight)], bias)
            self._kept.append(result)

    def calls(self, norm: nn.Module) -> list[dict[str, Any]]:
        """Return the arguments of each call of a batch norm, by their names."""
        return [given for given in self._norms if given["running_var"] is norm.running_var]

    def maker(self, output: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return weight and bias of the layer whose output a tensor is; None and None where it is of none."""
        return self._made.get(id(output), (None, None))

    def n_reads(self, tensor: Tensor) -> int:
        """Return how many operations read a tensor; of a weight also by transposing it."""
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
    output = calls[0]["input"]
    weight, bias = watched.maker(output)
    owners = [item for item in model.named_modules() if any(own is weight for own in item[1].parameters(recurse=False))]
    if weight is None or not all(isinstance(module, FoldsInto) and module.bias is bias for _, module in owners):
        return "", NO_LAYER
    if len(owners) > 1 or watched.n_reads(weight) > 1:
        return "", LAYER_AGAIN
    return (owners[0][0], "") if watched.n_reads(output) == 1 else ("", READ_ELSEWHERE)
