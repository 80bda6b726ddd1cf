"""The page on folding shows what its commands find: integers, so that every machine finds the same."""

import re

import pytest

from tests.conftest import ROOT
from tests.made_up.documents import blocks, run_line

PAGE = (ROOT / "docs" / "folding.md").read_text()


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_its_commands_find_the_table_that_it_shows(tmp_path):
    for text in blocks("python", PAGE):
        (tmp_path / re.match(r"# (\w+\.py)\n", text)[1]).write_text(text)
    *_, commands = blocks("sh", PAGE)
    found = [run_line(line, tmp_path) for line in commands.splitlines()]
    assert found[-1].count("\n") == 16
    assert found[-1] in PAGE
