"""The command that lists what there is."""

from typing import Annotated

import typer

from safer_bench.catalogue import list_entries, not_listed, unread
from safer_bench.errors import MissingData
from safer_bench.tables.text import visible


def list_(kind: Annotated[str, typer.Argument(help="networks, perturbations, criteria or metrics")]) -> None:
    """List the names of all entries of a kind, built in and of installed packages.

    Example: safer-bench list criteria
    """
    for name in list_entries(kind):
        typer.echo(visible(name))
    for sentence in not_listed(kind):
        typer.echo(f"Left out: {visible(sentence)}", err=True)
    why = unread() if kind in ("networks", "criteria") else None
    if why:
        raise MissingData(why)
