"""The page on networks of one's own says what is so: its files and commands are run one after the other."""

import re

import pytest

from tests.conftest import ROOT
from tests.made_up.documents import blocks, run_line

PAGE = (ROOT / "docs" / "networks.md").read_text()
RUN = PAGE.partition("What is below was run as it stands here")[2]


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_every_example_runs_as_the_page_shows_it(tmp_path):
    """Weights are trained on the spot and differ between machines: of what is shown the first line is compared by its words."""
    for text in blocks("python", RUN):
        (tmp_path / re.match(r"# (\w+\.py)\n", text)[1]).write_text(text)
    shown = re.findall(r"^```sh\n(.*?)^```\n\n```text\n(.*?)^```", RUN, re.MULTILINE | re.DOTALL)
    assert len(shown) == len(blocks("sh", RUN)) == 5
    for commands, expected in shown:
        out = "".join(run_line(line, tmp_path) for line in commands.splitlines())
        assert words(out) == words(expected)


def words(text):
    return re.findall(r"\b[A-Za-z]{2,}\b", text.strip().splitlines()[0])


def test_the_files_of_the_page_name_themselves():
    for text in blocks("python", RUN):
        assert re.match(r"# (\w+\.py)\n", text)
        compile(text, "page", "exec")
