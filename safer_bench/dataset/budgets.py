"""Results of budgets, of one run or of several, as one table."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from safer_bench.errors import BadInput, text_of
from safer_bench.tables import files, schema
from safer_bench.tables.together import PENDING, settle
from safer_bench.tables.verdicts import with_verdicts

KEY = ["task", "perturbation", "level", "network", "criterion", "track", "budget"]
FILES = "budget_results-*.parquet"


def read_budgets(folder: Path, revisions: Mapping[str, str] | None = None) -> pa.Table:
    """Return the results of budget tasks that a folder and those below it hold, as one table.

    Verdicts are told anew: their intervals hold for all gains of a task at once, now of all runs.

    Args:
        folder: what ``safer-bench budget`` wrote; or a folder of such folders, where networks had runs of their own.
        revisions: by network, of the truth that it must have been judged by, as ``network_revisions`` returns them; without
            them any truth will do.

    Raises:
        BadInput: there are none, one is not of the schema, two hold the same, or a network is not in the truth or
            was judged by another one.
    """
    for pending in folder.rglob(PENDING):
        settle(pending.parent)
    paths = sorted(folder.rglob(FILES))
    if not paths:
        raise BadInput(f"{folder}: no {FILES}; `safer-bench budget --task TASK --out {folder}` writes one")
    budgets = schema.in_order(pa.concat_tables([_read(path, revisions) for path in paths]))
    if budgets.group_by(KEY).aggregate([]).num_rows < budgets.num_rows:
        names = ", ".join(str(path.relative_to(folder)) for path in paths)
        raise BadInput(f"{folder}: two of its files hold the same budgets; remove the older one of {names}")
    return with_verdicts(budgets)


def _read(path: Path, revisions: Mapping[str, str] | None) -> pa.Table:
    try:
        table = files.read_parquet(path)
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{path}: cannot be read ({text_of(error)})") from error
    schema.check_schema(table, "budget_results", str(path))
    if revisions is None:
        return table
    judged = table.group_by(["network", "truth_revision"]).aggregate([]).to_pylist()
    for network, revision in sorted((row["network"], str(row["truth_revision"])) for row in judged):
        if network not in revisions:
            raise BadInput(f"{path}: network {network!r} is not in the truth; remove the file, or name a truth that has it")
        if revision != revisions[network]:
            raise BadInput(f"{path}: network {network!r} was judged by truth {revision}, not {revisions[network]}; repeat "
                           "the budget command that wrote it")  # fmt: skip
    return table
