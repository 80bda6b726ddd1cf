"""croissant.json is valid Croissant 1.1 with responsible-AI fields, says what the tables are, and reads them."""

import json
import logging
from functools import partial

import mlcroissant
import pytest

from safer_bench.dataset.documents.render import render_documents
from safer_bench.dataset.tree import write_tree
from safer_bench.tables import schema

pytestmark = [  # mlcroissant's own
    pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame"),
]


@pytest.fixture(scope="module")
def described(small_tree, tmp_path_factory):
    """A release as mlcroissant reads it: refuses what is no Croissant, and checks each field against the specification."""
    logging.getLogger("absl").setLevel(logging.ERROR)  # its one warning, of the missing date, is looked at below
    out = tmp_path_factory.mktemp("released") / "tree"
    facts = {"protocol": 1, "seed": 0, "version": "1.0.0"}
    write_tree(out, dict(small_tree), facts, partial(render_documents, data_version="1.0.0"))
    return mlcroissant.Dataset(out / "croissant.json")


def test_it_is_valid_and_lacks_only_a_date(described):
    """A date would make two equal trees differ."""
    issues = described.metadata.ctx.issues
    assert list(issues.errors) == []
    assert [warning.split("]")[1] for warning in issues.warnings] == [
        ' Property "https://schema.org/datePublished" is recommended, but does not exist.'
    ]
    assert described.metadata.version == "1.0.0"
    assert described.metadata.conforms_to == [
        "http://mlcommons.org/croissant/1.1",
        "http://mlcommons.org/croissant/RAI/1.0",
    ]


def test_the_responsible_ai_fields_are_understood(described):
    found = described.metadata
    for text in (
        *(found.data_collection, found.data_collection_missing_data, found.data_social_impact),
        *(found.data_release_maintenance_plan, *found.data_limitations, *found.data_biases, *found.data_use_cases),
        *(*found.personal_sensitive_information, *found.data_annotation_protocol, *found.data_preprocessing_protocol),
    ):
        assert len(text) > 40
    assert found.data_collection_type == ["Experiments"]


def test_every_file_has_its_digest_and_every_column_its_meaning_and_unit(small_tree):
    found = json.loads((small_tree.path / "croissant.json").read_text())
    digests = {item["contentUrl"]: item["sha256"] for item in found["distribution"] if "sha256" in item}
    files = small_tree.manifest["files"]
    assert digests == {name: digest for name, digest in files.items() if name.endswith(".parquet")}
    fields = {item["@id"]: item["description"] for table in found["recordSet"] for item in table["field"]}
    assert set(fields) == {f"{name}/{column}" for name in small_tree for column in schema.TABLES[name].names}
    assert fields["layer_drops/broken"] == "right before, wrong after; unit: answers"


@pytest.mark.parametrize("table", ["layers", "perturbations"])
def test_the_rows_are_those_of_the_table(described, small_tree, table):
    """It reads strings as bytes."""
    text = lambda value: value.decode() if isinstance(value, bytes) else value  # noqa: E731
    rows = [{key.split("/")[1]: text(value) for key, value in row.items()} for row in described.records(table)]
    expected = small_tree[table].to_pylist()
    key = lambda row: [str(row.get(name)) for name in ("network", "layer", "perturbation")]  # noqa: E731
    assert sorted(rows, key=key) == sorted(expected, key=key)


@pytest.mark.parametrize("table", ["outcomes", "layer_sensitivity", "scores"])
def test_tables_with_bytes_and_with_missing_values_are_read(described, small_tree, table):
    assert sum(1 for _ in described.records(table)) == small_tree[table].num_rows
