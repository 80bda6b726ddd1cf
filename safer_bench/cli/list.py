"""The command that lists what there is."""

from typing import Annotated

import typer

from safer_bench.catalogue import list_entries
from safer_bench.tables.text import visible


def list_(kind: Annotated[str, typer.Argument(help="networks, perturbations, criteria or metrics")]) -> None:
    """List the names of all entries of a kind.

    Example: safer-bench list criteria
    """
    for name in list_entries(kind):
        typer.echo(visible(name))
