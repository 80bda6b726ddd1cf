"""A submission's criteria once more, by its code or by ours: what comes out, where that is what was submitted."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa

from safer_bench.criteria.loading import criteria
from safer_bench.dataset.submissions.submission import Submission
from safer_bench.errors import BadInput
from safer_bench.measurement.progress import OnProgress
from safer_bench.networks.network import Network
from safer_bench.scoring.by_code import Guard, Task, scores_by_code
from safer_bench.scoring.same import Key, Scores, check_same
from safer_bench.scoring.sets import calibration_sweeps, over_sets
from safer_bench.scoring.sweep import Levels, Sweep
from safer_bench.tables import schema


def recompute(
    folder: Path,
    submission: Submission,
    networks: Sequence[Network],
    levels: Levels,
    report: OnProgress = lambda *_: None,
    guard: Guard = Guard(),  # noqa: B008 (frozen)
) -> pa.Table:
    """Score again what can be: criteria that come with code, in a process of its own, and built-in ones.

    Args:
        folder: of the submission.
        submission: what ``read_submission`` found there.
        networks: networks to score; those that a criterion did not score are left out.
        levels: the perturbations and levels of the truth.
        report: called with (step, done, total).
        guard: how the code is kept apart.

    Returns:
        What came out, of schema ``scores``: of every criterion that can be scored again, all as submitted.

    Raises:
        BadInput: nothing can be scored again, a criterion failed, ended or stalled its process, has another track than the
            card says, or gives other scores.
        Unprotected: the system cannot keep the code apart.
    """
    tasks, n_own = _tasks(folder, submission, networks, levels)
    submitted = _by_task(submission.scores)
    rows = []
    with (
        closing(_by_ourselves(tasks[:n_own], submission.card.calibration_sets)) as ours,
        closing(scores_by_code(folder, submission.card, tasks[n_own:], guard)) as theirs,
    ):
        for done, task in enumerate(tasks):
            report(f"scoring {task.network.name} {task.criterion}", done, len(tasks))
            again = next(ours if done < n_own else theirs)
            where = f"{folder}: criterion {task.criterion!r} on network {task.network.name!r}"
            check_same(again, submitted[task.criterion, task.network.name], where)
            rows += [row_of(task, key, *found) for key, found in again.items()]
    tracks = {item.name: item.track for item in submission.card.criteria}
    return schema.build("scores", [row | {"track": tracks[row["criterion"]]} for row in rows])


def can_be_scored_again(submission: Submission) -> bool:
    """Tell whether any of its criteria brings code, or is a built-in one."""
    return any(item.code or item.name in criteria() for item in submission.card.criteria)


def _tasks(folder: Path, submission: Submission, networks: Sequence[Network], levels: Levels) -> tuple[list[Task], int]:
    """Return what can be scored again, and how many of the first tasks are by criteria of ours."""
    items = [item for item in submission.card.criteria if item.code or item.name in criteria()]
    if not items:
        raise BadInput(f"{folder}: no criterion comes with code, or is a built-in one: its scores stay as reported")
    for item in items:
        if item.code and item.name in criteria():
            raise BadInput(f"{folder}: {item.name!r} is the name of a built-in criterion, and comes with code; rename it")
        if not item.code and criteria()[item.name].track != item.track:
            track = criteria()[item.name].track
            raise BadInput(f"{folder}: {item.name!r} is of track {track}, submission.yaml says {item.track}")
    submitted = _by_task(submission.scores)
    tasks: dict[bool, list[Task]] = {False: [], True: []}
    for network in networks:
        for item in items:
            scores = submitted.get((item.name, network.name))
            if scores:
                tasks[bool(item.code)].append(Task(network, item.name, _asked(scores, levels), frozenset(scores)))
    return [*tasks[False], *tasks[True]], len(tasks[False])


def _by_task(scores: pa.Table) -> dict[tuple[str, str], dict[Key, float]]:
    """Return submitted scores by criterion and network."""
    found: dict[tuple[str, str], dict[Key, float]] = {}
    for row in scores.to_pylist():
        key = (row["perturbation"], row["level"], row["layer"])
        found.setdefault((row["criterion"], row["network"]), {})[key] = row["score"]
    return found


def _asked(submitted: Mapping[Key, float], levels: Levels) -> Levels:
    """Return the perturbations that a submission scores, with all their levels."""
    named = {perturbation for perturbation, _, _ in submitted}
    return [(perturbation, each) for perturbation, each in levels if perturbation.name in named]


def _by_ourselves(tasks: Sequence[Task], n_sets: int) -> Generator[Scores, None, None]:
    """Yield the scores of each task by a built-in criterion."""
    network, sweeps, entries = None, list[Sweep](), [criteria()[task.criterion] for task in tasks]
    for task, entry in zip(tasks, entries, strict=True):
        if task.network is not network:
            network, sweeps = task.network, calibration_sweeps(task.network, n_sets, entries)
        rows = over_sets(sweeps, entry, task.levels).rows
        yield {(row["perturbation"], row["level"], row["layer"]): (row["score"], row["spread"]) for row in rows}


def row_of(task: Task, key: Key, score: float, spread: float | None) -> dict[str, Any]:
    """Return a row of schema ``scores`` without its track."""
    perturbation, level, layer = key
    facts = {"criterion": task.criterion, "dataset": task.network.dataset, "split": task.network.split}
    return facts | {
        "network": task.network.name,
        "perturbation": perturbation,
        "level": level,
        "layer": layer,
        "score": score,
        "spread": spread,
    }
