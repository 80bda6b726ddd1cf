"""The command that fetches a published truth."""

from typing import Annotated

import typer

from safer_bench.dataset.pinned import REPO_ID, REVISION


def pull(
    revision: Annotated[str, typer.Option(help="A tag, a commit or a branch.")] = REVISION,
    repo_id: Annotated[str, typer.Option(help="ORG/NAME of the dataset repository.")] = REPO_ID,
) -> None:
    """Fetch a published truth into the Hugging Face cache and check every file.

    Example: safer-bench pull --repo-id me/safer-bench
    """
    from safer_bench.dataset.hub import pulling

    tree = pulling.pull(repo_id, revision)
    typer.echo(f"{tree.path}: {len(tree.manifest['files'])} files as in the manifest, revision {tree.revision}")
    pinned = (repo_id, revision) == (REPO_ID, REVISION)
    typer.echo(f"Next: safer_bench.load_truth({'' if pinned else repr(str(tree.path))})")
