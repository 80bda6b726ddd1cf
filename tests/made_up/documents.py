"""Blocks of code in the documents, and how their commands are run."""

import os
import re
import shlex
import subprocess
import sys

from tests.conftest import ROOT
from tests.made_up.durability import MAIN

README = (ROOT / "README.md").read_text()


def blocks(language, text=README):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run_line(line, folder):
    """Run a command of a page, of Python or of safer-bench, in a folder; return what it prints."""
    program, *words = shlex.split(line)
    command = [sys.executable, *words] if program == "python" else [sys.executable, "-c", MAIN, *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"{line}\n{ran.stderr}"
    return ran.stdout
