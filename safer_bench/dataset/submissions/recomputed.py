"""Which scores the maintainer computed again from their code: the record with those scores; reads no code."""

from hashlib import sha256
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from safer_bench.dataset.submissions.code import files_of
from safer_bench.dataset.submissions.plain_files import BASE_BYTES, MOST_ROWS, READING, ROW_BYTES, BadSubmission, check_file
from safer_bench.dataset.submissions.submission import Submission
from safer_bench.errors import BadInput, text_of
from safer_bench.tables import files, schema
from safer_bench.tables.score_table import PLACE
from safer_bench.tables.strict_json import read_json
from safer_bench.tables.text import visible
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
        raise BadInput(f"{path}: is not a record of recomputed scores ({sentence_of(error)}); {mend}") from error


def forget(folder: Path) -> bool:
    """Take a folder out of the record, as its code does not give its scores; return whether it was there.

    Raises:
        BadInput: the record cannot be read or written.
    """
    path = folder.resolve().parent / RECORD
    known = _read(path)
    former = known.pop(folder.resolve().name, None)
    if former is None:
        return False
    files.write_text(path, Record(known).model_dump_json(indent=1) + "\n")
    if isinstance(former, Recomputed):
        _table_path(folder, former).unlink(missing_ok=True)
    return True


def recomputed_scores(folder: Path, submission: Submission) -> pa.Table | None:
    """Return what came out of a submission's code, of schema ``scores``; None where that is not known of it as it is now.

    Raises:
        BadInput: the record cannot be read.
        BadSubmission: the file of scores cannot be read, or is not what was written for this submission.
    """
    known = _read(folder.resolve().parent / RECORD).get(folder.resolve().name)
    if not isinstance(known, Recomputed) or known.submission != submission_digest(folder, submission):
        return None
    path, mend = _table_path(folder, known), f"`safer-bench check {folder} --recompute` writes"
    try:
        check_file(path, BASE_BYTES + ROW_BYTES * MOST_ROWS)
        data = path.read_bytes()
    except (BadSubmission, OSError) as error:
        raise BadSubmission(f"{path}: cannot be read ({text_of(error.__cause__ or error)}); {mend} it") from error
    if files.sha256_of(data) != known.scores:
        raise BadSubmission(f"{path}: not the scores that {RECORD} names; {mend} both")
    try:
        table = files.read_parquet(data)
        schema.check_schema(table, "scores", str(path))
    except (BadInput, *READING) as error:
        raise BadSubmission(f"{path}: cannot be read ({visible(text_of(error))}); {mend} it") from error
    if not _is_of(table, submission.scores):
        raise BadSubmission(f"{path}: not one finite score for each that {folder} submits; {mend} both")
    return table


def _is_of(again: pa.Table, submitted: pa.Table) -> bool:
    """Tell whether a table has a score of each thing that a submission's criteria score, and of no other."""
    if again["score"].null_count or not pc.all(pc.is_finite(again["score"]), min_count=0).as_py():
        return False
    own = submitted.filter(pc.is_in(submitted["criterion"], again["criterion"].unique()))
    return bool(schema.in_order(again).select(PLACE).equals(schema.in_order(own.cast(again.schema)).select(PLACE)))
