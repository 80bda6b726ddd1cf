"""Results of budgets, of one run or of several, as one table."""

from pathlib import Path

import pyarrow as pa

from safer_bench.errors import BadInput, text_of
from safer_bench.tables import files, schema
from safer_bench.tables.together import PENDING, settle
from safer_bench.tables.verdicts import with_verdicts

KEY = ["task", "perturbation", "level", "network", "criterion", "track", "budget"]
FILES = "budget_results-*.parquet"


def read_budgets(folder: Path, revision: str) -> pa.Table:
    """Return the results of budget tasks that a folder and those below it hold, as one table.

    Verdicts are told anew: their intervals hold for all gains of a task at once, now of all runs.

    Args:
        folder: what ``safer-bench budget`` wrote; or a folder of such folders, where networks had runs of their own.
        revision: of the truth that they must have been measured against.

    Raises:
        BadInput: there are none, one is not of the schema or of another truth, or two hold the same.
    """
    for pending in folder.rglob(PENDING):
        settle(pending.parent)
    paths = sorted(folder.rglob(FILES))
    if not paths:
        raise BadInput(f"{folder}: no {FILES}; `safer-bench budget --task TASK --out {folder}` writes one")
    budgets = schema.in_order(pa.concat_tables([_read(path, revision) for path in paths]))
    if budgets.group_by(KEY).aggregate([]).num_rows < budgets.num_rows:
        names = ", ".join(str(path.relative_to(folder)) for path in paths)
        raise BadInput(f"{folder}: two of its files hold the same budgets; remove the older one of {names}")
    return with_verdicts(budgets)


def _read(path: Path, revision: str) -> pa.Table:
    try:
        table = files.read_parquet(path)
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{path}: cannot be read ({text_of(error)})") from error
    schema.check_schema(table, "budget_results", str(path))
    others = set(table["truth_revision"].to_pylist()) - {revision}
    if others:
        raise BadInput(f"{path}: of truth {min(map(str, others))}, not {revision}; repeat the budget command that wrote it")
    return table
