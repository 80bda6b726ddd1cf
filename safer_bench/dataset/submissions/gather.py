"""A tree's own scores and submissions -> one table of scores, one of costs, who computed which; and results of budgets."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.dataset.submissions.recomputed import marks_of
from safer_bench.dataset.submissions.submission import Submission, read_submission
from safer_bench.errors import BadInput, text_of
from safer_bench.tables import files, schema, score_table
from safer_bench.tables.together import settle

CHECKED_BY = ("layers", "perturbations", "networks", "scores")
OF_A_SUBMISSION = ("submission.yaml", "scores.parquet", "scores.csv")
BUDGET_KEY = ["task", "perturbation", "level", "network", "criterion", "track", "budget"]


@dataclass(frozen=True, slots=True)
class Gathered:
    """What there is to evaluate.

    Attributes:
        scores: of schema ``scores``.
        costs: of schema ``costs``.
        marks: ``{criterion: "recomputed" or "reported"}``.
    """

    scores: pa.Table
    costs: pa.Table
    marks: dict[str, str]


def submission_folders(root: Path) -> list[Path]:
    """Return the submissions below ``root``, sorted: every folder that holds a card or scores, or ``root`` itself.

    One that lacks the other is among them, so that it is refused and not passed over.

    Raises:
        BadInput: there is no such folder.
    """
    if not root.is_dir():
        raise BadInput(f"{root}: no such folder; expected submissions/ or submissions/NAME")
    folders = (root, *sorted(path for path in root.iterdir() if path.is_dir()))
    submissions = [folder for folder in folders if any((folder / name).is_file() for name in OF_A_SUBMISSION)]
    return [root] if root in submissions else submissions


def gather(truth: Mapping[str, pa.Table], folders: Sequence[Path]) -> Gathered:
    """Return the scores of a tree's own criteria and of submissions, ready to evaluate.

    A criterion may be in both, where its scores agree to a thousandth (the last digits are the machine's).

    Raises:
        BadInput: two submissions give one criterion different scores.
        BadSubmission: a submission that ``check`` refuses.
    """
    read = {name: truth[name] for name in CHECKED_BY if name in truth}  # once, not for each submission
    submissions = {folder: read_submission(folder, read) for folder in folders}
    sources = [(score_table.OWN, read["scores"])] if "scores" in read else []
    sources += [(str(folder), found.scores) for folder, found in submissions.items()]
    return Gathered(_scores(sources), _costs(truth, list(submissions.values())), marks_of(truth, submissions))


def _scores(sources: Sequence[tuple[str, pa.Table]]) -> pa.Table:
    n_sources = Counter(name for _, table in sources for name in set(table["criterion"].unique().to_pylist()))
    repeated = pa.array([name for name, count in n_sources.items() if count > 1], pa.string())
    once = [table.filter(pc.invert(pc.is_in(table["criterion"], repeated))) for _, table in sources]
    again = [(where, table.filter(pc.is_in(table["criterion"], repeated)).to_pylist()) for where, table in sources]
    return schema.in_order(pa.concat_tables([schema.build("scores", score_table.agreed(again)), *once]))


def _costs(truth: Mapping[str, pa.Table], submissions: Sequence[Submission]) -> pa.Table:
    """Return what scores cost: the tree's own figures first, and of submissions those of the criteria on their cards."""
    rows = truth["costs"].to_pylist() if "costs" in truth else []
    for submission in submissions:
        names = {item.name for item in submission.card.criteria}
        rows += [
            row
            for row in (submission.costs.to_pylist() if submission.costs is not None else [])
            if row["criterion"] in names
        ]
    first: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        first.setdefault((row["criterion"], row["network"]), row)
    return schema.build("costs", list(first.values()))


def read_budgets(folder: Path, revision: str) -> pa.Table:
    """Return the results of budget tasks that a folder holds, as one table.

    Args:
        folder: what ``safer-bench budget`` wrote.
        revision: of the truth that they must have been measured against.

    Raises:
        BadInput: there are none, one is not of the schema or of another truth, or two hold the same.
    """
    settle(folder)
    tables = []
    for path in sorted(folder.glob("budget_results-*.parquet")):
        try:
            tables.append(files.read_parquet(path))
        except (pa.ArrowException, OSError) as error:
            raise BadInput(f"{path}: cannot be read ({text_of(error)})") from error
        schema.check_schema(tables[-1], "budget_results", str(path))
        others = set(tables[-1]["truth_revision"].to_pylist()) - {revision}
        if others:
            raise BadInput(
                f"{path}: of truth {min(map(str, others))}, not {revision}; repeat the budget command that wrote it"
            )
    if not tables:
        raise BadInput(f"{folder}: no budget_results-*.parquet; `safer-bench budget --task TASK --out {folder}` writes one")
    budgets = schema.in_order(pa.concat_tables(tables))
    if budgets.group_by(BUDGET_KEY).aggregate([]).num_rows < budgets.num_rows:
        names = ", ".join(sorted(path.name for path in folder.glob("budget_results-*.parquet")))
        raise BadInput(f"{folder}: two of its files hold the same budgets; remove the older one of {names}")
    return budgets
