"""Criteria over networks -> a submission's folder."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from safer_bench.criteria.criterion import Criterion
from safer_bench.criteria.loading import criteria, package_of, parse_criterion
from safer_bench.dataset.submissions.card import read_card
from safer_bench.dataset.submissions.code import imported_files
from safer_bench.dataset.submissions.describe import described, with_earlier
from safer_bench.dataset.submissions.submission import SubmissionCard, write_submission
from safer_bench.errors import BadInput
from safer_bench.measurement.progress import OnProgress
from safer_bench.networks.network import Network
from safer_bench.packages import Offer
from safer_bench.registry import is_file_spec
from safer_bench.scoring.sets import calibration_sweeps, mean_of_sets
from safer_bench.scoring.sweep import Levels, Scored, Sweep
from safer_bench.scoring.unfinished import Unfinished
from safer_bench.tables import files, schema
from safer_bench.tables.controls import ADDED
from safer_bench.tables.validation import sentence_of


def write_scores(
    out: Path,
    specs: Sequence[str],
    networks: Sequence[Network],
    levels: Levels,
    report: OnProgress = lambda *_: None,
    calibration_sets: int = 1,
    said: Sequence[str] = (),
) -> SubmissionCard:
    """Score networks by criteria and write a submission: scores, costs and card.

    What a stopped call had scored lies in the folder ``unfinished`` there, and is not scored again by an equal one.

    Args:
        out: its folder; its last part is the submission's name.
        specs: names of criteria, or ``FILE.py:FUNC``; such a file is copied into the folder, with those
            that it imports from beside it.
        networks: networks with calibration examples.
        levels: the perturbations that aware criteria are asked about.
        report: called with (step, done, total).
        calibration_sets: disjoint sets of calibration examples that scores are averaged over; costs are of all of them.
        said: what the card says besides, each ``FIELD=TEXT`` (``describe.described``). What a criterion needs is what it was
            seen to take where neither its author nor this says it.

    Returns:
        The card.

    Raises:
        UnknownName: no criterion has that name.
        BadInput: the folder cannot be written to or holds other submissions, no networks, something is named twice, a
            function is called like another criterion, or criteria failed: each is named, and what did not fail is written.
    """
    entries = [parse_criterion(spec) for spec in specs]
    code = _code(specs, entries, networks)
    weights = {network.name: network.weights_sha256 for network in networks}
    about = {"name": out.resolve().name, "calibration_sets": calibration_sets, "weights": weights}
    if len(entries) == len(code) == 1:
        about["description"] = entries[0].description
    fields = described(with_earlier(about | _of_criteria(entries, code, levels), _earlier_card(out), said), said)
    card = _card(fields)
    copied = _copied(code.values())
    files.check_writable(out)
    _check_no_submissions_inside(out)
    unfinished = Unfinished(out, code, levels, calibration_sets)
    done = _score_all(entries, networks, levels, report, calibration_sets, unfinished)
    if done.costs:
        kept = _of_criteria([entry for entry in entries if entry.name in done.needs], code, levels)
        criteria_kept = [item for item in fields["criteria"] if item["name"] in done.needs]
        kept["criteria"] = [item | {"needs": item["needs"] or done.needs[item["name"]]} for item in criteria_kept]
        card = _card(fields | kept)
        files_of_code = {path.as_posix(): source.read_bytes() for path, source in copied.items()}
        write_submission(out, card, schema.build("scores", done.rows), schema.build("costs", done.costs), files_of_code)
    if done.refused:
        rest = f"{out} holds what was not refused; the same command scores the rest" if done.costs else "nothing was written"
        count = f"{len(done.refused)} of {len(entries) * len(networks)} refused; {rest}"
        raise BadInput("\n".join([*done.refused, count]))
    unfinished.remove()
    return card


@dataclass(slots=True)
class _Done:
    """Rows of scores and of costs, what each criterion that gave any was seen to need, and what was refused."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    costs: list[dict[str, Any]] = field(default_factory=list)
    needs: dict[str, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def add(self, network: Network, scored: Iterable[Scored]) -> None:
        """Take in what criteria said of a network."""
        for each in scored:
            self.rows += [row | {"dataset": network.dataset, "split": network.split} for row in each.rows]
            self.costs.append(each.cost)
            name = each.cost["criterion"]
            self.needs[name] = self.needs.get(name) or each.needs


def _score_all(
    entries: Sequence[Criterion],
    networks: Sequence[Network],
    levels: Levels,
    report: OnProgress,
    calibration_sets: int,
    unfinished: Unfinished,
) -> _Done:
    """Score set by set of calibration examples: what criteria share of one set goes before the next one is looked at."""
    done, n_tasks = _Done(), sum(calibration_sets if entry.of_examples else 1 for entry in entries)
    for network, before in zip(networks, range(0, n_tasks * len(networks), n_tasks), strict=True):
        scored: dict[str, list[Scored]] = {entry.name: [] for entry in entries}
        tasks = _set_by_set(calibration_sweeps(network, calibration_sets, entries), entries)
        for count, (number, sweep, entry) in enumerate(tasks, before):
            report(f"scoring {network.name} {entry.name}", count, n_tasks * len(networks))
            if entry.name not in scored:  # refused on an earlier set
                continue
            found = unfinished.find(network, entry, number)
            if found is None:
                try:
                    found = sweep.scored(entry, levels)
                except BadInput as error:
                    done.refused.append(str(error))
                    del scored[entry.name]
                    continue
                unfinished.keep(network, entry, number, found)
            scored[entry.name].append(found)
        done.add(network, [mean_of_sets(of_sets) for of_sets in scored.values()])
    return done


def _set_by_set(sweeps: list[Sweep], entries: Sequence[Criterion]) -> Iterator[tuple[int, Sweep, Criterion]]:
    """Yield all criteria on sweep 0, those that see examples on the others; a sweep that is done is let go."""
    for number in range(len(sweeps)):
        sweep = sweeps.pop(0)
        for entry in entries:
            if number == 0 or entry.of_examples:
                yield number, sweep, entry


def _earlier_card(out: Path) -> SubmissionCard | None:
    """Return the card that lies in the folder; None where there is none that can be read."""
    try:
        return read_card(out / "submission.yaml")
    except BadInput:
        return None


def _check_no_submissions_inside(out: Path) -> None:
    """Refuse the folder that holds submissions in place of one of its own."""
    if not (out / "submission.yaml").exists() and (inside := sorted(out.glob("*/submission.yaml"))):
        raise BadInput(
            f"{out}: holds submissions, such as {inside[0].parent.name}; write one of its own: --out {out / 'NAME'}"
        )


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


def _copied(code: Iterable[Path]) -> dict[Path, Path]:
    """Return what goes into the submission's folder, by its path there: files of code and what they import from beside them.

    Raises:
        BadInput: two of them have one name, or one is no file that a submission may hold.
    """
    copied: dict[Path, Path] = {}
    for path in code:
        folder = path.resolve().parent
        for file in imported_files(folder, [Path(path.name)]):
            other = copied.setdefault(file, folder / file)
            if other != folder / file:
                raise BadInput(f"{other} and {folder / file} would both be {file} in the submission; rename one of them")
    return copied


def _check_own_name(spec: str, name: str) -> None:
    """Refuse a user's function under a name that boards have already."""
    if (is_file_spec(spec) and name in criteria()) or name in ADDED:
        what = "a built-in criterion" if name in criteria() else "a control that evaluation adds"
        raise BadInput(f"{spec}: {name!r} is the name of {what}; rename the function")


def _check_once(kind: str, names: Sequence[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise BadInput(f"two {kind} arguments are called {repeated[0]!r}; a submission holds each name once")


def _offers(entries: Sequence[Criterion], code: Collection[str]) -> dict[str, Offer]:
    """Return what installed packages offer of some criteria, by name; those that come from a file are none."""
    offers = {entry.name: package_of(entry.name) for entry in entries if entry.name not in code}
    return {name: offer for name, offer in offers.items() if offer is not None}


def _of_criteria(entries: Sequence[Criterion], code: Mapping[str, Path], levels: Levels) -> dict[str, Any]:
    """Return what a card says of criteria, and what it says only because of them: levels, and files of packages."""
    facts = ("name", "track", "needs", "formula", "source")
    items = [{fact: getattr(entry, fact) for fact in facts} for entry in entries]
    offers = _offers(entries, code)
    for item in items:
        if item["name"] in offers:
            item["package"] = offers[item["name"]].package
        if item["name"] in code:
            item["code"] = f"{code[item['name']].name}:{item['name']}"
            item["source"] = item["source"].rpartition("/")[2]  # a path says nothing elsewhere
    return {
        "criteria": items,
        "levels": {each.name: list(values) for each, values in levels} if any(entry.aware for entry in entries) else {},
        "files": {file: digest for offer in offers.values() for file, digest in offer.files().items()},
    }


def _card(fields: Mapping[str, Any]) -> SubmissionCard:
    try:
        return SubmissionCard.model_validate(fields)
    except ValidationError as error:
        raise BadInput(f"the submission's card: {sentence_of(error)}") from error
