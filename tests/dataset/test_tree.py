"""The dataset tree: what loads, and what is refused."""

import json
import shutil
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from safer_bench.dataset.pack import pack
from safer_bench.dataset.pinned import VERSION
from safer_bench.dataset.tree import content_hash, load_tree, load_truth, write_tree
from safer_bench.dataset.verify import problems
from safer_bench.errors import BadInput, MissingData
from safer_bench.networks.loading import zoo_networks
from safer_bench.tables import files, folders, schema
from tests.conftest import COMMITTED
from tests.made_up.trees import rewrite


@pytest.fixture
def copy(small_tree, tmp_path):
    return shutil.copytree(small_tree.path, tmp_path / "tree")


def nothing(tables, contents, digests):
    return {}


def test_every_column_has_a_description(small_tree):
    for name in small_tree:
        for path in (small_tree.path / name).glob("*.parquet"):
            for field in pq.read_schema(path):
                assert field.metadata[b"description"], (name, field.name)
        ours = {field.name: schema.described(field) for field in small_tree[name].schema}
        assert ours == {field.name: schema.described(field) for field in schema.TABLES[name]}


def test_a_tree_has_the_descriptions_of_today_whenever_it_was_measured(small_tree, tmp_path):
    """Bytes and hashes do not tell when the runs that a tree is packed from were measured."""
    old = small_tree["networks"]
    old = old.cast(pa.schema([(field.name, field.type) for field in old.schema]))
    assert old.schema.field("kind").metadata is None
    write_tree(tmp_path / "tree", dict(small_tree) | {"networks": old}, {"protocol": 1, "seed": 0}, nothing)
    same = [name for name in small_tree.manifest["files"] if name.startswith("networks/")]
    assert len(same) == 2
    found = load_tree(tmp_path / "tree")
    assert [found.manifest["files"][name] for name in same] == [small_tree.manifest["files"][name] for name in same]
    assert found.manifest["contents"]["networks"] == small_tree.manifest["contents"]["networks"]


def test_a_changed_file_is_refused(copy):
    path = copy / "cells" / "test-00000-of-00001.parquet"
    digest = files.sha256_of(path.read_bytes())[:16]
    rewrite(path, lambda rows: rows[:-1])
    found = files.sha256_of(path.read_bytes())[:16]
    with pytest.raises(BadInput) as error:
        load_tree(copy)["cells"]
    assert str(error.value) == f"{path}: SHA-256 {found}, the manifest says {digest}; get the tree again"
    assert load_tree(copy)["layers"].num_rows > 0


def test_a_file_that_the_manifest_does_not_know_is_refused(copy):
    extra = copy / "layer_drops" / "test-00001-of-00002.parquet"
    shutil.copy(copy / "layer_drops" / "test-00000-of-00001.parquet", extra)
    with pytest.raises(BadInput) as error:
        load_truth(copy)
    assert str(error.value) == (
        f"{copy}: layer_drops/test-00001-of-00002.parquet is not in the manifest; remove it, or pack the tree again"
    )


def test_a_missing_file_is_named(copy):
    path = copy / "layers" / "test-00000-of-00001.parquet"
    path.unlink()
    with pytest.raises(BadInput) as error:
        load_tree(copy)["layers"]
    assert str(error.value) == f"{path}: missing, but in the manifest; get the tree again"


def test_no_tree_is_named_with_what_to_do(tmp_path):
    with pytest.raises(MissingData) as error:
        load_truth(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: is not a dataset tree (it has no manifest.json). Name the folder of one, or make one: safer-bench demo"
    )


@pytest.mark.parametrize("where", ["manifest", "table"])
def test_a_truth_of_another_schema_version_is_refused(copy, where):
    manifest = json.loads((copy / "manifest.json").read_text())
    if where == "manifest":
        manifest["schema"] = "99"
    else:
        path = copy / "layers" / "test-00000-of-00001.parquet"
        table = pq.read_table(path)
        pq.write_table(table.replace_schema_metadata(table.schema.metadata | {b"safer_bench.schema": b"99"}), path)
        manifest["files"]["layers/test-00000-of-00001.parquet"] = files.sha256_of(path.read_bytes())
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BadInput) as error:
        load_tree(copy)["layers"]
    assert "schema version 99, expected 1. Use the safer-bench release that wrote it, or get the current truth" in str(
        error.value
    )


def test_a_tree_of_before_is_refused_by_one_message(copy):
    """It knew no answers; packing its run folders again is a matter of seconds."""
    manifest, name = json.loads((copy / "manifest.json").read_text()), "layer_drops/test-00000-of-00001.parquet"
    pq.write_table(pq.read_table(copy / name).drop_columns(["n_answers"]), copy / name)
    manifest["files"][name] = files.sha256_of((copy / name).read_bytes())
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BadInput) as error:
        load_truth(copy)
    assert str(error.value) == (
        f"{copy / name}: column 'n_answers' is missing; expected those of table 'layer_drops' in this release: make it "
        "again (a dataset tree by `pack --base`, or from its run folders), or use the safer-bench "
        "release that wrote it"
    )


def test_a_damaged_manifest_is_refused(copy):
    (copy / "manifest.json").write_text("{")
    with pytest.raises(BadInput, match=r"manifest.json: damaged \(.*\); get the tree again"):
        load_tree(copy)


def test_an_unknown_table_lists_the_tables(small_tree):
    with pytest.raises(BadInput, match=r"has no table 'drops'; its tables: cells, costs, criteria, layer_drops"):
        load_truth(small_tree.path, table="drops")


def test_a_tree_is_not_written_over_something_else(tmp_path):
    (tmp_path / "thesis.tex").write_text("all of it")
    with pytest.raises(BadInput) as error:
        write_tree(tmp_path, {}, {}, nothing)
    assert str(error.value) == f"{tmp_path}: not empty and not a dataset tree; use a new folder"
    assert (tmp_path / "thesis.tex").read_text() == "all of it"


@pytest.mark.parametrize("kind", ["file", "foreign manifest", "foreign file"])
def test_nothing_but_a_tree_is_ever_replaced(copy, tmp_path, kind):
    out = {"file": tmp_path / "precious.txt", "foreign manifest": tmp_path / "webapp", "foreign file": copy}[kind]
    if kind == "foreign manifest":
        out.mkdir()
        (out / "manifest.json").write_text('{"name": "app"}')
    keep = out if kind == "file" else out / "index.html"
    keep.write_text("precious")
    with pytest.raises(BadInput):
        write_tree(out, {}, {}, nothing)
    assert keep.read_text() == "precious"


def test_an_older_tree_is_replaced_whole(copy, small_tree):
    write_tree(copy, {"layers": small_tree["layers"]}, {"protocol": 1, "seed": 0}, lambda *_: {"README.md": "card"})
    assert sorted(path.name for path in copy.iterdir()) == ["README.md", "layers", "manifest.json"]
    assert load_tree(copy)["layers"].equals(small_tree["layers"])


@pytest.mark.parametrize("text", ["null", '{"schema": "1"}', "[]"])
def test_what_is_no_manifest_is_refused(copy, text):
    (copy / "manifest.json").write_text(text)
    with pytest.raises(BadInput, match="is not the manifest of a dataset tree"):
        load_tree(copy)


def test_what_is_no_parquet_is_refused_even_where_its_hash_is_right(copy):
    path = copy / "layers" / "test-00000-of-00001.parquet"
    path.write_bytes(b"nothing")
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"]["layers/test-00000-of-00001.parquet"] = files.sha256_of(b"nothing")
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BadInput, match="is not a Parquet file"):
        load_tree(copy)["layers"]


@pytest.mark.parametrize(("table", "split"), [("perturbations", "test"), ("layer_drops", "tset")])
def test_a_split_that_a_table_does_not_have_is_refused(small_tree, table, split):
    with pytest.raises(BadInput, match=f"table '{table}' has no split '{split}'; tables of networks have validation, test"):
        load_truth(small_tree.path, table=table, split=split)


def test_a_failed_write_leaves_the_old_tree_alone(copy, monkeypatch):
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}

    def refuse(*_):
        raise BadInput("disk full")

    monkeypatch.setattr(files, "parquet_bytes", refuse)
    with pytest.raises(BadInput, match="disk full"):
        write_tree(copy, {"layers": load_tree(copy)["layers"]}, {}, nothing)
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_bytes_and_hash_follow_the_rows_and_not_how_they_are_held(small_tree, monkeypatch):
    """In chunks, with strings as dictionaries, or a few rows at a time."""
    table = small_tree["layer_drops"]
    names = table["network"].dictionary_encode()
    held = table.set_column(0, table.schema.field("network").with_type(names.type), names)
    held = pa.concat_tables([held.slice(0, 7), held.slice(7)])
    assert content_hash(held) == content_hash(table)
    assert files.parquet_bytes(held) == files.parquet_bytes(table)
    before = content_hash(table)
    monkeypatch.setattr(files, "MOST_ROWS", 50)
    assert pq.read_table(pa.BufferReader(files.parquet_bytes(held))).equals(table)
    assert content_hash(held) == content_hash(table.combine_chunks()) == before


def test_the_content_hash_follows_rows_and_not_their_order(small_tree):
    table = small_tree["layer_drops"]
    assert content_hash(table.take(list(reversed(range(table.num_rows))))) == content_hash(table)
    assert content_hash(table.slice(1)) != content_hash(table)


def test_the_committed_truth_loads_in_both_splits_and_holds_the_zoos_images(tmp_path):
    """Language models are not measured yet."""
    found = datasets.load_dataset(str(COMMITTED), "layer_drops", cache_dir=str(tmp_path))
    zoo = [entry for entry in zoo_networks().values() if entry.role == "zoo" and entry.dataset != "text"]
    assert {split: set(rows.unique("network")) for split, rows in found.items()} == {
        split: {entry.name for entry in zoo if entry.split == split} for split in ("validation", "test")
    }


def test_the_committed_tree_is_what_its_manifest_says():
    """A formatter that touched one generated file would already make it another tree."""
    assert list(problems(load_tree(COMMITTED))) == []
    assert load_tree(COMMITTED).manifest["version"] == VERSION
    for name, table in load_tree(COMMITTED).items():
        assert [field.metadata for field in table.schema] == [field.metadata for field in schema.TABLES[name]], name


def test_a_tree_that_cannot_be_put_in_its_place_leaves_the_older_one_there(small_run, tmp_path, monkeypatch):
    pack([small_run], [], tmp_path / "tree")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    rename = Path.rename

    def refuse(path, target):
        if path.name == ".tree.partial":
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(folders, "exchange", lambda *_: False)
    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(BadInput, match=r"tree: cannot be written \(No space left on device\)"):
        pack([small_run], [], tmp_path / "tree")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
