"""safer-bench: which layers of a trained network are fragile, and which criterion can tell without measuring?

The public API in one screen; everything is imported when first used. Reading, checking and evaluating needs no torch.

Light: never imports torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors and type checkers, which do not run __getattr__
    from safer_bench import metrics as metrics
    from safer_bench.budget.plans.apply import apply_plan as apply_plan
    from safer_bench.catalogue import list_entries as list_entries
    from safer_bench.criteria.criterion import criterion as criterion
    from safer_bench.criteria.passes.layers import layer_weights as layer_weights
    from safer_bench.dataset.tree import load_tree as load_tree
    from safer_bench.dataset.tree import load_truth as load_truth
    from safer_bench.evaluation.evaluate import evaluate as evaluate
    from safer_bench.measurement.measure import measure as measure
    from safer_bench.networks.loading import load_network as load_network
    from safer_bench.networks.network import Network as Network
    from safer_bench.networks.zoo_network import network as network
    from safer_bench.perturbations.perturbation import perturbation as perturbation
    from safer_bench.scoring.score import score as score

__version__ = "0.1.0"

_HOMES = {
    "Network": "networks.network",
    "apply_plan": "budget.plans.apply",
    "criterion": "criteria.criterion",
    "evaluate": "evaluation.evaluate",
    "layer_weights": "criteria.passes.layers",
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


if not TYPE_CHECKING:  # a type checker that saw it would take any name for one of ours

    def __getattr__(name: str) -> object:
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
