"""The command from measurements to a dataset tree."""

from pathlib import Path
from typing import Annotated

import typer

from safer_bench.tables.text import number_of


def pack(
    out: Annotated[Path, typer.Option(help="Folder of the dataset tree.")],
    runs: Annotated[list[Path] | None, typer.Argument(help="Finished run folders.")] = None,
    scores: Annotated[list[Path] | None, typer.Option(help="Folder written by `score`; repeat for more.")] = None,
    base: Annotated[
        Path | None,
        typer.Option(help="Earlier dataset tree: its networks that no run measured anew are taken over, with scores."),
    ] = None,
    data_version: Annotated[
        str | None, typer.Option(help="X.Y.Z, where the tree is a release: its documents and its tag on the Hub state it.")
    ] = None,
) -> None:
    """Write a dataset tree from run folders and scores, and what it takes over of an earlier tree.

    Example: safer-bench pack runs/mlp --scores runs/scores --out data_cards/mine
    """
    from safer_bench.dataset.pack import pack as write
    from safer_bench.dataset.tree import load_tree

    write(runs or [], scores or [], out, data_version, base)
    tree = load_tree(out)
    typer.echo(f"{out}: {number_of(tree['layer_drops'].num_rows, 'measurement')}, revision {tree.revision}")
