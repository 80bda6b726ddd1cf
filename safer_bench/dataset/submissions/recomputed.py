"""Which scores the maintainer computed again from their code: the record, and the mark on the board; reads no code."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from safer_bench.dataset.submissions.submission import Submission
from safer_bench.errors import BadInput, text_of
from safer_bench.tables import files, schema

RECORD = "recomputed.json"  # beside the folders of submissions: {folder: {criterion: digest of its scores}}
RECOMPUTED, REPORTED = "recomputed", "reported"
_COLUMNS = ("track", "network", "layer", "perturbation", "level", "score")


def scores_digest(scores: pa.Table, criterion: str) -> str:
    """Return the SHA-256 of a criterion's rows of a ``scores`` table, in canonical order."""
    own = schema.in_order(scores.filter(pc.field("criterion") == criterion)).select(_COLUMNS)
    return files.sha256_of(json.dumps(own.to_pydict()).encode())


def record(folder: Path, scores: pa.Table, criteria: Sequence[str]) -> Path:
    """Note that the scores of some criteria of a submission follow from their code; return the path of the record.

    Raises:
        BadInput: the record cannot be read or written.
    """
    path = folder.resolve().parent / RECORD
    known = _read(path)
    mine = known.get(folder.resolve().name, {}) | {name: scores_digest(scores, name) for name in criteria}
    text = json.dumps(known | {folder.resolve().name: mine}, indent=1, sort_keys=True)
    files.write_text(path, text + "\n")
    return path


def _read(path: Path) -> dict[str, dict[str, str]]:
    if not path.is_file():
        return {}
    try:
        return {str(name): dict(found) for name, found in json.loads(path.read_text()).items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise BadInput(f"{path}: no record of recomputed scores ({text_of(error)}); delete it and recompute") from error


def marks_of(truth: Mapping[str, pa.Table], submissions: Mapping[Path, Submission]) -> dict[str, str]:
    """Return for each criterion whether its scores were computed by the maintainer or are what its author reports.

    Those of the tree are the maintainer's own, also where a submission repeats them; what a submission adds to them is the
    maintainer's while the record holds its digest. One part that is reported makes all of a criterion so.

    Raises:
        BadInput: a record that cannot be read.
    """
    own = truth["scores"] if "scores" in truth else schema.build("scores", [])
    found = dict.fromkeys(own["criterion"].unique().to_pylist(), RECOMPUTED)
    for folder, submission in submissions.items():
        known = _read(folder.resolve().parent / RECORD).get(folder.resolve().name, {})
        for item in submission.card.criteria:
            same = known.get(item.name) == scores_digest(submission.scores, item.name)
            if not same and _cells(submission.scores, item.name) - _cells(own, item.name):
                found[item.name] = REPORTED
            found.setdefault(item.name, RECOMPUTED)
    return found


def _cells(scores: pa.Table, criterion: str) -> set[tuple[object, ...]]:
    """Return what a criterion scores in a table."""
    own = scores.filter(pc.field("criterion") == criterion).select(["track", "network", "perturbation", "level"])
    return {tuple(row.values()) for row in own.group_by(own.column_names).aggregate([]).to_pylist()}
