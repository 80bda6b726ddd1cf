"""The command that compares two criteria."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safer_bench.cli.choices import metric_names
from safer_bench.cli.console import Json, print_json, progress, table
from safer_bench.cli.options import Truth, submissions_in, told_refused
from safer_bench.errors import needs_torch
from safer_bench.tables.grouping import grouped

if TYPE_CHECKING:
    from safer_bench.evaluation.comparison import Comparison


def compare(
    first: Annotated[str, typer.Argument(help="Name of a criterion.")],
    second: Annotated[str, typer.Argument(help="Name of the criterion to compare it with.")],
    submissions: Annotated[
        Path | None, typer.Option(help="Folder of submissions, or one of them; by default the truth's own criteria only.")
    ] = None,
    truth: Truth = None,
    metric: Annotated[str, typer.Option(help="One of: safer-bench list metrics", autocompletion=metric_names)] = "spearman",
    out: Annotated[Path | None, typer.Option(help="Plot of the differences, such as compare.png.")] = None,
    as_json: Json = False,
) -> None:
    """Compare two criteria: their paired difference by use case and perturbation.

    Example: safer-bench compare snip l2_norm --out compare.png
    """
    import pyarrow.compute as pc

    from safer_bench.dataset.submissions.gather import gather
    from safer_bench.dataset.tree import load_tree
    from safer_bench.evaluation import comparison
    from safer_bench.evaluation.evaluate import evaluate as evaluate_scores

    tree = load_tree(truth)
    gathered = gather(tree, submissions_in(submissions), strict=False)
    told_refused(gathered.refused)
    scores = gathered.scores
    comparison.check_names(scores["criterion"].unique().to_pylist(), first, second, metric, out)
    compared = scores.filter(pc.field("criterion").isin([first, second]))  # evaluation adds the controls by itself
    with progress() as report:
        report("judging", 0, 0)
        differences = comparison.compare(evaluate_scores(tree, compared), tree, first, second, metric)
    reported = [name for name in (first, second) if name in gathered.reported]
    if as_json:
        rows = [asdict(each) | {"difference": each.difference} for each in differences]
        print_json(
            {"metric": metric, "first": first, "second": second, "reported": reported, "refused": gathered.refused}
            | {"rows": rows, "plot": out}
        )
    else:
        _tell(differences, first, second, metric, reported)
    if out is not None:
        with needs_torch():
            comparison.plot(differences, out, f"{metric}: {first} minus {second}")
        if not as_json:
            typer.echo(f"Plot: {out}")


def _tell(differences: "Sequence[Comparison]", first: str, second: str, metric: str, reported: Sequence[str]) -> None:
    from safer_bench.evaluation.bootstrap import MIN_FAMILIES
    from safer_bench.evaluation.comparison import HEADER, rows

    groups = grouped(differences, key=lambda each: (each.dataset, each.split))
    for group, of_group in sorted(groups.items(), key=lambda item: all(each.interval is None for each in item[1])):
        typer.echo(f"{', '.join(group)}: {metric} of {first} and {second}, mean over families")
        typer.echo(f"{table(HEADER, rows(of_group))}\n")
    for name in reported:
        typer.echo(f"{name}: reported by its author, not computed again from code: the difference ranks nothing.")
    if any(each.interval is None for each in differences):
        typer.echo(f"No interval where there are fewer than {MIN_FAMILIES} families: such a difference ranks nothing.")
    if any(each.interval is not None for each in differences):
        typer.echo("Each interval holds by itself; of twenty, one is expected to miss.")
