"""The command that lists what there is."""

from typing import Annotated

import typer

from safer_bench.catalogue import list_entries, not_listed, unread
from safer_bench.cli.choices import EntryKind
from safer_bench.cli.console import Json, print_json
from safer_bench.errors import MissingData
from safer_bench.tables.text import visible


def list_(
    kind: Annotated[EntryKind, typer.Argument(help="What to list.", show_default=False)], as_json: Json = False
) -> None:
    """List the names of all entries of a kind, built in and of installed packages.

    Example: safer-bench list criteria
    """
    names, left_out = list_entries(kind), not_listed(kind)
    if as_json:
        print_json({"kind": kind, "names": names, "left_out": left_out})
    else:
        for name in names:
            typer.echo(visible(name))
        for sentence in left_out:
            typer.echo(f"Left out: {visible(sentence)}", err=True)
    why = unread() if kind in ("networks", "criteria") else None
    if why:
        raise MissingData(why)
