"""What a budget command leaves in its folder: tables as Parquet and CSV, a summary and a plot, named by the task's label."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from safer_bench.budget.additivity import fits
from safer_bench.budget.plots import additivity_png, curves_png
from safer_bench.budget.spend import Outcome
from safer_bench.budget.summary import additivity_markdown, markdown, panels
from safer_bench.budget.tasks import ADDITIVITY, Task
from safer_bench.errors import BadInput
from safer_bench.tables import files
from safer_bench.tables.together import write_together


def check_networks_stay(out: Path, task: Task, perturbation: str, networks: Sequence[str]) -> None:
    """Refuse a run that would replace the results of networks that it does not measure.

    Args:
        out: the run's folder.
        task, perturbation: of the run.
        networks: that it measures.

    Raises:
        BadInput: the folder's file of this task holds further networks.
    """
    path = out / f"budget_results-{task.label(perturbation)}.parquet"
    if not path.is_file():
        return
    try:
        held = set(files.read_parquet(path)["network"].to_pylist())
    except (pa.ArrowException, OSError, KeyError):
        return  # nothing that can be read is lost
    if further := sorted(held - set(networks)):
        raise BadInput(
            f"{path} holds {', '.join(further)}, which this run would remove: name {'them' if further[1:] else 'it'} by "
            f"--network too, or give each run a folder of its own, such as --out {out / networks[0]}"
        )


def write_outcome(out: Path, task: Task, outcome: Outcome) -> Path:
    """Write the results and allocations of one task under one perturbation, all or none; all other files stay as they are.

    Args:
        out: folder, created where it is not there.
        task: which.
        outcome: of ``spend``.

    Returns:
        The summary's path.

    Raises:
        BadInput: the folder cannot be written to.
    """
    label = task.label(outcome.results["perturbation"][0].as_py())
    made = _of_table(f"budget_results-{label}", outcome.results)
    made |= _of_table(f"budget_allocations-{label}", outcome.allocations)
    made[f"budget-{label}.png"] = curves_png(panels(outcome.results, task), task)
    made[f"budget-{label}.md"] = markdown(outcome.results, task, outcome.notes).encode()
    write_together(out, made)
    return out / f"budget-{label}.md"


def write_additivity(out: Path, table: pa.Table) -> Path:
    """Write ``budget_additivity``, its summary and its plot; return the summary's path.

    Raises:
        BadInput: the folder cannot be written to.
    """
    made = _of_table("budget_additivity", table)
    made[f"budget-{ADDITIVITY}.png"] = additivity_png(table)
    made[f"budget-{ADDITIVITY}.md"] = additivity_markdown(fits(table)).encode()
    write_together(out, made)
    return out / f"budget-{ADDITIVITY}.md"


def _of_table(name: str, table: pa.Table) -> dict[str, bytes]:
    """Return a table as Parquet and CSV, by name of file."""
    buffer = BytesIO()
    pyarrow.csv.write_csv(table, buffer)
    return {f"{name}.parquet": files.parquet_bytes(table), f"{name}.csv": buffer.getvalue()}
