"""A tree's own scores and submissions -> one table of scores, one of costs, and who computed which."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.dataset.submissions.claims import added, cells_of, computed_again, different, misnamed, taken, unlike
from safer_bench.dataset.submissions.plain_files import BadSubmission, is_there
from safer_bench.dataset.submissions.recomputed import RECOMPUTED, REPORTED
from safer_bench.dataset.submissions.submission import Submission, read_submission
from safer_bench.errors import BadInput
from safer_bench.tables import schema, score_table

CHECKED_BY = ("layers", "perturbations", "networks", "scores")
OF_A_SUBMISSION = ("submission.yaml", "scores.parquet", "scores.csv")


@dataclass(frozen=True, slots=True)
class Gathered:
    """What there is to evaluate.

    Attributes:
        scores: of schema ``scores``.
        costs: of schema ``costs``.
        marks: ``{criterion: "recomputed" or "reported"}``.
        refused: what is wrong with each submission that was left out.
        submitted: the criteria of each submission that was not.
    """

    scores: pa.Table
    costs: pa.Table
    marks: dict[str, str]
    refused: dict[Path, str] = field(default_factory=dict)
    submitted: dict[Path, tuple[str, ...]] = field(default_factory=dict)

    @property
    def reported(self) -> frozenset[str]:
        """The criteria whose scores are what their authors report: shown, but not ranked."""
        return frozenset(name for name, mark in self.marks.items() if mark == REPORTED)


def submission_folders(root: Path) -> list[Path]:
    """Return ``root`` and the folders in it, sorted, that are submissions: those that hold a card or scores.

    One that lacks the other is among them, so that it is refused and not passed over; a stray file hides no folder.

    Raises:
        BadInput: there is no such folder, or it is a file.
    """
    if root.is_file():
        raise BadInput(f"{root}: a file; name its folder: {root.parent}")
    if not root.is_dir():
        raise BadInput(f"{root}: no such folder; expected submissions/ or submissions/NAME")
    folders = (root, *sorted(path for path in root.iterdir() if path.is_dir()))
    return [folder for folder in folders if any(is_there(folder / name) for name in OF_A_SUBMISSION)]


def read_all(truth: Mapping[str, pa.Table], folders: Sequence[Path]) -> tuple[dict[Path, Submission], dict[Path, str]]:
    """Read and check each submission by itself, then side by side; one that is bad stops no other.

    Side by side, a card's name is that of its folder, and a criterion's name stands for one criterion: where claims differ,
    it is the one's whose scores the maintainer computed again; else all are refused, as nobody can tell whose it is.

    Args:
        truth: what ``read_submission`` checks against.
        folders: of the submissions.

    Returns:
        The submissions that are in order, and what is wrong with the others.
    """
    read = {name: truth[name] for name in CHECKED_BY if name in truth}  # once, not for each submission
    found: dict[Path, Submission] = {}
    refused: dict[Path, str] = {}
    for folder in folders:
        try:
            found[folder] = read_submission(folder, read)
        except BadSubmission as error:
            refused[folder] = str(error)
    again, _ = computed_again(found)
    for told in (misnamed(found), taken(found, again), different(found, again)):
        refused = {**told, **refused}
    return _without(found, refused), refused


def gather(truth: Mapping[str, pa.Table], folders: Sequence[Path], *, strict: bool = True) -> Gathered:
    """Return the scores of a tree's own criteria and of submissions, ready to evaluate.

    A criterion may be in several, where its scores agree to a thousandth (the last digits are the machine's). Those that
    the maintainer computed, the tree's own and what came out of a submission's code, stand for all that repeat them, and
    nobody adds reported ones to them.

    Args:
        truth: a tree's tables.
        folders: of the submissions.
        strict: refuse them all where one is bad; else those in order are gathered, and ``refused`` has the others.

    Raises:
        BadSubmission: one that ``check`` refuses, alone or beside the others, and ``strict``.
    """
    read = {name: truth[name] for name in CHECKED_BY if name in truth}
    submissions, refused = read_all(read, folders)
    again, spoilt = computed_again(submissions)
    own = read["scores"] if "scores" in read else schema.build("scores", [])
    refused |= {**unlike(own, again), **spoilt}
    again = {folder: table for folder, table in again.items() if folder not in refused}
    cells = cells_of([own, *again.values()])
    refused |= added(_without(submissions, refused), again, cells)
    if strict and refused:
        raise BadSubmission(next(iter(refused.values())))
    submissions = _without(submissions, refused)
    names = {item.name for each in submissions.values() for item in each.card.criteria}
    marks = dict.fromkeys(cells, RECOMPUTED) | dict.fromkeys(sorted(names - cells.keys()), REPORTED)
    known = pa.array(list(cells), pa.string())
    rest = [each.scores.filter(pc.invert(pc.is_in(each.scores["criterion"], known))) for each in submissions.values()]
    sources = [(score_table.OWN, own), *zip(map(str, again), again.values(), strict=True)]
    sources += zip(map(str, submissions), rest, strict=True)
    submitted = {folder: tuple(item.name for item in each.card.criteria) for folder, each in submissions.items()}
    return Gathered(_scores(sources), _costs(truth, list(submissions.values())), marks, refused, submitted)


def _without(found: Mapping[Path, Submission], refused: Mapping[Path, str]) -> dict[Path, Submission]:
    return {folder: submission for folder, submission in found.items() if folder not in refused}


def _scores(sources: Sequence[tuple[str, pa.Table]]) -> pa.Table:
    n_sources = Counter(name for _, table in sources for name in set(table["criterion"].unique().to_pylist()))
    repeated = pa.array([name for name, count in n_sources.items() if count > 1], pa.string())
    once = [table.filter(pc.invert(pc.is_in(table["criterion"], repeated))) for _, table in sources]
    again = [(where, table.filter(pc.is_in(table["criterion"], repeated)).to_pylist()) for where, table in sources]
    agreed = schema.build("scores", score_table.agreed(again))
    return schema.in_order(pa.concat_tables([agreed, *(table.cast(agreed.schema) for table in once)]))


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
