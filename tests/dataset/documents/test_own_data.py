"""A tree of a user's own network claims nothing of its data: neither what they are, nor whose, nor under which licence."""

import json
import logging
import re

import mlcroissant
import pytest

from safer_bench.dataset.documents.responsible import statements
from safer_bench.dataset.pack import pack
from safer_bench.dataset.tree import load_tree
from safer_bench.measurement.design import make_protocol
from safer_bench.measurement.run import measure_into
from tests.made_up.networks import tiny_network

CLAIMS = [
    "handwritten",
    "of digits",
    "clothing",
    "fashion",
    "standardised",
    "trained on neither",
    "no pixel",
    "no sentence",
    "king james",
    "ten classes",
    "half a million",
    "zoo",
    "cc-by",
    "creativecommons",
    "safer-bench authors",
    "huggingface.co",
    "data_cards/safer-bench",
    "new tag on the hub",
    "`test` is public",
    "each release adds",
]


@pytest.fixture(scope="module")
def own_tree(tmp_path_factory):
    out = tmp_path_factory.mktemp("own")
    measure_into(out / "run", [tiny_network()], make_protocol(["sign_flip:0.1,0.5"], 4, 15))
    pack([out / "run"], [], out / "tree")
    return load_tree(out / "tree")


@pytest.mark.parametrize("name", ["README.md", "croissant.json"])
def test_nothing_is_claimed_of_data_that_the_package_does_not_know(own_tree, name):
    text = (own_tree.path / name).read_text()
    assert [claim for claim in CLAIMS if claim in text.lower()] == []
    topics = ["who labelled the examples", "what networks and examples leave out", "whether they hold personal information"]
    for unknown in topics + ["how examples were prepared"] * (name == "croissant.json"):
        assert re.search(f"Of data 'own': {unknown}[^.]* not known here. Whoever measured them states it", text), unknown


def test_it_has_no_version_of_ours_and_still_a_hash_of_each_table(own_tree):
    card = (own_tree.path / "README.md").read_text()
    assert "version" not in own_tree.manifest
    assert "  version: " not in card
    assert "This is revision `" in card
    hashes = [content[:16] for content in own_tree.manifest["contents"].values()]
    assert sorted(re.findall(r"^  description: content (\w{16})$", card, re.MULTILINE)) == sorted(hashes)


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")  # mlcroissant's own
def test_its_description_for_machines_is_valid_without_licence_address_and_citation(own_tree):
    logging.getLogger("absl").setLevel(logging.ERROR)
    issues = mlcroissant.Dataset(own_tree.path / "croissant.json").metadata.ctx.issues
    assert list(issues.errors) == []
    found = json.loads((own_tree.path / "croissant.json").read_text())
    assert {"license", "url", "citeAs", "version"} & set(found) == set()
    assert found["identifier"] == own_tree.manifest["contents"]["layer_drops"]


def test_its_snippets_load_it(own_tree, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "TREE").symlink_to(own_tree.path)
    blocks = re.findall(r"^```python\n(.*?)^```", (own_tree.path / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    found = {}
    for block in blocks:
        exec(block, names := {})
        found |= names
    assert found["truth"].num_rows == own_tree["layer_drops"].num_rows
    assert len(found["areas"]) == 3
    assert {row[0] for row in found["worst"].fetchall()} == {"tiny"}


def test_what_is_known_is_said_of_the_datasets_that_are_there(small_tree):
    for name in ("README.md", "croissant.json"):
        text = (small_tree.path / name).read_text()
        assert "None: images of digits. The tables hold no pixel of them" in text
        assert "labels of the source datasets (handwritten digits), whose" in text
        assert "clothing" not in text
    mixed = statements(["own", "fashion_mnist", "own"])
    assert not mixed.ours
    assert mixed.personal == (
        "Of Fashion-MNIST: None: images of clothing. The tables hold no pixel of them, only counts, digests and names of "
        "layers. Of data 'own': whether they hold personal information is not known here. Whoever measured them states it."
    )
    assert mixed.biases[0].startswith("Of Fashion-MNIST: Small image classifiers only")


def test_whether_batch_norms_were_folded_is_said_of_the_networks_that_are_there(small_tree):
    never = "Layers are never folded with their batch norm."
    assert never in (small_tree.path / "README.md").read_text()
    assert statements(["digits"], ["digits_cnn"]).preprocessing.startswith(never)
    assert statements(["digits"], ["digits_cnn", "digits_cnn_folded"]).preprocessing.startswith(
        "Batch norms are folded into the layers before them in networks called NAME_folded, and in no others. Images"
    )


def test_of_text_and_photographs_is_said_what_holds_of_them():
    alone = statements(["text"])
    assert alone.ours
    assert alone.personal == (
        "None: a published text. The tables hold no sentence of it, only counts, digests and names of layers."
    )
    assert "image" not in " ".join([alone.annotation, alone.preprocessing, alone.personal, *alone.biases])
    mixed = statements(["text", "digits"])
    assert mixed.ours
    assert mixed.annotation == (
        "Of handwritten digits: No human annotated anything. Right and wrong follow from the labels of the source datasets "
        "(handwritten digits), whose label errors are in the counts. Of the King James Version: No human annotated anything. "
        "The right answers are the bytes that come next in the text (the King James Version)."
    )
    photographs = statements(["imagenet"])
    assert photographs.ours
    assert "standardised; criteria" not in photographs.preprocessing
    assert "may show people. The tables hold no pixel" in photographs.personal
    assert [item.split(":")[0] for item in mixed.biases[:3]] == ["Of handwritten digits"] * 2 + ["Of the King James Version"]
