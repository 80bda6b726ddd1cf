"""The command that scores networks by criteria."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safer_bench.cli.console import progress, resumable
from safer_bench.cli.options import NETWORK_HELP, NetworkOptions, perturbation_specs, with_network_options
from safer_bench.errors import MissingData, needs_torch
from safer_bench.tables.text import number_of

if TYPE_CHECKING:
    from safer_bench.dataset.submissions.card import SubmissionCard
    from safer_bench.networks.network import Network


@with_network_options
def score(
    criteria: Annotated[list[str], typer.Argument(help="Names of criteria, or FILE.py:FUNC.")],
    out: Annotated[
        Path, typer.Option(help="Folder of the submission; its last part is its name. The same command resumes.")
    ],
    network: Annotated[
        list[str] | None, typer.Option(help=f"{NETWORK_HELP}; by default those of the truth at hand.")
    ] = None,
    calibration_sets: Annotated[
        int,
        typer.Option(
            "--calibration-sets",
            "--probe-sets",
            min=1,
            max=100,
            help="Disjoint sets of calibration examples to average over, with the spread of the scores.",
        ),
    ] = 1,
    perturbation: Annotated[
        list[str] | None,
        typer.Option(
            help="What aware criteria see: NAME:LEVEL,...; by default all of the truth. NAME alone takes the levels of this "
            "release; `check` refuses them where a truth was measured at others."
        ),
    ] = None,
    describe: Annotated[
        list[str] | None,
        typer.Option(
            help="FIELD=TEXT for the card: description, authors, licence, needs, formula or source; repeat for more. Of one "
            "criterion among several: CRITERION.FIELD=TEXT."
        ),
    ] = None,
    *,
    network_options: NetworkOptions,
) -> None:
    """Score the layers of networks by criteria and write a submission; resumes by itself.

    Example: safer-bench score my_criterion.py:mine --out submissions/mine
    """
    with needs_torch():
        from safer_bench.criteria.criterion import check_sees_perturbation
        from safer_bench.criteria.loading import parse_criterion
        from safer_bench.dataset.submissions.describe import still_empty
        from safer_bench.measurement.answers.tuning import tune_allocator
        from safer_bench.perturbations.loading import parse_perturbation
        from safer_bench.scoring.write import write_scores
    tune_allocator()
    if perturbation:
        check_sees_perturbation([parse_criterion(spec) for spec in criteria])
    levels = [parse_perturbation(spec) for spec in (perturbation or _default_perturbations())]
    networks = network_options.load(network or _default_networks())
    with resumable(shlex.join(["safer-bench", *sys.argv[1:]])), progress() as report:
        card = write_scores(out, criteria, networks, levels, report, calibration_sets, describe or ())
    empty = still_empty(card)
    if empty:
        typer.echo(
            f"Still empty in {out / 'submission.yaml'}, and shown on boards: {', '.join(empty)} (--describe FIELD=TEXT)"
        )
    seen = _needs_seen(card, criteria, describe or ())
    if seen:
        typer.echo(
            f"Needs in {out / 'submission.yaml'}, by the passes that were seen: {seen}. Labels cannot be seen: "
            "--describe 'needs=labels, gradients'"
        )
    done = f"{number_of(len(criteria), 'criterion', 'criteria')} on {number_of(len(networks), 'network')}"
    typer.echo(f"{out}: {done}. Next: {_next(out, [item.name for item in card.criteria], networks)}")


def _needs_seen(card: "SubmissionCard", specs: Sequence[str], said: Sequence[str]) -> str:
    """Return what criteria of one's own are said to need of which neither author nor command says it."""
    from safer_bench.criteria.loading import parse_criterion

    told = {text.partition("=")[0] for text in said}
    entries = map(parse_criterion, specs)
    silent = {entry.name for entry in entries if not entry.needs and not {"needs", f"{entry.name}.needs"} & told}
    return "; ".join(f"{item.name}: {item.needs}" for item in card.criteria if item.name in silent and item.needs)


def _next(out: Path, criteria: Sequence[str], networks: Sequence["Network"]) -> str:
    """Return the command that goes on from scores: `check`, or where it knows not all networks, a truth of their own."""
    known, own = _default_networks(), sorted(set(criteria) & _criteria_of_the_truth())
    if any(network.name not in known for network in networks):
        return f"safer-bench pack RUN --scores {out} --out TREE; safer-bench evaluate --truth TREE --out BOARD"
    if own:
        kept = f"safer-bench evaluate shows the truth's own scores of {own[0]!r}; it takes no others"
        return f"safer-bench pack RUN --scores {out} --out TREE, for a truth of your own; {kept}"
    return f"safer-bench check {out}"


def _criteria_of_the_truth() -> set[str]:
    """Return the criteria whose scores the truth at hand has."""
    from safer_bench.dataset.tree import load_tree

    try:
        tree = load_tree()
    except MissingData:
        return set()
    return set(tree["criteria"]["criterion"].to_pylist()) if "criteria" in tree else set()


def _default_networks() -> list[str]:
    """Return the networks whose scores `check` expects; the whole zoo where there is no truth."""
    from safer_bench.dataset.tree import load_tree
    from safer_bench.networks.loading import zoo_networks

    ranked = [entry.name for entry in zoo_networks().values() if entry.role == "zoo"]
    try:
        measured = set(load_tree()["networks"]["network"].to_pylist())
    except MissingData:
        return ranked
    return [name for name in ranked if name in measured]


def _default_perturbations() -> list[str]:
    """Return the perturbations and levels whose scores `check` accepts; all built-in ones where there is no truth."""
    from safer_bench.dataset.tree import load_tree
    from safer_bench.perturbations.loading import perturbations

    try:
        return perturbation_specs(load_tree())
    except MissingData:
        return list(perturbations())
