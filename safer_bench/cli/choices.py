"""What options choose from, for help, completion and errors; tests hold each to what there is."""

from typing import Literal

EntryKind = Literal["networks", "perturbations", "criteria", "metrics"]
BudgetTask = Literal["prune", "quantize", "protect", "additivity"]
PlanTask = Literal["quantize", "prune", "protect"]
Split = Literal["validation", "test"]
ExecutorName = Literal["process", "ray"]
Tool = Literal["json", "llmcompressor", "modelopt", "nncf", "onnxruntime", "torchao"]


def metric_names() -> list[str]:
    """Return the names of all metrics, for completion: they take pyarrow, which the help can do without."""
    from safer_bench.tables.schema import METRIC_NAMES

    return list(METRIC_NAMES)


def entry_names() -> list[str]:
    """Return the names of all entries, for completion."""
    from typing import get_args

    from safer_bench.catalogue import list_entries

    return [name for kind in get_args(EntryKind) for name in list_entries(kind)]
