"""The command line: each command parses, calls one function and prints.

Exit codes: 0 done, 1 the answer is no, 2 bad usage or bad input, 130 interrupted.

Light: never imports torch.
"""

import errno
import sys
from typing import Annotated

import typer

from safer_bench import __version__
from safer_bench.cli.budget import budget
from safer_bench.cli.check import check
from safer_bench.cli.compare import compare
from safer_bench.cli.demo import demo
from safer_bench.cli.evaluate import evaluate
from safer_bench.cli.info import info
from safer_bench.cli.list import list_
from safer_bench.cli.measure import measure
from safer_bench.cli.pack import pack
from safer_bench.cli.plan import plan
from safer_bench.cli.plan_export import plan_export
from safer_bench.cli.publish import publish
from safer_bench.cli.pull import pull
from safer_bench.cli.score import score
from safer_bench.cli.shape import Command, Group, with_quiet
from safer_bench.cli.submit import submit
from safer_bench.cli.train import train
from safer_bench.cli.verify import verify
from safer_bench.errors import SaferBenchError

COMMANDS = {  # by the groups of the help, in its order
    "Look around": (demo, list_, info),
    "Measure the truth": (train, measure, pack, verify),
    "Judge criteria": (score, check, evaluate, compare),
    "Spend a budget": (budget, plan, plan_export),
    "Share on the Hugging Face Hub": (publish, pull, submit),
}

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)  # no space, no quota, no larger file, nothing but reading


app = typer.Typer(
    cls=Group,
    name="safer-bench",
    help="Which layers of a trained network are fragile, and which criterion can tell without measuring?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for panel, commands in COMMANDS.items():
    for command in commands:
        name = command.__name__.rstrip("_").replace("_", " ")
        app.command(name=name, cls=Command, rich_help_panel=panel)(with_quiet(command))


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"safer-bench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take what comes before the command."""


def main() -> None:
    """Run the command line; an error of the user's side is one message and exit code 2."""
    try:
        app()
    except SaferBenchError as error:
        sys.stderr.write(f"Error: {error}\n")
        raise SystemExit(2) from None
    except Exception as error:
        full = _full_disk(error)
        if full is None:
            raise
        from safer_bench.tables.files import unwritable

        sys.stderr.write(f"Error: {unwritable(full.filename or 'the output, or a temporary or cached file', full)}\n")
        raise SystemExit(2) from None


def _full_disk(error: BaseException | None) -> OSError | None:
    """Return the refusal behind the error of a library that writes, such as into the Hub's cache; our own files tell it."""
    while error is not None and not (isinstance(error, OSError) and _is_full(error)):
        error = error.__cause__ or error.__context__
    return error


def _is_full(error: OSError) -> bool:
    """Tell a full disk, also as Python's tempfile tells it where no folder for temporary files takes any."""
    return error.errno in FULL or "No usable temporary directory" in str(error)
