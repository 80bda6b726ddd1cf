"""Commands that show what there is: list and info."""

from typing import Annotated

import typer

from safer_bench.catalogue import describe, list_entries


def list_(kind: Annotated[str, typer.Argument(help="networks, perturbations, criteria or metrics")]) -> None:
    """List the names of all entries of a kind.

    Example: safer-bench list criteria
    """
    for name in list_entries(kind):
        typer.echo(name)


def info(name: Annotated[str, typer.Argument(help="Name of a network, perturbation, criterion or metric.")]) -> None:
    """Show what is known of an entry.

    Example: safer-bench info quantize
    """
    facts = describe(name)
    width = max(map(len, facts))
    for key, value in facts.items():
        typer.echo(f"{key:<{width}}  {value}")


COMMANDS = (list_, info)
