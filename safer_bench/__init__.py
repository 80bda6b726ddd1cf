"""safer-bench: which layers of a trained network are fragile, and which criterion can tell without measuring?

The public API in one screen; everything is imported when first used. Reading, checking and evaluating needs no torch.

Light: never imports torch.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Network": "networks.network",
    "apply_plan": "budget.plans.apply",
    "criterion": "criteria.criterion",
    "evaluate": "evaluation.evaluate",
    "list_entries": "catalogue",
    "load_network": "networks.loading",
    "load_tree": "dataset.tree",
    "load_truth": "dataset.tree",
    "measure": "measurement.measure",
    "network": "networks.zoo_network",
    "perturbation": "perturbations.perturbation",
    "score": "scoring.score",
}
_MODULES = ("metrics",)

__all__ = [*_HOMES, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from safer_bench.errors import needs_torch

    with needs_torch():
        module = import_module(f"{__name__}.{_HOMES[name]}")
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
