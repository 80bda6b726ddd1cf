"""A page that is followed: its files are written, its commands and snippets run, and what it shows is compared."""

import contextlib
import io
import json
import re
import shlex

from markdown_it import MarkdownIt

FILE = re.compile(r"# (\w+\.py)\n")
CUT = "..."
NUMBER = re.compile(r"\d[\d.]*")


def fenced(text):
    """Return the blocks of a page in order: (language, text)."""
    return [(token.info, token.content) for token in MarkdownIt().parse(text) if token.type == "fence"]


def follow(page, cli, folder, trained=False):
    """Do in a folder what a page says, block by block.

    A snippet of Python whose first line is a comment with a file's name is written there; others run in one namespace.
    Where weights are trained on the spot, they differ between machines: of what is shown no number is compared.
    """
    names, out = {}, None
    for language, text in fenced(page.read_text()):
        if language == "python" and (file := FILE.match(text)):
            (folder / file[1]).write_text(text)
        elif language == "python":
            out = printed(text, names)
        elif language == "sh":
            out = "".join(command(line, cli) for line in text.splitlines())
        elif language == "text":
            assert out is not None, f"{page.name} shows what nothing printed"
            compare(text, out, trained)


def command(line, cli):
    program, *words = shlex.split(line, comments=True)
    assert program == "safer-bench", line
    found = cli(*words)
    assert found.code == 0, f"{line}\n{found.err}"
    return found.out


def printed(text, names):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(text, names)
    return out.getvalue()


def compare(shown, out, trained=False):
    """Compare line by line; a line of three points stands for any number of lines. Columns may differ in width if trained."""
    expected, found = (_words(text) if trained else text for text in (shown, out))
    pattern = "".join(r"(?:.*\n)*?" if line == CUT else re.escape(line) + r"\n" for line in expected.splitlines())
    assert re.fullmatch(pattern, found), f"the page shows\n{shown}\nwhat came is\n{out}"


def _words(text):
    return re.sub("[ -]+", " ", NUMBER.sub("#", text))


def cells(path):
    """Return the cells of code of a notebook: (text, what it printed)."""
    return [
        ("".join(cell["source"]), "".join(text for output in cell["outputs"] for text in output["text"]))
        for cell in json.loads(path.read_text())["cells"]
        if cell["cell_type"] == "code"
    ]
