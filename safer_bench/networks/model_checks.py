"""What is wrong with a model, found before it runs: what it is, its mode, and its weights."""

from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from safer_bench.errors import BadInput

# Where torch defines classes that hide or replace a model's own modules, what these are, and what to give instead.
KINDS = (
    ("torch.jit.", "a ScriptModule (torch.jit)", "the eager module that it was scripted or traced from"),
    ("torch.export.", "an exported program (torch.export)", "the eager module that it was exported from"),
    ("torch._dynamo.", "a compiled module (torch.compile)", "the eager module that was compiled: its ._orig_mod"),
    ("torch.ao.nn.quantized", "a quantized module (torch.ao)", "the float model that it was made from"),
    ("torch.ao.nn.intrinsic.quantized", "a quantized module (torch.ao)", "the float model that it was made from"),
    ("torch.ao.nn.sparse.quantized", "a quantized module (torch.ao)", "the float model that it was made from"),
    ("torch.nn.parallel.", "a wrapper for several processors", "the module within: its .module"),
    ("torch.distributed.", "a module spread over processes", "the whole module, as before it was wrapped"),
)
NORMS = nn.modules.batchnorm._NormBase  # batch and instance norms: they divide by the root of running_var


def checked_model(model: Any, name: str) -> nn.Module:
    """Return a model that can be measured: eager, in evaluation mode, with finite float32 weights on one device.

    Args:
        model: as the user gave it.
        name: of the network.

    Raises:
        BadInput: it is something else, with what is.
    """
    where = f"network {name!r}"
    if isinstance(model, torch.export.ExportedProgram):
        raise _of_kind(where, "the model", *KINDS[1][1:])
    if not isinstance(model, nn.Module):
        raise BadInput(f"{where}: the model is a {type(model).__name__}; expected a torch.nn.Module")
    for path, module in model.named_modules():
        for prefix, kind, instead in KINDS:
            if _is_of(module, prefix):
                raise _of_kind(where, path or "the model", kind, instead)
    _check_values_are_there(model, where)
    training = [path or "the model itself" for path, module in model.named_modules() if module.training]
    if training:
        raise BadInput(f"{where}: {training[0]} is in training mode; call model.eval() first")
    for path, parameter in model.named_parameters():
        _check_parameter(parameter, f"{where}: parameter {path}")
    _check_norms(model, where)
    _check_embeddings(model, where)
    check_one_device({path: tensor.device for path, tensor in _tensors(model)}, where)
    return model


def _is_of(module: nn.Module, prefix: str) -> bool:
    """Tell whether a module is of a class of torch's; sums that wait to be quantized still are floating point."""
    of_it = any(base.__module__.startswith(prefix) for base in type(module).__mro__)
    return of_it and not isinstance(module, torch.ao.nn.quantized.FloatFunctional)


def _of_kind(where: str, path: str, kind: str, instead: str) -> BadInput:
    return BadInput(f"{where}: {path} is {kind}; expected an eager module with weights of its own: give {instead}")


def _tensors(model: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [*model.named_parameters(), *model.named_buffers()]


def _check_values_are_there(model: nn.Module, where: str) -> None:
    for path, module in model.named_modules():
        if any(is_lazy(tensor) for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False))):
            raise BadInput(
                f"{where}: {path or 'the model'} ({type(module).__name__}) has no weights yet; run one batch first, such as "
                "model(images[:1]), then load or train its weights"
            )
    for path, tensor in _tensors(model):
        if tensor.is_meta:
            what = "parameter" if isinstance(tensor, nn.Parameter) else "buffer"
            raise BadInput(f"{where}: {what} {path} has no values (device meta); load weights first")


def _check_parameter(parameter: nn.Parameter, what: str) -> None:
    """Refuse a parameter that is no dense float32 tensor of numbers; a bias of -inf masks a class and is one."""
    if is_traceable_wrapper_subclass(parameter) or is_traceable_wrapper_subclass(parameter.data):
        raise BadInput(f"{what} is a {type(parameter.data).__name__}; expected a plain tensor: give the model as trained")
    if parameter.dtype != torch.float32:
        raise BadInput(f"{what} is {parameter.dtype}; expected float32: {_way_to_float32(parameter)}")
    if parameter.layout != torch.strided:
        raise BadInput(
            f"{what} is stored as {parameter.layout}; expected a dense tensor: nn.Parameter(parameter.detach().to_dense())"
        )
    values = parameter.detach()
    wrong = ~torch.isfinite(values) if values.ndim >= 2 else torch.isnan(values) | (values == torch.inf)
    if n_wrong := int(wrong.sum()):
        raise BadInput(
            f"{what} holds NaN or infinite values, {n_wrong} of {values.numel()}; expected finite ones (a bias of -inf, "
            "which masks a class, may stay): load the weights of a training that did not diverge"
        )


def _way_to_float32(parameter: nn.Parameter) -> str:
    if parameter.dtype == torch.float64:
        return "call model.float() first, which rounds each number"
    if parameter.is_floating_point():
        return "call model.float() first, which keeps each number as it is"
    if parameter.is_complex():
        return "write the model with real parameters, such as one of real and one of imaginary parts"
    return "keep what is no weight in a buffer: module.register_buffer(name, values)"


def _check_norms(model: nn.Module, where: str) -> None:
    for path, module in model.named_modules():
        for key in ("running_mean", "running_var"):
            values = getattr(module, key, None) if isinstance(module, NORMS) else None
            if values is None:
                continue
            wrong = ~torch.isfinite(values) | ((values < 0) if key == "running_var" else False)
            if n_wrong := int(wrong.sum()):
                expected = "finite ones" if key == "running_mean" else "finite ones, none negative"
                raise BadInput(
                    f"{where}: buffer {f'{path}.{key}'.lstrip('.')} holds {n_wrong} of {values.numel()} values that are no "
                    f"{'mean' if key == 'running_mean' else 'variance'}; expected {expected}: load them, or train again"
                )


def _check_embeddings(model: nn.Module, where: str) -> None:
    for path, module in model.named_modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.max_norm is not None:
            raise BadInput(
                f"{where}: {path} scales its weight's rows down to max_norm where it looks them up, so that the weight is "
                f"another after each pass; look up all of them once, then set {path}.max_norm = None"
            )


def check_one_device(devices: dict[str, torch.device], where: str) -> None:
    """Refuse a model that lies on several devices.

    Args:
        devices: by name of the parameter or buffer.
        where: the network, for the message.

    Raises:
        BadInput: it does.
    """
    first: dict[torch.device, str] = {}
    for path, device in devices.items():
        first.setdefault(device, path)
    if len(first) > 1:
        found = ", ".join(f"{path} on {device}" for device, path in first.items())
        raise BadInput(
            f"{where}: its model lies on several devices ({found}); expected one: model.to('{next(iter(first))}')"
        )


def not_finite(model: nn.Module) -> str:
    """Return the buffers that hold NaN or infinite values, for the message of answers that are no numbers."""
    found = [
        path
        for path, buffer in model.named_buffers()
        if buffer.is_floating_point() and buffer.layout == torch.strided and not bool(torch.isfinite(buffer).all())
    ]
    return f" (buffers with NaN or infinite values: {', '.join(found[:3])})" if found else ""
