"""Commands that score and rank criteria: score, check, evaluate and compare."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safer_bench.catalogue import needs_torch
from safer_bench.cli.console import progress
from safer_bench.errors import BadInput, MissingData

if TYPE_CHECKING:
    from safer_bench.dataset.tree import Tree
    from safer_bench.networks import Network
    from safer_bench.submission import Submission

Truth = Annotated[Path | None, typer.Option(help="Folder of the dataset tree; by default the truth at hand.")]


def score(
    criteria: Annotated[list[str], typer.Argument(help="Names of criteria, or FILE.py:FUNC.")],
    out: Annotated[Path, typer.Option(help="Folder of the submission; its last part is its name.")],
    network: Annotated[list[str] | None, typer.Option(help="Networks; by default those of the truth at hand.")] = None,
    probe_sets: Annotated[
        int, typer.Option(min=1, help="Disjoint sets of probe examples to average over, with the spread of the scores.")
    ] = 1,
    perturbation: Annotated[
        list[str] | None, typer.Option(help="NAME[:LEVEL,...] for criteria that see it; by default those of that truth.")
    ] = None,
) -> None:
    """Score the layers of networks by criteria and write a submission.

    Example: safer-bench score my_criterion.py:mine --out submissions/mine
    """
    with needs_torch():
        from safer_bench.measurement.tuning import tune_allocator
        from safer_bench.perturbations import parse_perturbation
        from safer_bench.score_folders import write_scores
        from safer_bench.zoo import load_network
    tune_allocator()
    levels = [parse_perturbation(spec) for spec in (perturbation or _default_perturbations())]
    networks = [load_network(spec) for spec in (network or _default_networks())]
    with progress() as report:
        write_scores(out, criteria, networks, levels, report, probe_sets)
    typer.echo(f"{out}: {len(criteria)} criteria on {len(networks)} networks. Next: {_next(out, networks)}")


def _next(out: Path, networks: Sequence["Network"]) -> str:
    """Return the command that goes on from scores: `check`, or where it knows not all networks, a truth of their own."""
    known = _default_networks()
    if all(network.name in known for network in networks):
        return f"safer-bench check {out}"
    return f"safer-bench pack RUN --scores {out} --out TREE; safer-bench evaluate --truth TREE --out BOARD"


def _default_networks() -> list[str]:
    """Return the networks whose scores `check` expects; the whole zoo where there is no truth."""
    from safer_bench.dataset.tree import load_tree
    from safer_bench.zoo import zoo_networks

    ranked = [entry.name for entry in zoo_networks().values() if entry.role == "zoo"]
    try:
        measured = set(load_tree()["networks"]["network"].to_pylist())
    except MissingData:
        return ranked
    return [name for name in ranked if name in measured]


def _default_perturbations() -> list[str]:
    """Return the perturbations and levels whose scores `check` accepts; all built-in ones where there is no truth."""
    from safer_bench.dataset.tree import load_tree
    from safer_bench.perturbations import perturbations

    try:
        return _perturbation_specs(load_tree())
    except MissingData:
        return list(perturbations())


def _perturbation_specs(tree: "Tree") -> list[str]:
    measured = tree["perturbations"].to_pylist()
    return [f"{row['perturbation']}:{','.join(map(repr, row['levels']))}" for row in measured]


@contextmanager
def refusal() -> Iterator[None]:
    """Turn what is wrong with a submission into a message and exit code 1."""
    from safer_bench.submission import BadSubmission

    try:
        yield
    except BadSubmission as error:
        typer.echo(f"Refused: {error}", err=True)
        raise typer.Exit(1) from None


def check(
    folder: Annotated[Path, typer.Argument(help="Folder of a submission, or of several.")],
    truth: Truth = None,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Score again, by the submitted code, which this runs; note it for the board.")
    ] = False,
    network: Annotated[list[str] | None, typer.Option(help="Networks to score again; by default all.")] = None,
) -> None:
    """Check submissions against the truth's networks and layers, and their scores against their code.

    Example: safer-bench check submissions/snip
    """
    from safer_bench.dataset.tree import load_tree
    from safer_bench.gather import submission_folders
    from safer_bench.registry import look_up
    from safer_bench.submission import read_submission

    tree = load_tree(truth)
    for name in network or ():
        look_up(dict.fromkeys(tree["networks"]["network"].to_pylist()), name, "network")
    for path in submission_folders(folder) or [folder]:
        with refusal():
            found = read_submission(path, tree)
        n_networks = len(set(found.scores["network"].to_pylist()))
        absent = len(set(tree["networks"]["network"].to_pylist())) - n_networks
        names = ", ".join(item.name for item in found.card.criteria)
        typer.echo(f"{path}: {names}: {found.scores.num_rows} scores of {n_networks} networks in order")
        if absent:
            typer.echo(f"{absent} networks of the truth are not scored: shown on their boards, but not ranked")
        if recompute:
            _recompute(path, found, tree, network)


def _recompute(folder: Path, found: "Submission", tree: "Tree", only: list[str] | None) -> None:
    with needs_torch():
        from safer_bench.measurement.tuning import tune_allocator
        from safer_bench.perturbations import parse_perturbation
        from safer_bench.recomputed import record
        from safer_bench.score_folders import recompute
        from safer_bench.zoo import load_network
    tune_allocator()
    scored = sorted(set(found.scores["network"].to_pylist()))
    networks = [load_network(name) for name in scored if not only or name in only]
    if not networks:
        typer.echo(f"{folder}: nothing scored again: it does not score {', '.join(only or ())}")
        return
    levels = [parse_perturbation(spec) for spec in _perturbation_specs(tree)]
    try:
        with progress() as report:
            names = recompute(folder, found, networks, levels, report)
    except BadInput as error:
        typer.echo(f"Refused: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{folder}: {', '.join(names)}: scored again on {len(networks)} networks, to the same scores")
    if len(networks) == len(scored):
        typer.echo(f"Noted in {record(folder, found.scores, names)}")


def evaluate(
    out: Annotated[Path, typer.Option(help="Folder of the results and the leaderboard.")],
    submissions: Annotated[
        Path | None, typer.Argument(help="Folder of submissions, or one of them; by default the truth's own criteria only.")
    ] = None,
    truth: Truth = None,
    budget: Annotated[Path | None, typer.Option(help="Folder that `safer-bench budget` wrote: shown on the page.")] = None,
) -> None:
    """Rank submissions and the truth's own criteria against the truth.

    Example: safer-bench evaluate submissions --out board
    """
    from safer_bench.board import boards
    from safer_bench.cli.starting import board_text
    from safer_bench.dataset.tree import load_tree
    from safer_bench.evaluation import evaluate as evaluate_scores
    from safer_bench.gather import gather, read_budgets
    from safer_bench.leaderboard import write_leaderboard

    tree = load_tree(truth)
    folders = _submissions(submissions)
    found = gather(tree, folders)
    spent = read_budgets(budget, tree.revision) if budget else None
    results = evaluate_scores(tree, found.scores)
    page = write_leaderboard(out, results, tree, scores=found.scores, costs=found.costs, marks=found.marks, budget=spent)
    read = f"{len(folders)} read: {', '.join(map(str, folders))}" if folders else "none; the truth's own criteria alone"
    typer.echo(f"Submissions: {read}\n")
    for board in boards(results, tree):
        typer.echo(f"{board_text(board)}\n")
    typer.echo(f"Leaderboard: {page}")


def _submissions(root: Path | None) -> list[Path]:
    """Return the folders of the submissions asked for; none where no folder was.

    Raises:
        BadInput: there is no such folder, or no submission in it.
    """
    from safer_bench.gather import submission_folders

    found = submission_folders(root) if root else []
    if root and not found:
        raise BadInput(
            f"{root}: holds no submission; expected submissions/NAME with submission.yaml and scores, which `safer-bench "
            f"score CRITERION --out {root}/NAME` writes; without a folder the truth's own criteria are judged"
        )
    return found


def compare(
    first: Annotated[str, typer.Argument(help="Name of a criterion.")],
    second: Annotated[str, typer.Argument(help="Name of the criterion to compare it with.")],
    submissions: Annotated[
        Path | None, typer.Option(help="Folder of submissions, or one of them; by default the truth's own criteria only.")
    ] = None,
    truth: Truth = None,
    metric: Annotated[str, typer.Option(help="One of: safer-bench list metrics")] = "spearman",
    out: Annotated[Path | None, typer.Option(help="Plot of the differences, such as compare.png.")] = None,
) -> None:
    """Compare two criteria: their paired difference under each perturbation.

    Example: safer-bench compare snip l2_norm --out compare.png
    """
    import pyarrow.compute as pc

    from safer_bench import comparison
    from safer_bench.bootstrap import MIN_FAMILIES
    from safer_bench.cli.console import table
    from safer_bench.dataset.tree import load_tree
    from safer_bench.evaluation import evaluate as evaluate_scores
    from safer_bench.gather import gather

    tree = load_tree(truth)
    scores = gather(tree, _submissions(submissions)).scores
    comparison.check_names(scores["criterion"].unique().to_pylist(), first, second, metric, out)
    compared = scores.filter(pc.field("criterion").isin([first, second]))  # evaluation adds the controls by itself
    found = comparison.compare(evaluate_scores(tree, compared), tree, first, second, metric)
    for group in dict.fromkeys((each.dataset, each.split) for each in found):
        chosen = [each for each in found if (each.dataset, each.split) == group]
        typer.echo(f"{', '.join(group)}: {metric} of {first} and {second}, mean over families")
        typer.echo(f"{table(comparison.HEADER, comparison.rows(chosen))}\n")
    if any(each.interval is None for each in found):
        typer.echo(f"No interval where there are fewer than {MIN_FAMILIES} families: such a difference ranks nothing.")
    if any(each.interval is not None for each in found):
        typer.echo("Each interval holds by itself; of twenty, one is expected to miss.")
    if out is not None:
        with needs_torch():
            comparison.plot(found, out, f"{metric}: {first} minus {second}")
        typer.echo(f"Plot: {out}")


COMMANDS = (score, check, evaluate, compare)
