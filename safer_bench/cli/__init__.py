"""The command line: each command parses, calls one function and prints.

Exit codes: 0 done, 1 the answer is no, 2 bad usage or bad input, 130 interrupted.
"""

import sys

import typer

from safer_bench.cli import budgeting, judging, looking, measuring, packing, sharing, starting
from safer_bench.errors import SaferBenchError

app = typer.Typer(
    name="safer-bench",
    help="Which layers of a trained network are fragile, and which criterion can tell without measuring?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
for part in (starting, looking, measuring, packing, judging, budgeting, sharing):
    for command in part.COMMANDS:
        app.command(name=command.__name__.rstrip("_"))(command)


def main() -> None:
    """Run the command line; an error of the user's side is one message and exit code 2."""
    try:
        app()
    except SaferBenchError as error:
        sys.stderr.write(f"Error: {error}\n")
        raise SystemExit(2) from None
