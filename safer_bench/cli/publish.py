"""The command that publishes a tree, or a board's page, on the Hugging Face Hub."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safer_bench.cli.console import resumable
from safer_bench.errors import BadInput, HubUnreachable

if TYPE_CHECKING:
    from safer_bench.dataset.hub.publishing import Changes
    from safer_bench.dataset.release import Release


def publish(
    tree: Annotated[Path, typer.Argument(help="Folder of a dataset tree, of the zoo's weights, or of a board (--space).")],
    repo_id: Annotated[str, typer.Option(help="ORG/NAME of the repository; created where it is not there.")],
    tag: Annotated[str | None, typer.Option(help="vX.Y.Z; a tag never moves.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Create the repository as a private one.")] = False,
    into_existing: Annotated[
        bool, typer.Option("--into-existing", help="Replace what a repository holds that publish did not make.")
    ] = False,
    space: Annotated[
        bool, typer.Option("--space", help="Publish the page of a board, such as docs/board, as a static Space.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; list what would change.")] = False,
) -> None:
    """Publish a checked tree, the zoo or a board on the Hugging Face Hub: one commit, one tag; repeat it after a failure.

    Example: safer-bench publish data_cards/safer-bench --repo-id me/safer-bench --tag v1.0.0 --dry-run
    """
    from safer_bench.dataset.hub import publishing
    from safer_bench.dataset.release import read_release
    from safer_bench.dataset.space import read_space

    if not space and (tree / "leaderboard.html").is_file():
        raise BadInput(f"{tree}: a board; it is published as a Space: add --space")
    release = read_space(tree) if space else read_release(tree)
    typer.echo(f"{tree}: {len(release.names)} files in order, for a {release.repo_type} repository")
    if dry_run:
        _show_changes(release, repo_id, tag, into_existing=into_existing)
        return
    with resumable(shlex.join(["safer-bench", *sys.argv[1:]])):
        commit = publishing.publish(release, repo_id, tag, private=private, into_existing=into_existing)
    typer.echo(f"{repo_id}: {f'tag {tag} names' if tag else 'holds'} these files, at commit {commit}")


def _show_changes(release: "Release", repo_id: str, tag: str | None, *, into_existing: bool) -> None:
    from safer_bench.dataset.hub.publishing import Changes, find_changes

    try:
        changes = find_changes(release, repo_id, tag, into_existing=into_existing)
    except HubUnreachable as error:
        typer.echo(f"Not compared with {repo_id}: {error}. All that would be there afterwards:", err=True)
        changes = Changes(None, release.names)
    for line in _change_lines(changes, repo_id, tag):
        typer.echo(line)


def _change_lines(changes: "Changes", repo_id: str, tag: str | None) -> list[str]:
    kinds = {"add": changes.added, "change": changes.changed, "remove": changes.removed}
    lines = [f"{kind} {name}" for kind, names in kinds.items() for name in names]
    if changes.clean:
        lines.append(f"{repo_id} holds these very files")
    if tag:
        lines.append(f"tag {tag} is there and names them" if changes.tagged else f"tag {tag}")
    return [*lines, "Nothing was changed."]
