"""What typer does not do by itself: commands of two words, help in groups, every missing option named, -q everywhere."""

import inspect
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from safer_bench.cli.console import set_quiet

ENVIRONMENT = (
    ("SAFER_BENCH_DATA", "Folder of the images and texts that networks of the zoo are measured on."),
    ("SAFER_BENCH_ZOO", "Folder of the weights of these networks."),
    ("HF_HOME", "Folder of the Hugging Face cache, where pull puts the truth."),
    ("HF_HUB_OFFLINE", "1: ask the Hub for nothing."),
    ("HF_TOKEN", "Token of the Hub, for publish and submit."),
    ("RAY_ADDRESS", "The cluster of measure --executor ray; without it a local one is started."),
    ("OMP_NUM_THREADS", "Threads of each process that measures or scores."),
    ("NO_COLOR", "Any value: no colours."),
)


class Group(TyperGroup):
    """Finds a command by one word or by two: ``plan`` takes arguments of its own, and ``plan export`` is another.

    Its help lists the commands by their ``rich_help_panel``, and then the environment variables.
    """

    def resolve_command(self, ctx: Any, args: Any) -> Any:  # typer carries a click of its own, whose types are private
        """Return the name of the command, the command and its arguments.

        Raises:
            UsageError: there is no such command, or none of these two words.
        """
        first, second = (*args, "")[:2]
        two = f"{first} {second}"
        kin = [name for name in self.commands if name.startswith(f"{first} ")]
        if kin and two not in kin and second.isidentifier() and not Path(second).exists():
            ctx.fail(f"No such command '{two}', and no file or folder '{second}'; there is {', '.join((first, *kin))}.")
        return super().resolve_command(ctx, [two, *args[2:]] if two in kin else args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  their signature
        """Write the commands by group, and the environment variables."""
        width = max(map(len, self.commands))
        limit = formatter.width - 6 - width
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            text = command.get_short_help_str(limit)
            panels.setdefault(getattr(command, "rich_help_panel", None) or "Commands", []).append((name.ljust(width), text))
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl(rows)
        with formatter.section("Environment variables"):
            formatter.write_dl(ENVIRONMENT)


class Command(TyperCommand):
    """A command that names all the options and arguments that are missing, and not only the first."""

    def parse_args(self, ctx: Any, args: Any) -> Any:
        """Read the arguments of the command line.

        Raises:
            UsageError: they are wrong; where several are missing, it names each.
        """
        words = list(args)  # they are used up
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = _choices_told(error.message)
            given, _, _ = self.make_parser(ctx).parse_args(args=words)
            missing = [each for each in self.get_params(ctx) if each.required and not given.get(str(each.name))]
            if len(missing) < 2 or error.param not in missing:
                raise
            ctx.fail(f"Missing {' and '.join(map(_shown, missing))}.")


def _choices_told(message: str) -> str:
    """Return the refusal of a choice with what comes near, and without the words of the library that checks it."""
    from safer_bench.registry import suggestion  # here, as the help can do without

    plain = message.removeprefix("Value error, ")
    said, told, choices = plain.partition(" is not one of ")
    return plain + suggestion(said.strip("'"), re.findall(r"'([^']+)'", choices)) if told else plain


def _shown(parameter: Any) -> str:
    return max(parameter.opts, key=len) if parameter.param_type_name == "option" else str(parameter.name)


def with_quiet(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the option ``-q``."""
    signature = inspect.signature(command)
    quiet = inspect.Parameter(
        "quiet",
        inspect.Parameter.KEYWORD_ONLY,
        default=False,
        annotation=Annotated[
            bool, typer.Option("--quiet", "-q", help="No progress and no notes; results, refusals and errors stay.")
        ],
    )

    @wraps(command)
    def told(*, quiet: bool, **given: Any) -> None:
        set_quiet(quiet=quiet)
        command(**given)

    told.__signature__ = signature.replace(parameters=[*signature.parameters.values(), quiet])  # type: ignore[attr-defined]
    return told
