"""The command that ranks criteria against the truth."""

from pathlib import Path
from typing import Annotated

import typer

from safer_bench.cli.console import board_text
from safer_bench.cli.options import Truth, submissions_in, told_refused


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
    from safer_bench.dataset.submissions.gather import gather, read_budgets
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
    taken = [str(folder) for folder in folders if folder not in gathered.refused]
    read = f"{len(taken)} read: {', '.join(taken)}" if folders else "none; the truth's own criteria alone"
    typer.echo(f"Submissions: {read}\n")
    for board in page.boards:
        typer.echo(f"{board_text(board)}\n")
    typer.echo(f"Leaderboard: {path}")
    if gathered.refused:
        raise typer.Exit(1)
