"""What the card tells of draws, examples, splits and sources follows from the tables."""

import pytest
import yaml

from safer_bench.dataset.documents.card import render_card
from safer_bench.dataset.documents.probes import after_abstracts, designs, splits
from safer_bench.dataset.documents.responsible import ABSTRACT_ALONE, statements
from safer_bench.dataset.tree import load_tree
from safer_bench.tables import schema
from tests.conftest import COMMITTED


def without_some_draws(rows):
    """One layer of one network has two draws fewer at one level, and one draw saw other examples."""
    first = next(row for row in rows if row["perturbation"] == "gaussian_noise" and row["draw"] == 3)
    key = ("network", "layer", "perturbation", "level")
    fewer = [row for row in rows if [row[k] for k in key] != [first[k] for k in key] or row["draw"] < 2]
    return [row | {"example_start": 30} if row["draw"] == 1 else row for row in fewer]


@pytest.mark.parametrize("change", [list, without_some_draws])
def test_draws_and_examples_are_those_of_the_rows(small_tree, change):
    """Against sets of numbers of examples, one by one."""
    rows = change(small_tree["layer_drops"].to_pylist())
    seen, draws, lengths = {}, {}, {}
    for row in rows:
        name = row["perturbation"]
        numbers = range(row["example_start"], row["example_start"] + row["n_examples"])
        seen.setdefault(name, {}).setdefault(row["network"], set()).update(numbers)
        draws.setdefault(name, {}).setdefault((row["network"], row["layer"], row["level"]), set()).add(row["draw"])
        lengths.setdefault(name, set()).add(row["n_examples"])
    written = lambda found: " to ".join(map(str, sorted({min(found), max(found)})))  # noqa: E731
    found = designs(schema.build("layer_drops", rows), small_tree["networks"])
    told = {name: row for row in found for name in row["perturbations"]}
    assert sorted(told) == sorted(seen) == ["gaussian_noise", "magnitude_prune"]
    for name, row in told.items():
        assert row["draws"] == written([len(of_level) for of_level in draws[name].values()])
        assert row["examples"] == written(lengths[name])
        assert row["seen"] == written([len(of_network) for of_network in seen[name].values()])
        assert row["evaluation"] == "600"
    assert told["gaussian_noise"]["draws"] == ("4" if change is list else "2 to 4")


def test_splits_are_those_of_the_networks(small_tree):
    assert splits(small_tree["networks"]) == [
        {"split": "validation", "dataset": "digits", "families": ["mlp"], "n_networks": 1},
        {"split": "test", "dataset": "digits", "families": ["resnet"], "n_networks": 1},
    ]


def test_what_follows_an_abstract_is_named_and_nothing_else():
    tree = load_tree(COMMITTED)
    [found] = after_abstracts(tree)
    number = found["number"]
    assert number in ABSTRACT_ALONE
    for kind, name in (("perturbations", "perturbation"), ("criteria", "criterion")):
        named = {row[name] for row in tree[kind].to_pylist() if f"arXiv {number}" in row["source"]}
        assert named == set(found[kind])
        assert 0 < len(named) < tree[kind].num_rows
    assert after_abstracts({"perturbations": tree["perturbations"].slice(0, 1)}) == []


def test_the_card_tells_all_of_them(small_tree):
    card = (small_tree.path / "README.md").read_text()
    assert "| digits | `gaussian_noise` | 4 | 60 | 240 | 600 |\n" in card
    assert "| digits | `magnitude_prune` | 1 | 60 | 60 | 600 |\n" in card
    assert "| digits | test | 1 | resnet |\n" in card
    assert "(arXiv 2308.04753) the abstract alone was at hand" in card
    assert "A family's split was fixed before any of its networks was measured." in card
    assert "no example, no logit, no weight" in card
    tags = yaml.safe_load(card.split("---\n")[1])["tags"]
    assert [tag for tag in tags if tag.startswith("arxiv:")] == ["arxiv:1506.02626", "arxiv:2308.04753"]


def test_a_card_without_entries_after_an_abstract_says_nothing_of_abstracts(small_tree):
    tables = {name: small_tree[name] for name in small_tree if name not in ("criteria", "scores", "costs")}
    rows = [row | {"source": "mine"} for row in tables["perturbations"].to_pylist()]
    tables["perturbations"] = schema.build("perturbations", rows)
    card = render_card(tables, small_tree.manifest["contents"], statements(["digits"]))
    assert "abstract alone" not in card
    assert "arxiv:" not in card
