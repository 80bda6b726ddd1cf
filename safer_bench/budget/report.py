"""What a budget command leaves in its folder: tables as Parquet and CSV, a summary and a plot, named by the task's label."""

from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from safer_bench.budget.additivity import fits
from safer_bench.budget.plots import additivity_png, curves_png
from safer_bench.budget.spend import Outcome
from safer_bench.budget.summary import additivity_markdown, markdown, panels
from safer_bench.budget.tasks import ADDITIVITY, Task
from safer_bench.tables import files


def write_outcome(out: Path, task: Task, outcome: Outcome) -> Path:
    """Write the results and allocations of one task under one perturbation; all other files stay as they are.

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
    _write_table(out, f"budget_results-{label}", outcome.results)
    _write_table(out, f"budget_allocations-{label}", outcome.allocations)
    files.write_bytes(out / f"budget-{label}.png", curves_png(panels(outcome.results, task), task))
    return _write_summary(out, label, markdown(outcome.results, task, outcome.notes))


def write_additivity(out: Path, table: pa.Table) -> Path:
    """Write ``budget_additivity``, its summary and its plot; return the summary's path.

    Raises:
        BadInput: the folder cannot be written to.
    """
    _write_table(out, "budget_additivity", table)
    files.write_bytes(out / f"budget-{ADDITIVITY}.png", additivity_png(table))
    return _write_summary(out, ADDITIVITY, additivity_markdown(fits(table)))


def _write_summary(out: Path, label: str, text: str) -> Path:
    path = out / f"budget-{label}.md"
    files.write_text(path, text)
    return path


def _write_table(out: Path, name: str, table: pa.Table) -> None:
    files.make_folder(out)
    files.write_bytes(out / f"{name}.parquet", files.parquet_bytes(table))
    buffer = BytesIO()
    pyarrow.csv.write_csv(table, buffer)
    files.write_bytes(out / f"{name}.csv", buffer.getvalue())
