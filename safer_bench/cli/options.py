"""What several commands take and ask: the truth, folders of submissions, perturbations; and how they refuse."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safer_bench.errors import BadInput

if TYPE_CHECKING:
    from safer_bench.dataset.tree import Tree

Truth = Annotated[Path | None, typer.Option(help="Folder of the dataset tree; by default the truth at hand.")]


def perturbation_specs(tree: "Tree") -> list[str]:
    """Return the perturbations of a truth, each ``NAME:LEVEL,...`` with the levels that were measured."""
    measured = tree["perturbations"].to_pylist()
    return [f"{row['perturbation']}:{','.join(map(repr, row['levels']))}" for row in measured]


@contextmanager
def refusal() -> Iterator[None]:
    """Turn what is wrong with a submission into a message and exit code 1."""
    from safer_bench.dataset.submissions.submission import BadSubmission

    try:
        yield
    except BadSubmission as error:
        typer.echo(f"Refused: {error}", err=True)
        raise typer.Exit(1) from None


def submissions_in(root: Path | None) -> list[Path]:
    """Return the folders of the submissions asked for; none where no folder was.

    Raises:
        BadInput: there is no such folder, or no submission in it.
    """
    from safer_bench.dataset.submissions.gather import submission_folders

    found = submission_folders(root) if root else []
    if root and not found:
        raise BadInput(
            f"{root}: holds no submission; expected submissions/NAME with submission.yaml and scores, which `safer-bench "
            f"score CRITERION --out {root}/NAME` writes; without a folder the truth's own criteria are judged"
        )
    return found
