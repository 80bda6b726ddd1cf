"""The command that checks a tree, and measures rows of it again."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from safer_bench.cli.console import progress
from safer_bench.cli.options import OWN_NETWORK_HELP, NetworkOptions, with_network_options
from safer_bench.errors import needs_torch

if TYPE_CHECKING:
    from safer_bench.dataset.tree import Tree


@with_network_options
def verify(
    tree: Annotated[Path | None, typer.Argument(help="Folder of the dataset tree; by default the truth at hand.")] = None,
    rows: Annotated[int, typer.Option(min=0, help="Rows to measure again; 0 for files and sums alone.")] = 20,
    dataset: Annotated[str | None, typer.Option(help="Only this dataset; an error where its images are absent.")] = None,
    seed: Annotated[int, typer.Option(help="Random seed that picks the rows.")] = 0,
    network: Annotated[
        list[str] | None, typer.Option(help=f"Network of the tree that is not of the zoo: {OWN_NETWORK_HELP}; repeatable.")
    ] = None,
    perturbation: Annotated[
        list[str] | None, typer.Option(help="FILE.py:FUNC of a perturbation that is not built in; repeatable.")
    ] = None,
    *,
    network_options: NetworkOptions,
) -> None:
    """Check a tree against its manifest and measure rows again, integer for integer.

    Example: safer-bench verify data_cards/safer-bench --rows 20
    """
    from safer_bench.dataset.tree import load_tree
    from safer_bench.dataset.verify import choose_rows, problems

    truth = load_tree(tree)
    wrong = list(problems(truth))
    for problem in wrong:
        typer.echo(problem)
    if wrong:
        raise typer.Exit(1)
    typer.echo(f"{truth.path}: {len(truth.manifest['files'])} files as in the manifest, schema and sums in order")
    if rows:
        drawn = choose_rows(truth["layer_drops"], rows, seed, dataset)
        _remeasure(truth, drawn, network or [], perturbation or [], network_options, is_named=bool(dataset))


def _remeasure(
    tree: "Tree",
    chosen: list[dict[str, Any]],
    networks: list[str],
    perturbations: list[str],
    options: NetworkOptions,
    *,
    is_named: bool,
) -> None:
    """Measure chosen rows again; ``is_named``: those of a dataset that was asked for by name, which has to be here."""
    with needs_torch():
        from safer_bench.measurement.answers.tuning import tune_allocator
        from safer_bench.measurement.remeasure import remeasure
        from safer_bench.perturbations.loading import parse_perturbation
    from safer_bench.dataset.verify import row_name

    tune_allocator()
    own = options.load(networks), [parse_perturbation(spec)[0] for spec in perturbations]
    facts = {row["network"]: row for row in tree["networks"].to_pylist()}
    outcomes: Counter[str] = Counter()
    with progress() as report:
        for verdict in remeasure(chosen, facts, tree.manifest["seed"], *own, device=options.device):
            outcomes[verdict.outcome] += 1
            report(row_name(verdict.row), outcomes.total(), len(chosen))
            if verdict.outcome != "equal" and (verdict.outcome != "absent" or outcomes["absent"] == 1):
                typer.echo(f"{row_name(verdict.row)}: {verdict.outcome}: {verdict.detail}")
    n_absent = outcomes["absent"]
    if n_absent:
        typer.echo(
            f"{n_absent} of {len(chosen)} rows were not measured again: their images, weights or perturbation are not here"
        )
    typer.echo(f"{outcomes['equal']} of {len(chosen) - n_absent} rows equal")
    if n_absent and (is_named or n_absent == len(chosen)):
        raise typer.Exit(2)
    if outcomes["equal"] < len(chosen) - n_absent:
        raise typer.Exit(1)
