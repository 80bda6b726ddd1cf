"""The card of a tree shows what its tables say as text, whatever it is."""

import re

import pytest

from safer_bench.dataset.documents.card import render_card
from safer_bench.dataset.documents.responsible import statements
from safer_bench.errors import BadInput
from safer_bench.tables import schema
from safer_bench.tables.facts import read_facts
from safer_bench.tables.score_table import from_mapping
from tests.conftest import COMMITTED, ROOT, SEEDS


def test_a_strangers_formula_unit_or_family_breaks_no_table(small_tree):
    tables = {name: small_tree[name] for name in small_tree}
    formula, unit = "W | `x`\n| <img src=y> |", "a|b [c](http://d) _e_"
    perturbations = [row | {"formula": formula, "unit": unit} for row in tables["perturbations"].to_pylist()]
    networks = [row | {"family": "f|g*h*"} for row in tables["networks"].to_pylist()]
    tables |= {"perturbations": schema.build("perturbations", perturbations), "networks": schema.build("networks", networks)}
    card = render_card(tables, small_tree.manifest["contents"], statements(["digits"]))
    rows = [line for line in card.splitlines() if line.startswith("| gaussian_noise |")]
    assert rows[0].startswith(
        r"| gaussian_noise | ``W \| `x` \| <img src=y> \|`` | 0.5, 2.0, 8.0 | a\|b \[c\](http\://d) \_e\_ |"
    )
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 7
    assert r"| digits_mlp | digits | f\|g\*h\* | validation |" in card


@pytest.mark.parametrize("name", ["a\x1b[31m", "a\u202eb", "\ud800", "a\nb"])
def test_a_name_that_is_no_text_is_refused_before_it_is_in_any_table(small_tree, name):
    scores = {("digits_mlp", layer): 1.0 for layer in read_facts(small_tree).layers["digits_mlp"]}
    with pytest.raises(BadInput, match=r"the name holds the control character U\+[0-9A-F]{4}; expected text"):
        from_mapping(name, scores, read_facts(small_tree))


def test_a_card_says_what_counts_are_of_where_examples_have_several_answers(small_tree):
    tables = {name: small_tree[name] for name in small_tree}
    said = lambda networks: render_card(  # noqa: E731
        tables | {"networks": schema.build("networks", networks)}, small_tree.manifest["contents"], statements(["digits"])
    )
    rows = tables["networks"].to_pylist()
    assert "several answers" not in said(rows)
    answers = [3, 5] * (rows[0]["n_examples"] // 2) + [4] * (rows[0]["n_examples"] % 2)
    several = {
        "answers_of_example": answers,
        "n_answers": sum(answers),
        "clean_correct": 7,
        "clean_outcomes": b"\xfe" + bytes(10**4),
    }
    card = said([rows[0] | several, *rows[1:]])
    assert (
        "Where examples have several answers, counts are of answers. Intervals, standard errors and halves are over" in card
    )
    assert f"| 7 of {sum(answers)} | " in card


@pytest.mark.parametrize("tree", [COMMITTED, SEEDS], ids=lambda tree: tree.name)
def test_what_a_card_shows_reads_the_tree_that_it_lies_in(tree, small_tree):
    """The study of seeds once showed how to load the truth beside it."""
    place = tree.relative_to(ROOT)
    card = (tree / "README.md").read_text()
    read = re.findall(r"""(?:load_dataset\(|load_truth\(|read_parquet\(|FROM )["']([\w/-]+)""", card)
    assert [path.removesuffix("/layer_sensitivity").removesuffix("/layer_drops/") for path in read] == [str(place)] * 4
    assert 'load_dataset("TREE",' in (small_tree.path / "README.md").read_text(), "of no release"
