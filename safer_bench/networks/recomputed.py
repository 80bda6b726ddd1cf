"""Weights that are computed from other parameters at every pass: there is none to perturb, and how to make one."""

from collections.abc import Iterator

from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from safer_bench.errors import BadInput

LAYER_MODULES = (nn.modules.conv._ConvNd, nn.Linear, nn.Embedding)
PRUNED = "torch.nn.utils.prune.remove"
REMOVE = {  # hook that computes a weight -> what makes it a parameter again
    WeightNorm: "torch.nn.utils.remove_weight_norm",
    SpectralNorm: "torch.nn.utils.remove_spectral_norm",
}


def refuse_recomputed(model: nn.Module) -> None:
    """Refuse a model with a weight of two dimensions or more that is no parameter of its own.

    Raises:
        BadInput: there is one; the message ends with code that makes all of them parameters.
    """
    found = [(path, name, advice) for path, module in model.named_modules() for name, advice in _recomputed(path, module)]
    if found:
        path, name, _ = found[0]
        more = f" ({len(found)} weights)" if len(found) > 1 else ""
        raise BadInput(
            f"layer {path or name!r}: its {name} is computed from other parameters at every pass{more}, as by weight_norm, "
            "spectral_norm or a pruning mask, or is a constant, so that there is none to perturb; make it a parameter "
            "first: " + "; ".join(dict.fromkeys(advice for _, _, advice in found))
        )


def _recomputed(path: str, module: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield the name of each weight of a module that is computed at every pass, with code that makes it a parameter."""
    itself = f"model.get_submodule({path!r})" if path else "model"
    if parametrize.is_parametrized(module):
        for name in module.parametrizations:  # type: ignore[union-attr]
            if getattr(module, name).ndim >= 2:
                yield name, f"torch.nn.utils.parametrize.remove_parametrizations({itself}, {name!r})"
        return
    for hook in module._forward_pre_hooks.values():
        name = getattr(hook, "name", getattr(hook, "_tensor_name", ""))
        remove = PRUNED if isinstance(hook, BasePruningMethod) else REMOVE.get(type(hook))
        if remove and getattr(module, name).ndim >= 2:
            yield name, f"{remove}({itself}, {name!r})"
    if isinstance(module, LAYER_MODULES) and _is_constant(module):
        yield (
            "weight",
            f"weight = {itself}.weight.detach().clone(); del {itself}.weight; {itself}.weight = torch.nn.Parameter(weight)",
        )


def _is_constant(module: nn.Module) -> bool:
    """Tell whether a module's weight is a buffer or a plain tensor that nothing computes."""
    held = module._buffers.get("weight") is not None or "weight" in vars(module)
    return held and not module._forward_pre_hooks
