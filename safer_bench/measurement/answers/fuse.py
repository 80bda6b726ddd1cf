"""Arithmetic folded away before replay: batch norms into convolutions, activations and shortcuts into their results.

It changes the last bits of float32 logits and never a count: error bands are calibrated on the fused computation.
"""

import operator
from typing import Any

import torch
from torch import Tensor, fx

from safer_bench.measurement.answers.trace import Traced

aten = torch.ops.aten
BATCH_NORM = aten._native_batch_norm_legit_no_training.default
POINTWISE = torch.ops.mkldnn._convolution_pointwise.default
SUM = torch.ops.mkldnn._convolution_pointwise.binary
SUM_IN_PLACE = torch.ops.mkldnn._convolution_pointwise_.binary
ACTIVATIONS: dict[object, tuple[str, int]] = {aten.relu.default: ("relu", 1), aten.hardtanh.default: ("hardtanh", 3)}


def fuse(traced: Traced, memory_format: torch.memory_format = torch.contiguous_format) -> Traced:
    """Fold what can be folded; the graph is changed in place.

    Batch norms are folded everywhere; activations and additions only into oneDNN's convolutions, on CPUs and in
    channels_last (elsewhere oneDNN's sums are missing in bfloat16, and nothing is gained).
    """
    fixed = _depends_on_tensors_alone(traced)
    for node in list(traced.graph.nodes):
        if node.target == BATCH_NORM:
            _fold_batch_norm(traced.graph, node, fixed)
    if memory_format == torch.channels_last and _has_fused_convolutions(traced):
        for node in list(traced.graph.nodes):
            if node.target in ACTIVATIONS:
                _fold_activation(traced.graph, node, fixed)
    traced.graph.eliminate_dead_code()
    logits = traced.graph.output_node().all_input_nodes[0]
    return Traced(traced.graph, traced.inputs, logits, traced.tensors)


def reuse_memory(graph: fx.Graph) -> None:
    """Let fused sums write into their other operand where nothing reads it later and a convolution made it afresh."""
    for node in graph.nodes:
        if node.target != SUM:
            continue
        x, other, *rest = node.args
        fresh = isinstance(other, fx.Node) and other.target in (aten.conv2d.default, POINTWISE, SUM, SUM_IN_PLACE)
        if fresh and list(other.users) == [node]:  # a view of it may be read later than itself
            node.target, node.args = SUM_IN_PLACE, (other, x, *rest)


def fold_weight(weight: Tensor, gamma: Tensor | None, variance: Tensor, epsilon: float) -> Tensor:
    """Return a convolution's weight with the batch norm's scale: one factor an output channel."""
    scale = _scale(gamma, variance, epsilon)
    return (weight * scale.reshape(-1, *[1] * (weight.ndim - 1)).to(weight.dtype)).to(weight.dtype)


def fold_bias(
    bias: Tensor | None, gamma: Tensor | None, beta: Tensor | None, mean: Tensor, variance: Tensor, epsilon: float
) -> Tensor:
    """Return a convolution's bias with the batch norm's scale and shift."""
    shifted = (0.0 if bias is None else bias.double()) - mean.double()
    return (shifted * _scale(gamma, variance, epsilon) + (0.0 if beta is None else beta.double())).to(mean.dtype)


def _scale(gamma: Tensor | None, variance: Tensor, epsilon: float) -> Tensor:
    inverse = (variance.double() + epsilon).rsqrt()
    return inverse if gamma is None else gamma.double() * inverse


def _depends_on_tensors_alone(traced: Traced) -> set[fx.Node]:
    fixed = set(traced.tensors)
    for node in traced.graph.nodes:
        if node.op == "call_function" and fixed.issuperset(node.all_input_nodes):
            fixed.add(node)
    return fixed


def _is_convolution(node: Any, fixed: set[fx.Node]) -> bool:
    """Tell whether a node is a convolution of two dimensions by a weight, whose result has one reader."""
    if not isinstance(node, fx.Node) or node.target != aten.conv2d.default or len(node.users) != 1:
        return False
    return fixed.issuperset(item for item in node.args[1:3] if item is not None)


def _fold_batch_norm(graph: fx.Graph, node: fx.Node, fixed: set[fx.Node]) -> None:
    convolution, gamma, beta, mean, variance, _, epsilon = node.args
    results = list(node.users)
    if not _is_convolution(convolution, fixed) or [(use.target, use.args[1]) for use in results] != [(operator.getitem, 0)]:
        return
    x, weight, bias, *rest = _arguments(convolution)
    with graph.inserting_before(node):
        folded = (
            graph.call_function(fold_weight, (weight, gamma, variance, epsilon)),
            graph.call_function(fold_bias, (bias, gamma, beta, mean, variance, epsilon)),
        )
    fixed.update(folded)
    _replace(graph, results[0], aten.conv2d.default, (x, *folded, *rest), dead=(node, convolution))


def _fold_activation(graph: fx.Graph, node: fx.Node, fixed: set[fx.Node]) -> None:
    name, n_arguments = ACTIVATIONS[node.target]
    before: Any = node.args[0]
    if len(node.args) != n_arguments:
        return
    if _is_convolution(before, fixed):
        x, weight, bias, stride, padding, *rest = _arguments(before)
        arguments = (x, weight, bias, padding, stride, *rest, name, list(node.args[1:]), "")
        _replace(graph, node, POINTWISE, arguments, dead=(before,))
    elif name == "relu" and _is_sum(before):
        _fold_sum(graph, node, before, fixed)


def _fold_sum(graph: fx.Graph, node: fx.Node, total: fx.Node, fixed: set[fx.Node]) -> None:
    """Fold relu(convolution + other) into one operation."""
    for convolution, other in (total.args, total.args[::-1]):
        if not _is_convolution(convolution, fixed) or other is convolution:
            continue
        if _alike(other, total) and _alike(convolution, total) and _arguments(convolution)[6] == 1:
            x, weight, bias, stride, padding, *rest = _arguments(convolution)
            arguments = (x, other, weight, bias, padding, stride, *rest, "add", 1.0, "relu", [], "")
            dead = (total, convolution)
            _replace(graph, node, SUM, arguments, dead=dead)
            return


def _is_sum(node: Any) -> bool:
    return isinstance(node, fx.Node) and node.target == aten.add.Tensor and len(node.users) == 1 and not node.kwargs


def _alike(left: Any, right: fx.Node) -> bool:
    """Tell whether two values have one shape and type: oneDNN's sums take no others."""
    if not isinstance(left, fx.Node):
        return False
    first, second = left.meta["val"], right.meta["val"]
    return isinstance(first, Tensor) and first.shape == second.shape and first.dtype == second.dtype


def _replace(graph: fx.Graph, node: fx.Node, target: Any, arguments: tuple[Any, ...], dead: tuple[Any, ...]) -> None:
    """Put an operation in the place of a node, and remove the nodes that it makes superfluous."""
    with graph.inserting_before(node):
        result = graph.call_function(target, arguments)
    result.meta = dict(node.meta)
    node.replace_all_uses_with(result)
    for item in (node, *dead):
        graph.erase_node(item)


def _arguments(convolution: Any) -> tuple[Any, ...]:
    """Return (x, weight, bias, stride, padding, dilation, groups) of a convolution."""
    defaults = (None, None, None, [1, 1], [0, 0], [1, 1], 1)
    return (*convolution.args, *defaults[len(convolution.args) :])


def _has_fused_convolutions(traced: Traced) -> bool:
    on_cpu = all(value.device.type == "cpu" and value.dtype != torch.float64 for value in traced.tensors.values())
    return on_cpu and torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
