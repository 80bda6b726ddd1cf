"""The command that writes a plan as another tool reads it."""

from pathlib import Path
from typing import Annotated

import typer

from safer_bench.cli.choices import Tool
from safer_bench.cli.console import note


def plan_export(
    plan: Annotated[Path, typer.Argument(help="A plan.json of `safer-bench plan`.")],
    to: Annotated[Tool, typer.Option(help="The tool that is to read it.")],
    out: Annotated[Path | None, typer.Option(help="File to write; standard output where none is named.")] = None,
) -> None:
    """Write a plan as another tool reads it; what that tool cannot express is named on standard error.

    Example: safer-bench plan export plans/plan.json --to torchao --out plans/torchao.json
    """
    from safer_bench.budget.plans.exports.exporter import export
    from safer_bench.budget.plans.exports.loading import exporter_called
    from safer_bench.budget.plans.plan import read_plan
    from safer_bench.tables.files import write_text

    exported = export(read_plan(plan), exporter_called(to))
    for each in exported.notes:
        note(f"Note: {each}")
    if out is None:
        typer.echo(exported.text, nl=False)
        return
    write_text(out, exported.text)
    typer.echo(f"{out}: for {to}")
