"""Which scores the maintainer computed again from their code: the record with those scores, and the mark; reads no code."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from safer_bench.dataset.submissions.code import files_of
from safer_bench.dataset.submissions.submission import Submission
from safer_bench.errors import BadInput, text_of
from safer_bench.tables import files, schema
from safer_bench.tables.strict_json import read_json
from safer_bench.tables.validation import sentence_of

RECORD = "recomputed.json"  # beside the folders of submissions
TABLES = "recomputed"  # the folder beside it of what came out
RECOMPUTED, REPORTED = "recomputed", "reported"
MAX_BYTES = 10_000_000  # of the record
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Recomputed(BaseModel):
    """What the record says of one folder.

    Attributes:
        submission: digest of its card, its scores and its code as they were.
        scores: digest of the file of the scores that came out.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    submission: Digest
    scores: Digest


Known = Annotated[Recomputed | dict[str, Digest], Field(union_mode="left_to_right")]  # the latter of before: marks nothing


class Record(RootModel[dict[str, Known]]):
    """``recomputed.json``: what came out of each folder.

    Before, it held digests by criterion: they are read, but mark nothing, as no scores stand behind them.
    """


def submission_digest(folder: Path, submission: Submission) -> str:
    """Return the SHA-256 of what scores are computed again from and held against: card, scores and code."""
    digest = sha256()
    for path in files_of(folder, submission.card):
        if path.name != "costs.parquet":
            data = (folder / path).read_bytes()
            digest.update(f"{path.as_posix()}|{len(data)}|".encode() + data)
    return digest.hexdigest()


def record(folder: Path, submission: Submission, scores: pa.Table) -> Path:
    """Keep the scores that came out of a submission's code; return the path of the record.

    Args:
        folder: of the submission.
        submission: what was found there.
        scores: of schema ``scores``, of every criterion that was scored again, on all of its networks.

    Raises:
        BadInput: the record cannot be read or written.
    """
    path = folder.resolve().parent / RECORD
    known = _read(path)
    data = files.parquet_bytes(schema.in_order(scores))
    found = Recomputed(submission=submission_digest(folder, submission), scores=files.sha256_of(data))
    former = known.get(folder.resolve().name)
    files.write_bytes(_table_path(folder, found), data)  # under a name of its own: the record holds before and after
    new = Record(dict(sorted((known | {folder.resolve().name: found}).items())))
    files.write_text(path, new.model_dump_json(indent=1) + "\n")
    if isinstance(former, Recomputed) and former.scores != found.scores:
        _table_path(folder, former).unlink(missing_ok=True)
    return path


def _table_path(folder: Path, found: Recomputed) -> Path:
    return folder.resolve().parent / TABLES / f"{folder.resolve().name}-{found.scores[:16]}.parquet"


def _read(path: Path) -> dict[str, Recomputed | dict[str, Digest]]:
    mend = "delete it and recompute"
    try:
        return Record.model_validate(read_json(path, mend, MAX_BYTES)).root
    except FileNotFoundError:
        return {}
    except ValidationError as error:
        raise BadInput(f"{path}: no record of recomputed scores ({sentence_of(error)}); {mend}") from error


def recomputed_scores(folder: Path, submission: Submission) -> pa.Table | None:
    """Return what came out of a submission's code, of schema ``scores``; None where that is not known of it as it is now.

    Raises:
        BadInput: the record, or the file of scores, cannot be read or is not what was written.
    """
    known = _read(folder.resolve().parent / RECORD).get(folder.resolve().name)
    if not isinstance(known, Recomputed) or known.submission != submission_digest(folder, submission):
        return None
    path = _table_path(folder, known)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(
            f"{path}: cannot be read ({text_of(error)}); `safer-bench check {folder} --recompute` writes it"
        ) from error
    if files.sha256_of(data) != known.scores:
        raise BadInput(f"{path}: not the scores that {RECORD} names; `safer-bench check {folder} --recompute` writes both")
    table = files.read_parquet(data)
    schema.check_schema(table, "scores", str(path))
    return table


def by_maintainer(folder: Path, submission: Submission) -> pa.Table:
    """Return a submission's ``scores``, those that came out of its code in place of the submitted ones.

    Raises:
        BadInput: as in ``recomputed_scores``.
    """
    again = recomputed_scores(folder, submission)
    if again is None:
        return submission.scores
    rest = submission.scores.filter(pc.invert(pc.is_in(submission.scores["criterion"], again["criterion"].unique())))
    return schema.in_order(pa.concat_tables([again, rest.cast(again.schema)]))


def marks_of(truth: Mapping[str, pa.Table], submissions: Mapping[Path, Submission]) -> dict[str, str]:
    """Return for each criterion whether its scores were computed by the maintainer or are what its author reports.

    Those of the tree are the maintainer's own, also where a submission repeats them; what a submission adds to them is the
    maintainer's where the record holds what came out of its code. One part that is reported makes all of a criterion so.

    Raises:
        BadInput: a record that cannot be read.
    """
    own = truth["scores"] if "scores" in truth else schema.build("scores", [])
    marks = dict.fromkeys(own["criterion"].unique().to_pylist(), RECOMPUTED)
    for folder, submission in submissions.items():
        found = recomputed_scores(folder, submission)
        again = set() if found is None else set(found["criterion"].unique().to_pylist())
        for item in submission.card.criteria:
            if item.name not in again and _cells(submission.scores, item.name) - _cells(own, item.name):
                marks[item.name] = REPORTED
            marks.setdefault(item.name, RECOMPUTED)
    return marks


def _cells(scores: pa.Table, criterion: str) -> set[tuple[object, ...]]:
    """Return what a criterion scores in a table."""
    own = scores.filter(pc.field("criterion") == criterion).select(["track", "network", "perturbation", "level"])
    return {tuple(row.values()) for row in own.group_by(own.column_names).aggregate([]).to_pylist()}
