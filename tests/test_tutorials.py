"""The tutorials and the notebook do what they say, and show what comes out."""

import itertools
import re
import shutil
import sys

import pytest

from tests.conftest import ROOT
from tests.made_up.documents import README
from tests.made_up.pages import cells, compare, fenced, follow, printed

TUTORIALS = ROOT / "docs" / "tutorials"
PAGES = sorted(TUTORIALS.glob("*.md"))
NOTEBOOK = TUTORIALS / "criterion.ipynb"


@pytest.fixture
def copy(cli, tmp_path, monkeypatch):
    """A folder that has what a copy of the repository has: the truth, its board, and a submission."""
    (tmp_path / "data_cards").symlink_to(ROOT / "data_cards")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "board").symlink_to(ROOT / "docs" / "board")
    shutil.copytree(ROOT / "submissions" / "snip", tmp_path / "submissions" / "snip")
    monkeypatch.chdir(tmp_path)  # after the fixture `cli`, which goes to the repository
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("my_network", None)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_does_what_it_says(page, cli, copy):
    follow(page, cli, copy, trained=page.stem == "engineer")


@pytest.mark.long
def test_the_notebook_prints_what_it_shows(copy):
    names = {}
    for text, shown in cells(NOTEBOOK):
        assert printed(text, names) == shown
    assert set(names["scores"]) == {(row["network"], row["layer"]) for row in names["truth"]["layers"].to_pylist()}


def test_there_is_a_tutorial_for_each_role():
    assert [page.stem for page in PAGES] == ["engineer", "maintainer", "researcher"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_tutorial_shows_follows_what_prints(page):
    languages = [language for language, _ in fenced(page.read_text())]
    assert set(languages) == {"python", "sh", "text"}
    for before, after in itertools.pairwise(languages):
        assert after != "text" or before in {"python", "sh"}
    for language, text in fenced(page.read_text()):
        assert language != "python" or compile(text, page.name, "exec")


def test_what_is_shown_is_compared_line_by_line_but_for_what_is_cut():
    compare("one\n...\nfour\n", "one\ntwo\nthree\nfour\n")
    compare("two 3.5 (-1 to 2)\n", "two 3.25  (-1.5 to 2)\n", trained=True)
    for shown, came in (("one\nthree\n", "one\ntwo\nthree\n"), ("two 3.5\n", "two 3.25\n"), ("one\n...\n", "two\n")):
        with pytest.raises(AssertionError, match=re.escape(f"the page shows\n{shown}\n")):
            compare(shown, came)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_readmes_criterion_stands_where_the_readme_says(cli, copy):
    """Its section is followed word by word, on all networks of the truth."""
    section = re.search(r"^## Rank layers by a criterion of your own\n.*?(?=^## )", README, re.MULTILINE | re.DOTALL)[0]
    (copy / "section.md").write_text(section)
    assert [language for language, _ in fenced(section)] == ["python", "sh", "text"]
    follow(copy / "section.md", cli, copy)
