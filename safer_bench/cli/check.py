"""The command that checks submissions, and scores them again."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from safer_bench.cli.console import Json, print_json, progress
from safer_bench.cli.options import Minutes, Truth, perturbation_specs, submissions_below, told_refused
from safer_bench.errors import BadInput, needs_torch
from safer_bench.tables.text import number_of

if TYPE_CHECKING:
    from safer_bench.dataset.submissions.submission import Submission
    from safer_bench.dataset.tree import Tree
    from safer_bench.scoring.by_code import Guard


def check(
    folder: Annotated[Path, typer.Argument(help="Folder of a submission, or of several.")],
    truth: Truth = None,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Run the submitted code; record the scores that come out again.")
    ] = False,
    network: Annotated[list[str] | None, typer.Option(help="Networks to score again; by default all.")] = None,
    minutes: Minutes = 60,
    unprotected: Annotated[
        bool,
        typer.Option("--unprotected", help="Run code also where the system cannot keep it from files and the internet."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Check submissions against the truth's networks and layers, and their scores against their code.

    Example: safer-bench check submissions/snip
    """
    from safer_bench.dataset.submissions.gather import read_all
    from safer_bench.dataset.tree import load_tree
    from safer_bench.registry import look_up

    tree = load_tree(truth)
    for name in network or ():
        look_up(dict.fromkeys(tree["networks"]["network"].to_pylist()), name, "network")
    submissions, refused = read_all(tree, submissions_below(folder))
    told_refused(refused)
    failed: dict[Path, str] = {}
    facts = [_facts(path, submission, tree) for path, submission in submissions.items()]
    for about, (path, submission) in zip(facts, submissions.items(), strict=True):
        if not as_json:
            _tell(about)
        if recompute:
            with _counted(failed, path):
                said = _recompute(path, submission, tree, network, _guard(tree, minutes, unprotected))
                about["recomputed"] = said
                if not as_json:
                    typer.echo("\n".join(said))
    if as_json:
        print_json({"in_order": facts, "refused": refused, "not_recomputed": failed})
    if refused or failed:
        raise typer.Exit(1)


@contextmanager
def _counted(failed: dict[Path, str], path: Path) -> Iterator[None]:
    """Say what is wrong with a submission, note it, and go on with the next."""
    from safer_bench.dataset.submissions.submission import BadSubmission

    try:
        yield
    except BadSubmission as error:
        failed[path] = str(error)
        typer.echo(f"Refused: {error}", err=True)


def _facts(path: Path, submission: "Submission", tree: "Tree") -> dict[str, Any]:
    """Return what a submission in order holds, and what is to be said of it."""
    from safer_bench.evaluation.copied import copied_from_the_truth

    scored = sorted(set(submission.scores["network"].to_pylist()))
    notes = list(copied_from_the_truth(submission.scores, tree))
    if submission.card.name != path.resolve().name:
        notes.append(f"Its card calls it {submission.card.name!r}: among others, that has to be its folder's name")
    return {
        "submission": path,
        "criteria": [item.name for item in submission.card.criteria],
        "scores": submission.scores.num_rows,
        "networks": scored,
        "absent": sorted(set(tree["networks"]["network"].to_pylist()) - set(scored)),
        "unseen": _unseen(submission, tree),
        "notes": notes,
    }


def _unseen(submission: "Submission", tree: "Tree") -> list[str]:
    """Return the perturbations of the truth under which a criterion that sees them is not scored."""
    aware = [item.name for item in submission.card.criteria if item.track != "blind"]
    known = set(tree["perturbations"]["perturbation"].to_pylist())
    rows = submission.scores.select(["criterion", "perturbation"]).group_by(["criterion", "perturbation"]).aggregate([])
    seen = {name: {row["perturbation"] for row in rows.to_pylist() if row["criterion"] == name} for name in aware}
    return sorted(known - set.intersection(*seen.values())) if seen else []


def _tell(about: Mapping[str, Any]) -> None:
    """Print what ``_facts`` returned."""
    names, n_absent = ", ".join(about["criteria"]), len(about["absent"])
    found = f"{number_of(about['scores'], 'score')} of {number_of(len(about['networks']), 'network')}"
    typer.echo(f"{about['submission']}: {names}: {found} in order")
    if n_absent:
        absent = f"{number_of(n_absent, 'network')} of the truth {'is' if n_absent == 1 else 'are'} not scored"
        typer.echo(f"{absent}: on their boards this submission is not ranked")
    if about["unseen"]:
        n = len(about["unseen"])
        unseen = f"{number_of(n, 'perturbation')} of the truth {'is' if n == 1 else 'are'} not scored"
        typer.echo(f"{unseen} ({', '.join(about['unseen'][:3])}{', ...' * (n > 3)}): where they count it is not ranked")
    for said in about["notes"]:
        typer.echo(said)


def _guard(tree: "Tree", minutes: int, unprotected: bool) -> "Guard":
    with needs_torch():
        from safer_bench.dataset.submissions.sandbox import Limits
        from safer_bench.scoring.by_code import Guard
    return Guard((tree.path,), Limits(seconds=60 * minutes), unprotected)


def _recompute(folder: Path, submission: "Submission", tree: "Tree", only: list[str] | None, guard: "Guard") -> list[str]:
    """Score again, and keep what came out where that is all of it; what was kept goes where it does not come out again.

    Returns:
        What is to be said of it.

    Raises:
        BadSubmission: it is not what was submitted.
        Unprotected: the system cannot keep submitted code apart.
    """
    with needs_torch():
        from safer_bench.dataset.submissions.recomputed import record
        from safer_bench.dataset.submissions.submission import BadSubmission
        from safer_bench.measurement.answers.tuning import tune_allocator
        from safer_bench.networks.loading import load_network
        from safer_bench.perturbations.loading import parse_perturbation
        from safer_bench.scoring.by_code import Unprotected
        from safer_bench.scoring.recompute import can_be_scored_again, recompute
    tune_allocator()
    if not can_be_scored_again(submission):
        stays = "brings no code, and is no built-in criterion: its scores stay reported"
        return [f"{folder}: {stays}{_unmarked(folder)}"]
    scored = sorted(set(submission.scores["network"].to_pylist()))
    chosen = [name for name in scored if not only or name in only]
    if not chosen:
        return [f"{folder}: nothing scored again: it does not score {', '.join(only or ())}"]
    levels = [parse_perturbation(spec) for spec in perturbation_specs(tree)]
    with progress() as report:
        networks = []
        for i, name in enumerate(chosen):
            report(f"loading {name}", i, len(chosen))
            networks.append(load_network(name))
        try:
            again = recompute(folder, submission, networks, levels, report, guard)
        except Unprotected as error:
            raise Unprotected(f"{error}; --unprotected runs it all the same, with all that you may do") from error
        except BadInput as error:
            raise BadSubmission(f"{error}{_unmarked(folder)}") from error
    names = ", ".join(again["criterion"].unique().to_pylist())
    said = [f"{folder}: {names}: scored again on {number_of(len(networks), 'network')}, to the same scores"]
    if len(networks) == len(scored):
        said.append(f"Noted in {record(folder, submission, again)}")
    else:
        said.append(f"Not noted: that takes all {len(scored)} networks that it scores")
    return said


def _unmarked(folder: Path) -> str:
    """Forget what was kept of a submission, and say so; nothing where nothing was."""
    from safer_bench.dataset.submissions.recomputed import RECORD, forget

    return f"; no longer noted in {folder.resolve().parent / RECORD}" if forget(folder) else ""
