"""The site leaves nothing out: every page, public name, command, option, table and column; links lead somewhere."""

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt
from typer.main import get_command

import safer_bench
from docs import cli, entries, tables
from safer_bench.cli import app
from safer_bench.dataset.pinned import REPO_ID
from safer_bench.links import LINKS
from safer_bench.tables.columns import TABLES
from tests.conftest import ROOT

DOCS = ROOT / "docs"
COMMANDS = get_command(app).commands
CONFIG = yaml.load((ROOT / "mkdocs.yml").read_text(), yaml.BaseLoader)
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


@pytest.mark.parametrize("module", [cli, entries, tables], ids=lambda module: module.__name__)
def test_a_page_made_from_the_code_is_what_the_code_makes(module):
    assert Path(module.__file__).with_suffix(".md").read_text() == module.render(), "make docs"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_of_commands_has_every_argument_and_option(name):
    page = (DOCS / "cli.md").read_text()
    section = re.search(rf"^## `safer-bench {name}`\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)[1]
    told = [line.partition("`: ")[0].lower() for line in section.splitlines() if line.startswith("* `")]
    for parameter in COMMANDS[name].params:
        for option in parameter.opts if parameter.param_type_name == "option" else [parameter.metavar or parameter.name]:
            assert any(re.search(rf"(?<![\w-]){option.lower()}(?![\w-])", line) for line in told), option


@pytest.mark.parametrize("name", TABLES)
def test_the_page_of_tables_has_every_column_with_unit_and_meaning(name):
    page = (DOCS / "tables.md").read_text()
    rows = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)[1].splitlines()
    for field in TABLES[name]:
        row = next(row for row in rows if row.startswith(f"| `{field.name}` |"))
        assert all(value.decode() in row for value in field.metadata.values()), row


def test_the_page_of_python_has_every_public_name_and_no_other():
    page = (DOCS / "api.md").read_text()
    shown = dict(re.findall(r"^::: (\S+)\n    options: \{ heading: (.*) \}$", page, re.MULTILINE))
    public = {path: title.removeprefix("sb.") for path, title in shown.items() if title.startswith("sb.")}
    assert len(shown) == page.count("\n::: ")
    assert sorted(public.values()) == sorted(safer_bench.__all__)
    for path, name in public.items():
        assert named(path) is getattr(safer_bench, name)


def named(path):
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError:
        module, _, name = path.rpartition(".")
        return getattr(importlib.import_module(module), name)


def test_every_page_is_in_the_navigation_once():
    assert sorted(page for page in leaves(CONFIG["nav"]) if page.endswith(".md")) == PAGES


def leaves(entry):
    if isinstance(entry, str):
        return [entry]
    return [page for each in (entry.values() if isinstance(entry, dict) else entry) for page in leaves(each)]


@pytest.mark.parametrize("page", [*(f"docs/{page}" for page in PAGES), "README.md", "CONTRIBUTING.md"])
def test_every_link_leads_to_a_file(page):
    for link in links((ROOT / page).read_text()):
        path, _, anchor = link.partition("#")
        assert "://" in link or not path or ((ROOT / page).parent / path).exists(), link
        assert path or anchor


def links(text):
    tokens = [child for token in MarkdownIt().enable("table").parse(text) for child in token.children or ()]
    return [token.attrs[key] for token in tokens for key in ("href", "src") if key in token.attrs]


def test_the_project_has_one_address():
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert urls["Repository"] == CONFIG["repo_url"] == citation["repository-code"]
    assert urls["Documentation"] == CONFIG["site_url"] == citation["url"]
    assert {name: urls[name] for name in LINKS} == LINKS
    assert LINKS["Dataset"].endswith(f"/datasets/{REPO_ID}")
    board = urls["Leaderboard"].removeprefix(urls["Documentation"])
    assert (DOCS / board).is_file()


@pytest.mark.long
def test_the_site_builds_and_asks_nothing_of_other_servers(tmp_path):
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    ran = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "board" / "leaderboard.html").read_bytes() == (DOCS / "board" / "leaderboard.html").read_bytes()
    pages = sorted(tmp_path.rglob("index.html"))
    assert len(pages) == len(PAGES)
    for page in pages:
        assert re.findall(r"<(?:script|img|link rel=.stylesheet.)[^>]*(?:src|href)=.(?:https?:)?//", page.read_text()) == []
    signatures = (tmp_path / "api" / "index.html").read_text()
    for name in ("spearman", "load_truth", "Raises"):
        assert name in signatures
