"""The documents say what is so: commands exist, snippets run, the demo's output is the demo's."""

import re
import shlex
import tomllib

import pytest
from typer.main import get_command

import safer_bench
from docs.pypi import absolute
from safer_bench.cli import app
from safer_bench.dataset.documents.render import render_documents
from safer_bench.dataset.pinned import VERSION
from safer_bench.dataset.tree import load_tree
from safer_bench.measurement.describe import perturbation_row
from safer_bench.networks.loading import zoo_networks
from safer_bench.perturbations.loading import perturbations
from tests.conftest import COMMITTED, ROOT
from tests.made_up.documents import README, blocks

COMMANDS = get_command(app).commands


def test_the_readme_stays_short():
    assert len(README.splitlines()) < 120


def test_the_readme_leads_to_what_there_is():
    """Relative links are files of the repository; before a release they become addresses of it."""
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", README)]
    inside = [link for link in links if link and not link.startswith("https://")]
    assert len(inside) > 10
    assert [link for link in inside if not (ROOT / link).exists()] == []
    released = absolute(README, "https://github.com/someone/it", "v1.2.3")
    assert [link for link in re.findall(r"\]\(([^)]+)\)", released) if not link.startswith(("https://", "#"))] == []
    assert "](https://github.com/someone/it/raw/v1.2.3/docs/front.png)" in released


def test_every_command_in_the_readme_exists_with_its_options():
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("safer-bench ")]
    assert len(lines) >= 6
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        name = next(name for name in (" ".join(words[:2]), words[0]) if name in COMMANDS)
        known = {option for parameter in COMMANDS[name].params for option in parameter.opts}
        assert {word for word in words[1:] if word.startswith("--")} <= known, line


def test_the_makefile_has_what_the_readme_names():
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"\bmake ([a-z-]+)", README + (ROOT / "CONTRIBUTING.md").read_text())
    assert {"demo", "test", "lint"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_snippet_that_loads_the_truth_runs(monkeypatch, tmp_path):
    """The last; the others are a user's own files, run in the tests of the command line."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path))
    names: dict[str, object] = {}
    exec(blocks("python")[-1], names)
    assert names["truth"].num_rows > names["sensitivity"].num_rows > 0
    assert set(names["truth"]["split"]) == {"test"}
    assert names["cells"].num_rows > 0


@pytest.mark.parametrize("path", ["data_cards/safer-bench/README.md", "docs/data.md"])
def test_the_snippets_of_the_data_run(path, monkeypatch, capsys, tmp_path):
    """Each by itself, from the repository's root, with a cache of its own; from the Hub in tests/dataset/hub/test_readers.py."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path))
    found = {}
    for block in blocks("python", (ROOT / path).read_text()):
        if "hf://" not in block:
            exec(block, names := {})
            found |= names
    if path.startswith("docs"):
        assert found["drops"].num_rows > found["severe"].num_rows > 0
        assert found["unit"] == b"answers"
        assert set(found["cells"]["summary"]) == set(found["areas"]["summary"]) == {"area"}
        assert "gaussian_noise" in capsys.readouterr().out
    else:
        assert found["truth"].num_rows > 0
        assert len(found["ranking"]) == len(found["areas"])
        assert found["resolved"].column_names == ["network", "perturbation", "reliability"]
        drops = [row[2] for row in found["worst"].fetchall()]
        assert drops == sorted(drops, reverse=True)
        assert len(drops) == 10


def test_no_other_page_has_python_that_is_not_run():
    """The network of docs/runs.md is measured in tests/test_long.py, those of docs/networks.md in tests/test_networks_page.py.

    The commands of docs/folding.md are run in tests/test_folding_page.py.
    What docs/plan.md tells torchao and ONNX Runtime is run in tests/budget/plans/exports/test_in_tools.py, and
    docs/quantize-a-network.md in tests/test_quantize_page.py.
    """
    pages = {path.name for path in (ROOT / "docs").glob("*.md") if blocks("python", path.read_text())}
    assert pages == {"data.md", "folding.md", "networks.md", "plan.md", "quantize-a-network.md", "runs.md"}


def test_the_readmes_own_criterion_scores(tmp_path):
    (tmp_path / "mine.py").write_text(blocks("python")[0])
    found = safer_bench.score(f"{tmp_path / 'mine.py'}:largest_weight", safer_bench.load_network("digits_mlp"))
    assert len(found) == 10


def test_versions_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == safer_bench.__version__
    assert f"version: {safer_bench.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    heads = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    released = next(head for head in heads if not head.endswith("(unreleased)"))
    assert re.fullmatch(rf"{re.escape(safer_bench.__version__)} \(\d{{4}}-\d{{2}}-\d{{2}}\)", released)
    assert f"version = {{{safer_bench.__version__}}}" in README
    assert f"tree is version {VERSION}." in (ROOT / "docs" / "data.md").read_text()


def test_the_committed_documents_are_those_that_its_tables_render():
    tree = load_tree(COMMITTED)
    assert tree.manifest["version"] == VERSION
    digests = {name: digest for name, digest in tree.manifest["files"].items() if name.endswith(".parquet")}
    for name, text in render_documents(tree, tree.manifest["contents"], digests, VERSION).items():
        assert name == "constraints.txt" or (COMMITTED / name).read_text() == text, name


@pytest.mark.parametrize(
    ("page", "said", "table"),
    [
        ("README.md", "the truth has # networks", "networks"),
        ("docs/plan.md", "the package's # criteria, which the data have scores of", "criteria"),
        ("docs/submissions.md", "Boards of the published truth have all # criteria", "criteria"),
        ("docs/submissions.md", "package's own # criteria does", "criteria"),
        ("docs/engine.md", "All # perturbations at", "perturbations"),
    ],
)
def test_what_pages_count_is_what_the_truth_has(page, said, table):
    text = " ".join((ROOT / page).read_text().split())
    assert said.replace("#", str(load_tree(COMMITTED)[table].num_rows)) in text


def test_the_committed_tree_was_written_by_the_pinned_versions():
    found = (COMMITTED / "constraints.txt").read_text().splitlines()[1:]
    pinned = (ROOT / "constraints.txt").read_text().splitlines()
    assert found
    assert set(found) <= set(pinned)


def test_the_committed_truth_is_of_built_in_perturbations_as_they_are_defined():
    """Measuring comes after defining, so the package may be ahead of the truth, in levels too; formulas never differ."""
    found = load_tree(COMMITTED)["perturbations"].to_pylist()
    assert len(found) >= 10
    for row in found:
        entry = perturbations()[row["perturbation"]]
        assert perturbation_row(entry, tuple(row["levels"])) == row


def test_the_committed_truth_is_of_networks_of_the_zoo_and_of_no_twin():
    """Truth comes after training, so the zoo may be ahead of it; it never holds what the zoo does not."""
    found = set(load_tree(COMMITTED)["networks"]["network"].to_pylist())
    assert found <= {entry.name for entry in zoo_networks().values() if entry.role == "zoo"}


def test_every_committed_criterion_is_built_in_and_scores_every_network():
    """Built-in criteria may be ahead of the tree; those in it have scored all of it, but for what they refuse."""
    networks = load_tree(COMMITTED)["networks"].select(["network", "dataset"]).to_pylist()
    scores = load_tree(COMMITTED)["scores"]
    pairs = {(row["criterion"], row["network"]) for row in scores.select(["criterion", "network"]).to_pylist()}
    scored = {criterion for criterion, _ in pairs}
    assert len(scored) >= 85
    assert scored <= set(safer_bench.list_entries("criteria"))
    refused = {"text": {"synflow", "layer_conductance", "ggn_diagonal", "true_fisher"}}  # docs/entries.md says why
    assert {(name, row["network"]) for row in networks for name in scored - refused.get(row["dataset"], set())} == pairs
