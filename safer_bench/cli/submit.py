"""The command that offers a submission on the Hub."""

from pathlib import Path
from typing import Annotated

import typer

from safer_bench.cli.options import Truth, refusal
from safer_bench.dataset.pinned import REPO_ID


def submit(
    folder: Annotated[Path, typer.Argument(help="Folder of a submission.")],
    repo_id: Annotated[str, typer.Option(help="ORG/NAME of the dataset repository that gathers submissions.")] = REPO_ID,
    truth: Truth = None,
) -> None:
    """Check a submission and open a pull request with it on the Hugging Face Hub.

    Example: safer-bench submit submissions/snip --repo-id safer-bench/safer-bench
    """
    from safer_bench.dataset.hub import submitting
    from safer_bench.dataset.tree import load_tree

    with refusal():
        address = submitting.submit(folder, repo_id, load_tree(truth))
    typer.echo(f"{folder}: offered in {address}")
