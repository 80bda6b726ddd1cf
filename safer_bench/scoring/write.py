"""Criteria over networks -> a submission's folder; and the same again, to see whether its scores are what its code gives."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from safer_bench.criteria.criterion import Criterion
from safer_bench.criteria.loading import criteria, parse_criterion
from safer_bench.dataset.submissions.submission import Submission, SubmissionCard, write_submission
from safer_bench.errors import BadInput
from safer_bench.measurement.progress import OnProgress
from safer_bench.metrics import ROUNDING
from safer_bench.networks.network import Network
from safer_bench.registry import is_file_spec
from safer_bench.scoring.suffixes import Suffixes
from safer_bench.scoring.sweep import EXAMPLES, Levels, Sweep
from safer_bench.tables import files, schema
from safer_bench.tables.controls import ADDED
from safer_bench.tables.score_table import alike


def write_scores(
    out: Path,
    specs: Sequence[str],
    networks: Sequence[Network],
    levels: Levels,
    report: OnProgress = lambda *_: None,
    calibration_sets: int = 1,
) -> None:
    """Score networks by criteria and write a submission: scores, costs and card.

    Args:
        out: its folder; its last part is the submission's name.
        specs: names of criteria, or ``FILE.py:FUNC``; such a file is copied into the folder.
        networks: networks with calibration examples.
        levels: the perturbations that aware criteria are asked about.
        report: called with (step, done, total).
        calibration_sets: disjoint sets of calibration examples that scores are averaged over; costs are of all of them.

    Raises:
        UnknownName: no criterion has that name.
        BadInput: the folder cannot be written to, no networks, something is named twice, a function is called like
            another criterion, or criteria failed: each is named, and what did not fail is written.
    """
    entries = [parse_criterion(spec) for spec in specs]
    code = _code(specs, entries, networks)
    _card(out.resolve().name, entries, networks, code, levels, calibration_sets)
    files.check_writable(out)
    rows, costs, refused = list[dict[str, Any]](), list[dict[str, Any]](), list[str]()
    done, total = 0, len(entries) * len(networks)
    for network in networks:
        sweeps = calibration_sweeps(network, calibration_sets)
        for entry in entries:
            report(f"scoring {network.name} {entry.name}", done, total)
            done += 1
            try:
                new_rows, cost = _over_sets(sweeps, entry, levels)
            except BadInput as error:
                refused.append(str(error))
                continue
            rows += [row | {"dataset": network.dataset, "split": network.split} for row in new_rows]
            costs.append(cost)
    scored = {row["criterion"] for row in costs}
    if scored:
        kept = [entry for entry in entries if entry.name in scored]
        card = _card(out.resolve().name, kept, networks, code, levels, calibration_sets)
        copies = {path.name: path.read_bytes() for path in code.values()}
        write_submission(out, card, schema.build("scores", rows), schema.build("costs", costs), copies)
    if refused:
        rest = f"{out} holds what was not refused" if scored else "nothing was written"
        raise BadInput("\n".join([*refused, f"{len(refused)} of {total} refused; {rest}"]))


def _code(specs: Sequence[str], entries: Sequence[Criterion], networks: Sequence[Network]) -> dict[str, Path]:
    """Return the file of each criterion that comes from one.

    Raises:
        BadInput: no networks, something is named twice, or a function has the name of another criterion.
    """
    if not networks:
        raise BadInput("no networks to score; name them by --network")
    for spec, entry in zip(specs, entries, strict=True):
        _check_own_name(spec, entry.name)
    _check_once("criterion", [entry.name for entry in entries])
    _check_once("network", [network.name for network in networks])
    pairs = zip(specs, entries, strict=True)
    file_of = {entry.name: Path(spec.rpartition(":")[0]) for spec, entry in pairs if is_file_spec(spec)}
    _check_once("file", [path.name for path in {path.resolve() for path in file_of.values()}])
    return file_of


def _check_own_name(spec: str, name: str) -> None:
    """Refuse a user's function under a name that boards have already."""
    if is_file_spec(spec) and (name in criteria() or name in ADDED):
        what = "a built-in criterion" if name in criteria() else "a control that evaluation adds"
        raise BadInput(f"{spec}: {name!r} is the name of {what}; rename the function")


def _check_once(kind: str, names: Sequence[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise BadInput(f"two {kind} arguments are called {repeated[0]!r}; a submission holds each name once")


def calibration_sweeps(network: Network, n_sets: int) -> list[Sweep]:
    """Return a sweep over each of ``n_sets`` disjoint sets of calibration examples, of 512 where there are as many.

    Raises:
        BadInput: fewer calibration examples than sets.
    """
    size = min(EXAMPLES, len(network.calibration[1]) // n_sets)
    if size == 0:
        raise BadInput(
            f"network {network.name!r}: {len(network.calibration[1])} calibration examples; expected {n_sets} sets of them"
        )
    suffixes = Suffixes(network.model, network.calibration[0])
    return [Sweep(network, examples=size, first=i * size, suffixes=suffixes) for i in range(n_sets)]


def _spreads(scores: np.ndarray) -> list[float]:
    """Return the standard deviation over sets of scores ``(n_sets, n_rows)``; 0 where they differ by rounding alone."""
    equal = np.ptp(scores, axis=0) <= ROUNDING * np.max(np.abs(scores), axis=0)
    return np.where(equal, 0.0, scores.std(axis=0, ddof=1)).tolist()


def _over_sets(sweeps: Sequence[Sweep], entry: Criterion, levels: Levels) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return a criterion's rows, means over the sets where it sees examples, with their spread; and what all that cost."""
    scored = [sweep.scored(entry, levels) for sweep in sweeps[: len(sweeps) if entry.of_examples else 1]]
    scores = np.array([[row["score"] for row in each.rows] for each in scored])
    spreads = _spreads(scores) if len(scored) > 1 else [None] * scores.shape[1]
    columns = zip(scored[0].rows, scores.mean(axis=0).tolist(), spreads, strict=True)
    cost = scored[0].cost | {
        "seconds": sum(each.cost["seconds"] for each in scored),
        "memory": max(each.cost["memory"] for each in scored),
        "forward_equivalents": sum(each.cost["forward_equivalents"] for each in scored),
    }
    return [row | {"score": mean, "spread": spread} for row, mean, spread in columns], cost


def _card(
    name: str,
    entries: Sequence[Criterion],
    networks: Sequence[Network],
    code: Mapping[str, Path],
    levels: Levels,
    calibration_sets: int,
) -> SubmissionCard:
    facts = ("name", "track", "needs", "formula", "source")
    criteria = [{fact: getattr(entry, fact) for fact in facts} for entry in entries]
    for item in criteria:
        if item["name"] in code:
            item["code"] = f"{code[item['name']].name}:{item['name']}"
            item["source"] = item["source"].rpartition("/")[2]  # a path says nothing elsewhere
    fields = {
        "name": name,
        "criteria": criteria,
        "weights": {network.name: network.weights_sha256 for network in networks},
        "levels": {each.name: list(values) for each, values in levels} if any(entry.aware for entry in entries) else {},
        "calibration_sets": calibration_sets,
    }
    try:
        return SubmissionCard.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(f"{'.'.join(map(str, first['loc']))} {first['input']!r}: {first['msg']}") from error


def recompute(
    folder: Path, submission: Submission, networks: Sequence[Network], levels: Levels, report: OnProgress = lambda *_: None
) -> list[str]:
    """Score again what can be: criteria that come with code, and built-in ones. Runs that code.

    Args:
        folder: of the submission.
        submission: what ``read_submission`` found there.
        networks: networks to score; those that a criterion did not score are left out.
        levels: the perturbations and levels of the truth.
        report: called with (step, done, total).

    Returns:
        Names of the criteria that were scored again, to the same scores.

    Raises:
        BadInput: nothing can be scored again, a criterion failed or has another track than the card says, or a score
            differs by more than a thousandth.
    """
    specs = {item.name: f"{folder / item.code}" if item.code else item.name for item in submission.card.criteria}
    specs = {name: spec for name, spec in specs.items() if is_file_spec(spec) or name in criteria()}
    if not specs:
        raise BadInput(f"{folder}: no criterion comes with code, or is a built-in one: its scores stay as reported")
    entries = {name: parse_criterion(spec) for name, spec in specs.items()}
    tracks = {item.name: item.track for item in submission.card.criteria}
    for name, entry in entries.items():
        if entry.track != tracks[name]:
            raise BadInput(f"{folder}: the code of {name!r} is of track {entry.track}, submission.yaml says {tracks[name]}")
    submitted: dict[tuple[str, str], dict[tuple[Any, ...], float]] = {}
    for row in submission.scores.to_pylist():
        key = (row["perturbation"], row["level"], row["layer"])
        submitted.setdefault((row["criterion"], row["network"]), {})[key] = row["score"]
    tasks = [(network, [name for name in entries if (name, network.name) in submitted]) for network in networks]
    done, total = 0, sum(len(names) for _, names in tasks)
    for network, names in tasks:
        sweeps = calibration_sweeps(network, submission.card.calibration_sets)
        for name in names:
            report(f"scoring {network.name} {name}", done, total)
            done += 1
            rows, _ = _over_sets(sweeps, entries[name], _asked(submitted[name, network.name], levels))
            again = {(row["perturbation"], row["level"], row["layer"]): row["score"] for row in rows}
            _compare(again, submitted[name, network.name], f"{folder}: criterion {name!r} on network {network.name!r}")
    return list(dict.fromkeys(name for _, names in tasks for name in names))


def _asked(submitted: Mapping[tuple[Any, ...], float], levels: Levels) -> Levels:
    """Return the perturbations that a submission scores, with all their levels."""
    named = {perturbation for perturbation, _, _ in submitted}
    return [(perturbation, each) for perturbation, each in levels if perturbation.name in named]


def _compare(recomputed: Mapping[tuple[Any, ...], float], submitted: Mapping[tuple[Any, ...], float], where: str) -> None:
    largest = max(map(abs, submitted.values()))
    for key, score in submitted.items():
        if not alike(score, recomputed[key], largest):
            at = ", ".join(str(part) for part in key if part is not None)
            raise BadInput(f"{where}: {at}: submitted {score:g}, computed again {recomputed[key]:g}")
