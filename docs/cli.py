"""The page of the command line, made from its commands: ``python -m docs.cli``."""

import re
from pathlib import Path

import typer
from typer.cli import get_docs_for_click

from docs.markdown import table
from safer_bench.cli import app

NAME = "safer-bench"
INTRODUCTION = f"""\
# Command line

`make docs` makes this page from the commands. `{NAME} COMMAND --help` shows the same in a terminal.

Commands end with 0 when they are done and with 1 when the answer is no. They end with 2 after bad usage or bad input, and
with 130 when they are interrupted.
"""


def render() -> str:
    """Return the page, Markdown."""
    group = typer.main.get_command(app)
    context = typer.Context(group, info_name=NAME)
    commands = [group.get_command(context, name) for name in group.list_commands(context)]
    overview = table(("command", "what it does"), [(_link(each.name), each.help.partition("\n")[0]) for each in commands])
    options = "".join(f"- `{option}`: {said}\n" for option, said in _records(group, context))
    sections = [get_docs_for_click(obj=each, ctx=context, indent=1, call_prefix=NAME) for each in commands]
    told = "\n\n".join(map(str.rstrip, [f"Options of `{NAME}` itself:\n\n{options}", *sections]))
    return "\n".join([INTRODUCTION, overview, *map(_plain, told.splitlines()), ""])


def _plain(line: str) -> str:
    """Return a line whose brackets are no links, but for a command shown in full and what stands in backquotes."""
    if line.startswith("$ "):
        return line
    return re.sub(r"`[^`]*`|\[", lambda found: "\\[" if found[0] == "[" else found[0], line)


def _link(name: str) -> str:
    return f"[`{name}`](#{NAME}-{name.replace(' ', '-')})"


def _records(group: typer.core.TyperGroup, context: typer.Context) -> list[tuple[str, str]]:
    return [record for parameter in group.get_params(context) if (record := parameter.get_help_record(context))]


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(render(), encoding="utf-8")
