"""The documents say what is so: commands exist, snippets run, the demo's output is the demo's."""

import re
import shlex
import tomllib

from typer.main import get_command

import safer_bench
from safer_bench.cli import app
from safer_bench.dataset.card import render_card
from safer_bench.dataset.tree import load_tree
from safer_bench.measurement.describe import perturbation_row
from safer_bench.perturbations import perturbations
from safer_bench.reference import render
from safer_bench.zoo import zoo_networks
from tests.conftest import COMMITTED, ROOT

README = (ROOT / "README.md").read_text()
COMMANDS = get_command(app).commands


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_readme_stays_short():
    assert len(README.splitlines()) < 150


def test_every_command_in_the_readme_exists_with_its_options():
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("safer-bench ")]
    assert len(lines) >= 7
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        known = {option for parameter in COMMANDS[words[0]].params for option in parameter.opts}
        assert {word for word in words[1:] if word.startswith("--")} <= known, line


def test_the_makefile_has_what_the_readme_names():
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"\bmake ([a-z-]+)", README + (ROOT / "CONTRIBUTING.md").read_text())
    assert {"demo", "test", "lint"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_snippets_that_load_the_truth_run(monkeypatch, capsys, tmp_path):
    """Those of the section on loading; the others are a user's own files, run in the tests of the command line."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path))
    names: dict[str, object] = {}
    for block in blocks("python")[:2]:
        exec(block, names)
    assert names["sensitivity"].num_rows > 0
    assert names["cells"].num_rows > 0
    assert re.match(r"[a-z_0-9]+ \S+ \w+ [\d.]+ \d+ \d+ \d+\n", capsys.readouterr().out)


def test_the_readmes_own_criterion_scores(tmp_path):
    (tmp_path / "mine.py").write_text(blocks("python")[2])
    found = safer_bench.score(f"{tmp_path / 'mine.py'}:largest_weight", safer_bench.load_network("digits_mlp"))
    assert len(found) == 10


def test_versions_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == safer_bench.__version__
    assert f"version: {safer_bench.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"## {safer_bench.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_committed_card_is_the_one_its_tables_render():
    tree = load_tree(COMMITTED)
    assert render_card(tree, tree.manifest["contents"]) == (COMMITTED / "README.md").read_text()


def test_the_committed_truth_is_of_built_in_perturbations_as_they_are_defined():
    """Measuring comes after defining, so the package may be ahead of the truth; levels and formulas never differ."""
    found = load_tree(COMMITTED)["perturbations"].to_pylist()
    assert len(found) >= 10
    for row in found:
        entry = perturbations()[row["perturbation"]]
        assert perturbation_row(entry, entry.levels) == row


def test_the_committed_truth_is_of_networks_of_the_zoo_and_of_no_twin():
    """Truth comes after training, so the zoo may be ahead of it; it never holds what the zoo does not."""
    found = set(load_tree(COMMITTED)["networks"]["network"].to_pylist())
    assert found <= {entry.name for entry in zoo_networks().values() if entry.role == "zoo"}


def test_every_committed_criterion_is_built_in_and_scores_every_network():
    """Criteria may be ahead of the tree: new ones are scored when the truth is next made."""
    networks = load_tree(COMMITTED)["networks"]["network"].to_pylist()
    scores = load_tree(COMMITTED)["scores"]
    pairs = {(row["criterion"], row["network"]) for row in scores.select(["criterion", "network"]).to_pylist()}
    scored = {criterion for criterion, _ in pairs}
    assert scored <= set(safer_bench.list_entries("criteria"))
    assert pairs == {(criterion, network) for criterion in scored for network in networks}


def test_the_page_of_entries_is_that_of_the_registry():
    assert (ROOT / "docs" / "entries.md").read_text() == render(), "make docs"
