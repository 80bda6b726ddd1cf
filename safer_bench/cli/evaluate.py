"""The command that ranks criteria against the truth, or tells means of one that stays secret."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from safer_bench.cli.board_text import aggregates_text, excerpt_text, place_text
from safer_bench.cli.choices import Split
from safer_bench.cli.console import Json, print_json, progress
from safer_bench.cli.options import Minutes, Truth, perturbation_specs, submissions_in, told_refused
from safer_bench.errors import BadInput, needs_torch
from safer_bench.tables.grouping import grouped
from safer_bench.tables.text import visible

if TYPE_CHECKING:
    from safer_bench.dataset.submissions.gather import Gathered
    from safer_bench.evaluation.board import Board
    from safer_bench.evaluation.place import Place


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
    split: Annotated[
        Split | None,
        typer.Option(help="Print boards of this split alone, such as validation to design by; the files hold all."),
    ] = None,
    minutes: Minutes = 60,
    as_json: Json = False,
) -> None:
    """Rank submissions and the truth's own criteria against the truth; say where the submissions stand.

    Example: safer-bench evaluate submissions --out board

    With a truth that stays secret: safer-bench evaluate submissions --held-out TREE --network nets.py:deep --out board
    """
    if held_out is None:
        if network:
            raise BadInput("--network names what builds a network of a held-out tree; give --held-out TREE too")
        _evaluate(out, submissions, truth, budget, split, as_json=as_json)
        return
    if truth is not None or budget is not None:
        raise BadInput("--held-out names the truth, and budgets are of a published one; leave out --truth and --budget")
    if split is not None:
        raise BadInput("--held-out prints means of all its networks; leave out --split")
    _evaluate_held_out(out, submissions, held_out, network or (), minutes, as_json=as_json)


def _evaluate(
    out: Path, submissions: Path | None, truth: Path | None, budget: Path | None, split: str | None, *, as_json: bool
) -> None:
    from safer_bench.dataset.budgets import read_budgets
    from safer_bench.dataset.contents import network_revisions
    from safer_bench.dataset.submissions.gather import gather
    from safer_bench.dataset.tree import load_tree
    from safer_bench.evaluation.boards import boards
    from safer_bench.evaluation.evaluate import evaluate as evaluate_scores
    from safer_bench.evaluation.leaderboard.page import Extras, make_page
    from safer_bench.evaluation.leaderboard.write import write_page
    from safer_bench.evaluation.place import places

    tree = load_tree(truth)
    folders = submissions_in(submissions)
    gathered = gather(tree, folders, strict=False)
    told_refused(gathered.refused)
    if len(gathered.refused) == len(folders) > 0:
        if as_json:
            print_json({"submissions": {}, "refused": gathered.refused, "places": [], "boards": [], "leaderboard": None})
        raise typer.Exit(1)
    spent = read_budgets(budget, network_revisions(tree["layer_drops"])) if budget else None
    with progress() as report:
        report("judging", 0, 0)
        results = evaluate_scores(tree, gathered.scores)
        report("making the page", 0, 0)
        page = make_page(results, tree, Extras(gathered.scores, gathered.costs, gathered.marks, spent))
        path = write_page(out, results, page)
    own = list(dict.fromkeys(name for names in gathered.submitted.values() for name in names))
    reported = [name for name in own if name in gathered.reported]
    found = places(page.boards, [name for name in own if name not in reported])
    if reported:  # where they would stand if they were computed again; that moves nobody else
        found = sorted([*found, *places(boards(results, tree), reported)], key=lambda place: own.index(place.criterion))
    shown = [board for board in page.boards if split in (None, board.split)]
    found = [place for place in found if split in (None, place.split)]
    if as_json:
        print_json(_as_json(gathered, found, shown, path))
    else:
        _tell(gathered, found, shown, path)
    if gathered.refused:
        raise typer.Exit(1)


def _as_json(gathered: "Gathered", found: "Sequence[Place]", shown: "Sequence[Board]", path: Path) -> dict[str, Any]:
    boards = [
        {"dataset": board.dataset, "split": board.split, "networks": list(board.families), "note": board.note}
        | {"rows": [asdict(row) for row in board.rows]}
        for board in shown
    ]
    return {
        "submissions": gathered.submitted,
        "refused": gathered.refused,
        "places": [asdict(each) | {"mark": gathered.marks[each.criterion]} for each in found],
        "boards": boards,
        "leaderboard": path,
    }


def _tell(gathered: "Gathered", found: "Sequence[Place]", shown: "Sequence[Board]", path: Path) -> None:
    """Print where the submitted criteria stand, then an excerpt of each board; those with intervals come first."""
    typer.echo(f"{_read(list(gathered.submitted))}\n")
    for name, of_name in grouped(found, key=lambda each: each.criterion).items():
        main = [each for each in of_name if each.interval] or of_name
        typer.echo(f"{visible(name)} ({gathered.marks[name]})")
        typer.echo("\n".join(place_text(each, in_full=each in main) for each in of_name) + "\n")
    own = {each.criterion for each in found}
    if own & gathered.reported:
        typer.echo(
            "Reported scores stand above as they would if they were computed again. The page shows them unranked until "
            "`safer-bench check FOLDER --recompute` has done so.\n",
            err=True,
        )
    for board in sorted(shown, key=lambda board: not board.has_intervals):
        typer.echo(f"{excerpt_text(board, own)}\n")
    typer.echo(f"All boards, whole: {path.with_suffix('.md')}, {path.with_suffix('.csv')}\nLeaderboard: {path}")


def _read(folders: Sequence[Path]) -> str:
    taken = f"{len(folders)} read: {', '.join(map(str, folders))}" if folders else "none; the truth's own criteria alone"
    return f"Submissions: {taken}"


def _evaluate_held_out(
    out: Path, submissions: Path | None, held_out: Path, networks: Sequence[str], minutes: int, *, as_json: bool
) -> None:
    with needs_torch():
        from safer_bench.measurement.answers.tuning import tune_allocator
        from safer_bench.perturbations.loading import parse_perturbation
        from safer_bench.scoring.by_code import Guard
        from safer_bench.scoring.held_out import judge_held_out
    from safer_bench.dataset.submissions.sandbox import Limits
    from safer_bench.dataset.tree import load_tree
    from safer_bench.evaluation.held_out_means import MIN_NETWORKS, csv_text
    from safer_bench.tables import files

    files.check_writable(out)
    tune_allocator()
    tree = load_tree(held_out)
    levels = [parse_perturbation(spec) for spec in perturbation_specs(tree)]
    folders = submissions_in(submissions)
    with progress() as report:
        found = judge_held_out(tree, networks, folders, levels, Guard(limits=Limits(60 * minutes)), report)
    for folder in found.without:
        typer.echo(f"{folder}: left out, as it brings no code", err=as_json)
    told_refused(found.refused)
    if len(folders) > len(found.judged) == 0:
        if as_json:
            print_json({"submissions": [], "refused": found.refused, "means": [], "csv": None})
        raise typer.Exit(1)
    path = out / "held_out.csv"
    files.write_text(path, csv_text(found.rows, tree.revision))
    if as_json:
        print_json(
            {"submissions": found.judged, "refused": found.refused, "means": list(map(asdict, found.rows)), "csv": path}
        )
    else:
        typer.echo(f"{_read(found.judged)}\n\n{aggregates_text(found.rows)}\n")
        if found.n_left_out:
            typer.echo(f"Boards of fewer than {MIN_NETWORKS} networks, left out: {found.n_left_out}")
        typer.echo(f"Means: {path}")
    if found.refused:
        raise typer.Exit(1)
