"""What load_dataset makes of a tree: its rows, and the cache that would give old ones."""

import inspect
import shutil
from functools import partial

import datasets
import pyarrow.compute as pc
import pytest

from safer_bench.dataset.documents.render import render_documents
from safer_bench.dataset.tree import load_tree, load_truth, write_tree
from safer_bench.errors import BadInput
from safer_bench.tables import schema
from tests.made_up.trees import rewrite


@pytest.fixture
def copy(small_tree, tmp_path):
    return shutil.copytree(small_tree.path, tmp_path / "tree")


@pytest.mark.parametrize("name", list(schema.TABLES))
def test_load_dataset_loads_every_table_with_its_features(small_tree, name, tmp_path):
    if name == "results" or name.startswith("budget_"):
        assert name not in small_tree
        return
    found = datasets.load_dataset(str(small_tree.path), name, cache_dir=str(tmp_path))
    assert set(found) == ({"validation", "test"} if "split" in schema.TABLES[name].names else {"full"})
    for split in found.values():
        assert split.features == datasets.Features.from_arrow_schema(schema.TABLES[name])
        assert split.column_names == schema.TABLES[name].names
    assert sum(split.num_rows for split in found.values()) == small_tree[name].num_rows


def test_both_readers_give_the_same_rows(small_tree, tmp_path):
    theirs = datasets.load_dataset(str(small_tree.path), "layer_drops", split="test", cache_dir=str(tmp_path))
    assert load_truth(small_tree.path, split="test").to_pylist() == theirs.to_list()
    stream = datasets.load_dataset(str(small_tree.path), "layer_drops", split="test", streaming=True)
    assert list(stream) == theirs.to_list()


def test_load_dataset_takes_columns_and_filters(small_tree, tmp_path):
    """It refuses filters where the card gives numbers of rows."""
    wanted = {"columns": ["network", "broken"], "filters": [("broken", ">", 5)]}
    expected = [row for row in load_truth(small_tree.path, split="test").to_pylist() if row["broken"] > 5]
    for streaming in (False, True):
        place = {} if streaming else {"cache_dir": str(tmp_path)}
        found = datasets.load_dataset(
            str(small_tree.path), "layer_drops", split="test", streaming=streaming, **wanted, **place
        )
        assert list(found) == [{name: row[name] for name in wanted["columns"]} for row in expected]
    assert expected


def test_load_dataset_ignores_the_revision_of_a_folder_and_we_ask_for_none(small_tree, tmp_path):
    """So a pinned truth is pulled whole first (`pull`), and its folder is read."""
    found = datasets.load_dataset(str(small_tree.path), "cells", split="test", revision="v9.9.9", cache_dir=str(tmp_path))
    assert found.num_rows == small_tree["cells"].filter(pc.field("split") == "test").num_rows
    assert "revision" not in inspect.signature(load_tree).parameters


def test_load_dataset_gives_stale_rows_and_our_reader_does_not(copy, tmp_path):
    """The cache key of load_dataset hashes file names, not contents."""
    path = copy / "layer_drops" / "test-00000-of-00001.parquet"
    cache = str(tmp_path / "cache")
    before = datasets.load_dataset(str(copy), "layer_drops", split="test", cache_dir=cache).to_list()
    rewrite(path, lambda rows: [row | {"broken": 59} for row in rows])
    assert datasets.load_dataset(str(copy), "layer_drops", split="test", cache_dir=cache).to_list() == before
    with pytest.raises(BadInput, match="the manifest says"):
        load_truth(copy)


def test_two_trees_of_one_version_give_load_dataset_their_own_rows(copy, small_tree, tmp_path):
    """In one folder or in two of one name, one after the other and back: the card has a hash of each table's rows."""
    cache, other = str(tmp_path / "cache"), tmp_path / "elsewhere" / "tree"
    other.parent.mkdir()
    macs = small_tree["layers"].schema.get_field_index("macs")
    for changed, out in enumerate((copy, copy, other, copy), start=1):
        counts = pc.add(small_tree["layers"]["macs"], changed)
        tables = dict(small_tree) | {"layers": small_tree["layers"].set_column(macs, "macs", counts)}
        write_tree(out, tables, {"protocol": 1, "seed": 0}, partial(render_documents, data_version="1.0.0"))
        versions = {line for line in (out / "README.md").read_text().splitlines() if line.startswith("  version: ")}
        assert versions == {"  version: 1.0.0"}
        theirs = datasets.load_dataset(str(out), "layers", split="test", cache_dir=cache)
        assert theirs.to_list() == load_truth(out, "layers", "test").to_pylist()
        assert theirs["macs"][0] == load_truth(small_tree.path, "layers", "test")["macs"][0].as_py() + changed
