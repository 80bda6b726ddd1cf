"""A model as a functional graph of ATen operations whose number of examples is free: what replay works on."""

import math
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch._ops import OpOverload
from torch.export.graph_signature import InputKind, OutputKind

from safer_bench.errors import SaferBenchError, text_of
from safer_bench.measurement.answers.limits import TRACED, limit_output, limited
from safer_bench.measurement.answers.precision import with_float32s_epsilon
from safer_bench.measurement.answers.tuning import arranged
from safer_bench.networks.adapted import OfParts
from safer_bench.networks.inputs import Inputs, parts_of
from safer_bench.networks.layers import Layer, no_fast_path
from safer_bench.networks.uses import WITHOUT_VALUES

N_TRACED = 4  # examples in the traced pass; 0 and 1 are special to export, and the graph takes any number from 2 on

JUMPS = {
    *("sign", "sgn", "signbit", "round", "floor", "ceil", "trunc", "fix", "frac", "fmod", "remainder", "floor_divide"),
    *("heaviside", "gt", "ge", "lt", "le", "eq", "ne", "argmax", "argmin", "topk", "kthvalue", "sort", "argsort"),
    *("bucketize", "mode", "threshold", "copysign", "angle", "atan2", "nan_to_num", "xlogy"),
    *("linalg_svd", "_linalg_svd", "svd", "linalg_eigh", "_linalg_eigh", "linalg_eig"),  # signs and order of vectors
}
REARRANGE = {
    *("view", "_unsafe_view", "reshape", "flatten", "permute", "transpose", "slice", "select", "squeeze", "unsqueeze"),
    *("clone", "expand", "alias", "unbind", "getitem", "t", "_to_copy", "abs", "neg"),
}
NEAREST = 1  # interpolation of a grid sampler
CHECKS = {"_assert_tensor_metadata"}  # of the types that were traced: another arithmetic has others
AS_TRACED = {"view", "_unsafe_view"}  # work in the memory format that was traced; reshape works in any
BY_LAYOUT = {"as_strided", "as_strided_copy", "as_strided_scatter"}  # mean something else in another memory format


class CannotReplayError(Exception):
    """Why a model or a layer has to be measured by whole forward passes."""


@contextmanager
def whatever_fails() -> Iterator[None]:
    """Turn what a stranger's model makes fail in replay into the reason for whole passes, which may well work.

    Not so where memory is short: whole passes need some too, and whoever asked for too much should hear of it.
    """
    try:
        yield
    except (CannotReplayError, SaferBenchError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if "can't allocate memory" in str(error):  # torch's on CPUs is a plain RuntimeError
            raise
        raise CannotReplayError(f"replay raised {text_of(error, typed=True):.200}") from error


@dataclass(frozen=True, slots=True)
class Traced:
    """A model's computation.

    Attributes:
        graph: functional ATen operations: nothing in it writes to a tensor, so values flow along its edges alone.
            What modules return passes ``limits.limited``.
        inputs: the nodes of what the model is given, each ``(n, ...)`` with n free.
        logits: the node of the result, ``(n, n_classes, ...)``.
        tensors: value of each node that is a parameter, a buffer or a constant.
    """

    graph: fx.Graph
    inputs: tuple[fx.Node, ...]
    logits: fx.Node
    tensors: dict[fx.Node, Tensor]

    def without_limits(self) -> "Traced":
        """Return a copy of the graph in which nothing limits what modules return: float32 has its range by itself."""
        graph, copies = fx.Graph(), dict[fx.Node, fx.Node]()
        for node in self.graph.nodes:
            limits = node.target is limited
            copies[node] = copies[node.args[0]] if limits else graph.node_copy(node, copies.__getitem__)
        tensors = {copies[node]: value for node, value in self.tensors.items()}
        return Traced(graph, tuple(copies[node] for node in self.inputs), copies[self.logits], tensors)

    @property
    def largest_bytes(self) -> int:
        """Bytes an example of the largest result of an operation, in float32."""
        sizes = [bytes_per_example(node) for node in self.graph.nodes if node.op == "call_function"]
        return max(sizes, default=1)

    def weight_nodes(self, model: nn.Module, layer: Layer) -> tuple[fx.Node, ...]:
        """Return the nodes that read a layer's weight; several where it is tied.

        Raises:
            CannotReplayError: no node does, or one reads another view of its storage.
        """
        weight = model.get_parameter(layer.parameter)
        storage = weight.untyped_storage().data_ptr()
        nodes = [node for node, value in self.tensors.items() if value.untyped_storage().data_ptr() == storage]
        if not any(node.users for node in nodes):
            raise CannotReplayError("no logit depends on it, as far as the trace tells")
        for node in nodes:
            if (self.tensors[node].shape, self.tensors[node].stride()) != (weight.shape, weight.stride()):
                raise CannotReplayError("another tensor shares its weight's storage")
        return tuple(nodes)


def bytes_per_example(node: fx.Node) -> int:
    """Return the memory that a node's value takes for one example, in float32; 0 where it is no tensor."""
    value = node.meta.get("val")
    return 4 * math.prod(map(one_example, value.shape)) if isinstance(value, Tensor) else 0


def one_example(size: int | torch.SymInt) -> int:
    """Return a size where there is one example."""
    return size if isinstance(size, int) else size_of(size, 1)


def size_of(size: torch.SymInt, n: int) -> int:
    """Return a size that depends on the number of examples, for n of them."""
    expression = size.node.expr
    return int(expression.subs(dict.fromkeys(expression.free_symbols, n)))


def trace(
    model: nn.Module, inputs: Tensor | Inputs, memory_format: torch.memory_format = torch.contiguous_format
) -> tuple[nn.Module, Traced]:
    """Trace a copy of a model.

    Args:
        model: in evaluation mode.
        inputs: of at least one example, on the model's device.
        memory_format: of the copy's weights.

    Returns:
        The copy, which owns the traced tensors, and its graph.

    Raises:
        CannotReplayError: the computation depends on values (control flow), mixes examples, keeps state, or draws random
            numbers; the message is the tracer's own.
    """
    model = deepcopy(model)
    for module in model.modules():
        module.register_forward_hook(limit_output)
    examples = [part.contiguous() for part in parts_of(inputs[torch.arange(N_TRACED, device=inputs.device) % len(inputs)])]
    n = torch.export.Dim("n", min=2)
    of_parts, sizes = OfParts(model, inputs).eval(), tuple({0: n} for _ in examples)
    try:
        with torch.no_grad(), no_fast_path(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(of_parts, tuple(examples), dynamic_shapes={"parts": sizes}, strict=False)
            program = program.run_decompositions({})  # in-place operations become plain ones
    except Exception as error:  # the tracer raises whatever the model's code meets
        text = text_of(error, typed=True)
        if "Constraints violated" in text:
            raise CannotReplayError(
                "its computation depends on the number of examples in the batch (x.shape[0] in forward can be traced, and "
                "len(x) cannot)"
            ) from error
        raise CannotReplayError(f"torch.export: {text:.200}") from error
    _refuse_state(program)
    _refuse_operations(program.graph.nodes)
    _arrange(model, memory_format)  # only now: the model's own code may view what its convolutions return
    traced = _read(program)
    _refuse_jumps(traced)
    return model, traced


def _arrange(model: nn.Module, memory_format: torch.memory_format) -> None:
    """Give the convolutions' weights a memory format; other tensors may be read in their own."""
    for module in model.modules():
        if isinstance(module, nn.modules.conv._ConvNd):
            for weight in module.parameters(recurse=False):
                weight.data = arranged(weight.data, memory_format)


def _refuse_state(program: torch.export.ExportedProgram) -> None:
    for output in program.graph_signature.output_specs:
        if output.kind not in (OutputKind.USER_OUTPUT, OutputKind.USER_INPUT_MUTATION):
            raise CannotReplayError(f"the model writes to its own state ({str(output.target).removeprefix('model.')})")


def _refuse_operations(nodes: Iterable[fx.Node]) -> None:
    for node in nodes:
        if isinstance(node.target, OpOverload):
            if torch.Tag.nondeterministic_seeded in node.target.tags and not _never_drops(node):
                raise CannotReplayError(f"the model draws random numbers ({node.target})")
        elif node.op not in ("placeholder", "output") and getattr(node.target, "__module__", "") != "_operator":
            raise CannotReplayError(f"the model uses {node.target}, which cannot be taken apart")
        if operation_name(node) in BY_LAYOUT:
            raise CannotReplayError(f"the model reads memory by its layout ({node.target})")


def _never_drops(node: fx.Node) -> bool:
    """Tell whether an operation with dropout, such as attention or an LSTM, drops nothing."""
    arguments = {item.name: item.default_value for item in node.target._schema.arguments}  # type: ignore[union-attr]
    values = arguments | dict(zip(arguments, node.args, strict=False)) | dict(node.kwargs)
    return values.get("dropout_p", values.get("dropout")) == 0.0 or values.get("train") is False


def _refuse_jumps(traced: Traced) -> None:
    """Refuse operations on what the images became that jump where their input moves a little.

    A rounding error can move their input over the jump: a few examples then have large errors, all others tiny ones, and
    no sample of errors tells.
    """
    moving: set[fx.Node] = set()
    fixed = set(traced.inputs)  # inputs, and whole numbers made of them, are the same in every arithmetic
    for node in traced.graph.nodes:
        used = set(node.all_input_nodes)
        if node.op != "call_function" or not used & (fixed | moving) or not _holds_tensors(node):
            continue
        if operation_name(node) in WITHOUT_VALUES:
            continue
        if used & moving and _jumps(node, moving):
            raise CannotReplayError(f"it uses an operation that jumps ({node.target})")
        (moving if used & moving or not (operation_name(node) in REARRANGE or _is_whole(node)) else fixed).add(node)


def _jumps(node: fx.Node, moving: set[fx.Node]) -> bool:
    if operation_name(node) in JUMPS or node.kwargs.get("rounding_mode") is not None:
        return True
    if operation_name(node).startswith("grid_sampler") and node.args[2] == NEAREST:
        return True
    value = node.meta.get("val")
    moving_values = [used.meta.get("val") for used in node.all_input_nodes if used in moving]
    if not isinstance(value, Tensor) or all(isinstance(item, Tensor) and not _is_real(item) for item in moving_values):
        return False
    return not _is_real(value) or value.dtype.itemsize < torch.float32.itemsize


def operation_name(node: fx.Node) -> str:
    """Return the name of a node's operation, without its overload."""
    return str(getattr(getattr(node.target, "overloadpacket", node.target), "__name__", ""))


def _is_whole(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) and not _is_real(value)


def _holds_tensors(node: fx.Node) -> bool:
    return isinstance(node.meta.get("val"), Tensor | tuple | list)


def _is_real(value: Tensor) -> bool:
    return value.dtype.is_floating_point or value.dtype.is_complex


def _read(program: torch.export.ExportedProgram) -> Traced:
    placeholders = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    tensors, inputs = {}, list[fx.Node]()
    for spec in program.graph_signature.input_specs:
        node = placeholders[spec.arg.name]
        if spec.kind == InputKind.USER_INPUT:
            inputs.append(node)
        else:
            owner = program.state_dict if spec.target in program.state_dict else program.constants
            tensors[node] = owner[spec.target].detach()
    results = {spec.arg.name for spec in program.graph_signature.output_specs if spec.kind == OutputKind.USER_OUTPUT}
    output = next(node for node in program.graph.nodes if node.op == "output")
    logits = [node for node in output.args[0] if node.name in results]
    if len(logits) != 1:
        raise CannotReplayError("the traced model does not map its inputs to one tensor of logits")
    output.args = (logits[0],)
    for node in list(program.graph.nodes):
        if operation_name(node) in CHECKS:
            program.graph.erase_node(node)
            continue
        if operation_name(node) == "rms_norm":
            node.args, node.kwargs = with_float32s_epsilon(node.args, node.kwargs)
        if node.target is TRACED:
            node.target = limited
        if node.op == "call_function" and operation_name(node) in AS_TRACED and node.target._overloadname == "default":
            node.target = torch.ops.aten.reshape.default
    return Traced(program.graph, tuple(inputs), logits[0], tensors)
