"""The command that ranks criteria against the truth, or tells means of one that stays secret."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from safer_bench.cli.console import aggregates_text, board_text, progress
from safer_bench.cli.options import Minutes, Truth, perturbation_specs, submissions_in, told_refused
from safer_bench.errors import BadInput, needs_torch


def evaluate(
    out: Annotated[Path, typer.Option(help="Folder of the results and the leaderboard.")],
    submissions: Annotated[
        Path | None, typer.Argument(help="Folder of submissions, or one of them; by default the truth's own criteria only.")
    ] = None,
    truth: Truth = None,
    budget: Annotated[Path | None, typer.Option(help="Folder that `safer-bench budget` wrote: shown on the page.")] = None,
    held_out: Annotated[
        Path | None,
        typer.Option(help="Folder of a tree that stays secret: runs submitted code on its networks, prints means alone."),
    ] = None,
    network: Annotated[
        list[str] | None, typer.Option(help="FILE.py:FUNC of a network of that tree that is not of the zoo; repeatable.")
    ] = None,
    minutes: Minutes = 60,
) -> None:
    """Rank submissions and the truth's own criteria against the truth.

    Example: safer-bench evaluate submissions --out board

    With a truth that stays secret: safer-bench evaluate submissions --held-out TREE --network nets.py:deep --out board
    """
    if held_out is None:
        if network:
            raise BadInput("--network names what builds a network of a held-out tree; give --held-out TREE too")
        _evaluate(out, submissions, truth, budget)
        return
    if truth is not None or budget is not None:
        raise BadInput("--held-out names the truth, and budgets are of a published one; leave out --truth and --budget")
    _evaluate_held_out(out, submissions, held_out, network or (), minutes)


def _evaluate(out: Path, submissions: Path | None, truth: Path | None, budget: Path | None) -> None:
    from safer_bench.dataset.budgets import read_budgets
    from safer_bench.dataset.submissions.gather import gather
    from safer_bench.dataset.tree import load_tree
    from safer_bench.evaluation.evaluate import evaluate as evaluate_scores
    from safer_bench.evaluation.leaderboard.page import Extras, make_page
    from safer_bench.evaluation.leaderboard.write import write_page

    tree = load_tree(truth)
    folders = submissions_in(submissions)
    gathered = gather(tree, folders, strict=False)
    told_refused(gathered.refused, all_of_them=len(gathered.refused) == len(folders) > 0)
    spent = read_budgets(budget, tree.revision) if budget else None
    results = evaluate_scores(tree, gathered.scores)
    page = make_page(results, tree, Extras(gathered.scores, gathered.costs, gathered.marks, spent))
    path = write_page(out, results, page)
    typer.echo(f"{_read([folder for folder in folders if folder not in gathered.refused])}\n")
    for board in page.boards:
        typer.echo(f"{board_text(board)}\n")
    typer.echo(f"Leaderboard: {path}")
    if gathered.refused:
        raise typer.Exit(1)


def _read(folders: Sequence[Path]) -> str:
    taken = f"{len(folders)} read: {', '.join(map(str, folders))}" if folders else "none; the truth's own criteria alone"
    return f"Submissions: {taken}"


def _evaluate_held_out(out: Path, submissions: Path | None, held_out: Path, networks: Sequence[str], minutes: int) -> None:
    with needs_torch():
        from safer_bench.measurement.answers.tuning import tune_allocator
        from safer_bench.perturbations.loading import parse_perturbation
        from safer_bench.scoring.by_code import Guard
        from safer_bench.scoring.held_out import judge_held_out
    from safer_bench.dataset.submissions.sandbox import Limits
    from safer_bench.dataset.tree import load_tree
    from safer_bench.evaluation.aggregates import MIN_NETWORKS, csv_text
    from safer_bench.tables import files

    files.check_writable(out)
    tune_allocator()
    tree = load_tree(held_out)
    levels = [parse_perturbation(spec) for spec in perturbation_specs(tree)]
    folders = submissions_in(submissions)
    with progress() as report:
        found = judge_held_out(tree, networks, folders, levels, Guard(limits=Limits(60 * minutes)), report)
    for folder in found.without:
        typer.echo(f"{folder}: left out, as it brings no code")
    told_refused(found.refused, all_of_them=len(folders) > len(found.judged) == 0)
    path = out / "held_out.csv"
    files.write_text(path, csv_text(found.rows, tree.revision))
    typer.echo(f"{_read(found.judged)}\n\n{aggregates_text(found.rows)}\n")
    if found.n_left_out:
        typer.echo(f"Boards of fewer than {MIN_NETWORKS} networks, left out: {found.n_left_out}")
    typer.echo(f"Means: {path}")
    if found.refused:
        raise typer.Exit(1)
