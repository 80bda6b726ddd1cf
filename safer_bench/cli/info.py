"""The command that shows what is known of an entry."""

from typing import Annotated

import typer

from safer_bench.catalogue import describe
from safer_bench.cli.choices import entry_names
from safer_bench.cli.console import Json, print_json
from safer_bench.tables.text import visible


def info(
    name: Annotated[
        str, typer.Argument(help="Name of a network, perturbation, criterion or metric.", autocompletion=entry_names)
    ],
    as_json: Json = False,
) -> None:
    """Show what is known of an entry.

    Example: safer-bench info quantize
    """
    facts = describe(name)
    if as_json:
        print_json(facts)
        return
    width = max(map(len, facts))
    for key, value in facts.items():
        typer.echo(f"{visible(key):<{width}}  {visible(str(value))}")
