"""A plan put into a model: the weights that were measured, bit for bit."""

import copy
from pathlib import Path

import numpy as np
import torch
from torch import nn

from safer_bench.budget.plans.plan import Plan, read_plan
from safer_bench.errors import BadInput
from safer_bench.networks.digest import state_sha256
from safer_bench.networks.folding import fold_norm
from safer_bench.perturbations.loading import perturbations
from safer_bench.perturbations.perturbation import LayerFacts
from safer_bench.registry import look_up
from safer_bench.stream import Stream


def apply_plan(model: nn.Module, plan: Plan | str | Path) -> nn.Module:
    """Return a copy of a model with the weights of a plan: quantized (and decoded again) or pruned.

    Of task ``protect`` the weights stay as they are; each layer's weight then has the attribute ``protected``, a bool.

    Args:
        model: the one that was planned for; it is not changed. Where the plan is of a folded network, it is folded first, if
            it is not yet.
        plan: the path of a plan.json, or what ``read_plan`` returns.

    Raises:
        BadInput: there is no plan, it is damaged, or the model is none or has other weights than the plan's.
    """
    if not isinstance(model, nn.Module):
        raise BadInput(f"a {type(model).__name__}; expected a torch module, such as the .model of a Network")
    if not isinstance(plan, Plan | str | Path):
        raise BadInput(f"a plan of type {type(plan).__name__}; expected the path of a plan.json, or what read_plan returns")
    plan = plan if isinstance(plan, Plan) else read_plan(Path(plan))
    changed = _as_planned(model, plan)
    parameters = dict(changed.named_parameters())
    for layer in plan.layers:
        parameter = parameters.get(layer.parameter)
        if parameter is None or list(parameter.shape) != layer.shape:
            raise BadInput(f"the model has no {layer.parameter!r} of shape {layer.shape}, which the plan names; plan again")
        if plan.task == "protect":
            parameter.protected = bool(layer.amount)  # type: ignore[attr-defined]
        elif not (plan.task == "prune" and layer.amount == 0.0):
            facts = LayerFacts(layer.kind, layer.output_axis, layer.fan_in)
            weight = _perturbed(parameter.detach().cpu().numpy(), plan.perturbation, layer.amount, facts)
            with torch.no_grad():
                parameter.copy_(torch.from_numpy(weight))
    return changed


def _as_planned(model: nn.Module, plan: Plan) -> nn.Module:
    """Return a copy of a model with the weights that were planned for: folded, where the plan is of a folded network."""
    other = next((name for name, each in model.named_parameters() if each.dtype != torch.float32), None)
    if other is not None:
        raise BadInput(f"parameter {other} is {model.get_parameter(other).dtype}; plans are of float32: give model.float()")
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        raise BadInput(f"a {type(model).__name__}; expected the module within: its .module")
    changed = copy.deepcopy(model)
    found = state_sha256(model.state_dict())
    if plan.folded and found != plan.weights_sha256:
        for norm, layer in plan.folded.items():
            fold_norm(changed, norm, layer)
        found = state_sha256(changed.state_dict())
    if found != plan.weights_sha256:
        raise BadInput(
            f"the model's weights ({found[:16]}) are not those of the plan ({plan.weights_sha256[:16]}); plan for this model"
        )
    return changed


def _perturbed(weight: np.ndarray, perturbation: str, level: float, facts: LayerFacts) -> np.ndarray:
    entry = look_up(perturbations(), perturbation, "perturbation")
    needs = {"layer": facts} if "layer" in entry.needs else {}
    return entry.apply(weight.astype(np.float32), level, Stream("plan"), **needs).weight
