"""Scores by the code that a submission brings, from a process of its own that is asked once and never trusted."""

import json
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from safer_bench.dataset.submissions.code import code_of
from safer_bench.dataset.submissions.sandbox import Limits, Stopped, closed_files, readable_folders, run_apart
from safer_bench.dataset.submissions.submission import SubmissionCard
from safer_bench.errors import BadInput
from safer_bench.networks.network import Network
from safer_bench.scoring import child
from safer_bench.scoring.apart import hand_over
from safer_bench.scoring.same import Key, Scores
from safer_bench.scoring.sweep import Levels

SHOWN = 1_000  # letters of what a submission's code says


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class _Scored(_Strict):
    network: str
    criterion: str
    rows: list[tuple[str | None, float | None, str, float, Annotated[float, Field(ge=0)] | None]]


class _Refused(_Strict):
    refused: str


class _Unprotected(_Strict):
    unprotected: str


_ANSWER: TypeAdapter[_Scored | _Refused | _Unprotected] = TypeAdapter(_Scored | _Refused | _Unprotected)


class Unprotected(BadInput):
    """The system cannot keep submitted code from files and network."""


@dataclass(frozen=True, slots=True)
class Guard:
    """How submitted code is kept apart.

    Attributes:
        hidden: trees of truth, which it must not read.
        limits: what it may use.
        unprotected: run it also where the system cannot take files and network from it.
    """

    hidden: tuple[Path, ...] = ()
    limits: Limits = field(default_factory=Limits)
    unprotected: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """One criterion on one network.

    Attributes:
        network: scored.
        criterion: its name on the card.
        levels: the perturbations that it is asked about, with their levels.
        keys: what it scores: perturbation and level, where it sees them, and layer.
    """

    network: Network
    criterion: str
    levels: Levels
    keys: frozenset[Key]


def scores_by_code(folder: Path, card: SubmissionCard, tasks: Sequence[Task], guard: Guard) -> Generator[Scores, None, None]:
    """Yield the scores of each task, by a submission's code.

    That code sees a copy of its own files, models and calibration examples; no scores, no truth.

    Args:
        folder: of the submission.
        card: its card.
        tasks: of criteria that come with code.
        guard: how it is kept apart.

    Raises:
        BadInput: the code failed, ended or stalled, or answered something else than scores.
        Unprotected: the system cannot keep it apart.
    """
    if not tasks:
        return
    with TemporaryDirectory(prefix="safer-bench-", ignore_cleanup_errors=True) as private:
        job, scratch = _job(folder, card, tasks, guard, Path(private).resolve())
        most_bytes = 10_000 + sum(len(json.dumps(key)) + 100 for task in tasks for key in task.keys)
        lines = run_apart(Path(child.__file__).resolve(), job, scratch, guard.limits, most_bytes)
        with closing(lines):
            for task in tasks:
                where = f"{folder}: criterion {task.criterion!r} on network {task.network.name!r}"
                try:
                    line = next(lines)
                except Stopped as error:
                    raise BadInput(f"{where}: {error}") from error
                yield _scores(_answer(line, folder, where), task, where)


def _job(
    folder: Path, card: SubmissionCard, tasks: Sequence[Task], guard: Guard, private: Path
) -> tuple[dict[str, Any], Path]:
    """Write what the process is given into a private folder; return what it is told and the folder it may write to."""
    code, scratch, networks = private / "code", private / "scratch", private / "networks"
    scratch.mkdir()
    for path in code_of(folder, card):
        (code / path).parent.mkdir(parents=True, exist_ok=True)
        copyfile(folder / path, code / path, follow_symlinks=False)
    hand_over(list({task.network.name: task.network for task in tasks}.values()), networks)
    own = [item for item in card.criteria if item.code]
    job = {
        "networks": str(networks),
        "code": str(code),
        "criteria": {item.name: item.code for item in own},
        "tracks": {item.name: item.track for item in own},
        "sets": card.calibration_sets,
        "tasks": [(task.network.name, task.criterion, list(map(_spec, task.levels))) for task in tasks],
        "readable": readable_folders(code, networks),
        "hidden": closed_files(*guard.hidden),
        "unprotected": guard.unprotected,
    }
    return job, scratch


def _spec(levels: tuple[Any, tuple[float, ...]]) -> str:
    return f"{levels[0].name}:{','.join(map(repr, levels[1]))}"


def _answer(line: bytes, folder: Path, where: str) -> _Scored:
    try:
        answer = _ANSWER.validate_json(line)
    except ValidationError as error:
        raise BadInput(f"{where}: its process wrote {_plain(repr(line[:80]))} where scores were expected") from error
    if isinstance(answer, _Refused):
        raise BadInput(f"{folder}: {_plain(answer.refused)}")
    if isinstance(answer, _Unprotected):
        raise Unprotected(
            f"this system cannot keep the code of submissions from files and network ({_plain(answer.unprotected)}): "
            "it needs Linux with Landlock and user namespaces"
        )
    return answer


def _scores(answer: _Scored, task: Task, where: str) -> Scores:
    """Return scores by what they are of, where they are those asked for."""
    scores = {row[:3]: (row[3], row[4]) for row in answer.rows}
    asked = (task.network.name, task.criterion, len(task.keys), task.keys)
    if (answer.network, answer.criterion, len(answer.rows), scores.keys()) != asked:
        raise BadInput(f"{where}: its process gave other scores than those asked for")
    return scores


def _plain(text: str) -> str:
    """Return a text of the submission's without what moves a terminal's cursor, cut."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:SHOWN])
