"""What is wrong with a tree is told, even where its manifest was made to fit."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from safer_bench.dataset.tree import content_hash, load_tree
from safer_bench.dataset.verify import choose_rows, inconsistent, problems, row_name
from safer_bench.tables import files


@pytest.fixture
def copy(small_tree, tmp_path):
    return shutil.copytree(small_tree.path, tmp_path / "tree")


def forge(copy, table, change, n_rows=1):
    """Change the first rows of a table's test split, fit the manifest, and return what those rows were."""
    name = f"{table}/test-00000-of-00001.parquet"
    old = pq.read_table(copy / name)
    rows = old.to_pylist()
    changed = [row | change(row) for row in rows[:n_rows]] + rows[n_rows:]
    files.write_bytes(copy / name, files.parquet_bytes(pa.Table.from_pylist(changed, schema=old.schema)))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"][name] = files.sha256_of((copy / name).read_bytes())
    (copy / "manifest.json").write_text(json.dumps(manifest))
    manifest["contents"][table] = content_hash(load_tree(copy)[table])
    (copy / "manifest.json").write_text(json.dumps(manifest))
    return rows[:n_rows]


def test_a_good_tree_has_no_problems(small_tree):
    assert list(problems(small_tree)) == []


def test_files_are_held_against_the_manifest(copy):
    (copy / "README.md").write_text("another")
    (copy / "croissant.json").unlink()
    (copy / "notes.txt").write_text("")
    assert list(problems(load_tree(copy))) == [
        "notes.txt: not in the manifest",
        "croissant.json: missing",
        "README.md: differs from the manifest",
    ]


def test_a_clone_of_a_published_tree_is_no_other_tree(copy):
    for name in (".git/HEAD", ".gitattributes", ".cache/huggingface/x", "submissions/mine/submission.yaml"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("")
    assert list(problems(load_tree(copy))) == []
    (copy / "cells" / ".git").write_text("")
    assert next(problems(load_tree(copy))) == "cells/.git: not in the manifest"


def test_rows_are_held_against_their_content_hash(copy):
    forge(copy, "layers", lambda row: {"fan_in": row["fan_in"] + 1})
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["contents"]["layers"] = "0" * 64
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert list(problems(load_tree(copy))) == ["layers: its rows differ from the manifest's content hash"]


def test_a_column_of_another_type_is_told(copy):
    name = "layers/test-00000-of-00001.parquet"
    table = pq.read_table(copy / name)
    table = table.set_column(table.schema.get_field_index("fan_in"), "fan_in", table["fan_in"].cast(pa.int64()))
    pq.write_table(table, copy / name)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"][name] = files.sha256_of((copy / name).read_bytes())
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert list(problems(load_tree(copy))) == [f"{copy / name}: column 'fan_in' is int64, expected int32"]


@pytest.mark.parametrize(
    "change",
    [
        lambda row: {"broken": row["correct_clean"] + 1},
        lambda row: {"fixed": row["n_answers"] - row["correct_clean"] + 1},
        lambda row: {"fixed": -1},
        lambda row: {"broken": -1},
        lambda row: {"correct_clean": row["n_answers"] + 1},
        lambda row: {"predictions_changed": row["broken"] + row["fixed"] - 1},
        lambda row: {"predictions_changed": row["n_answers"] + 1},
        lambda row: {"changed_entries": -1},
        lambda row: {"accuracy_drop": row["accuracy_drop"] + 1e-15},
        lambda row: {"n_examples": 0},
        lambda row: {"n_answers": 0},
        lambda row: {"n_answers": row["predictions_changed"] - 1},
    ],
)
def test_counts_that_cannot_be_those_of_one_probe_are_found(small_tree, change):
    table = small_tree["layer_drops"]
    assert inconsistent(table) == []
    rows = table.to_pylist()
    at = next(i for i, row in enumerate(rows) if row["broken"] > 0)
    rows[at] |= change(rows[at])
    assert inconsistent(pa.Table.from_pylist(rows, schema=table.schema)) == [rows[at]]


def test_a_row_whose_sums_do_not_fit_is_named(copy):
    (row,) = forge(copy, "layer_drops", lambda row: {"accuracy_drop": 0.123})
    assert list(problems(load_tree(copy))) == [f"layer_drops: {row_name(row)}: sums do not fit"]


def test_flips_that_do_not_add_up_to_the_counts_are_named(copy):
    (row,) = forge(copy, "outcomes", lambda row: {"flips": bytes(b ^ 128 * (i == 0) for i, b in enumerate(row["flips"]))})
    table = load_tree(copy)["layer_drops"].to_pylist()
    drop = next(other for other in table if row_name(other) == row_name(row))
    counted = drop["broken"] + drop["fixed"]
    flipped = counted + (-1 if row["flips"][0] & 128 else 1)
    assert list(problems(load_tree(copy))) == [
        f"outcomes: {row_name(row)}: {flipped} answers flipped, layer_drops says {counted}"
    ]


def test_outcomes_of_other_probes_are_told(copy):
    forge(copy, "outcomes", lambda row: {"draw": 99})
    assert list(problems(load_tree(copy))) == ["outcomes: its probes are not those of layer_drops"]


def test_right_answers_that_are_not_as_many_as_counted_are_told(copy):
    (row,) = forge(copy, "networks", lambda row: {"clean_correct": row["clean_correct"] - 1})
    counted = row["clean_correct"]
    assert list(problems(load_tree(copy))) == [
        f"networks: {row['network']}: {counted} answers are right, clean_correct says {counted - 1}"
    ]


@pytest.mark.parametrize("n", [-1, 0, 1])
def test_answers_that_are_not_those_of_their_examples_are_told(copy, n):
    """Also where they fit the row's other counts."""
    more = lambda row: {  # noqa: E731
        "n_answers": row["n_answers"] + 1,
        "accuracy_drop": (row["broken"] - row["fixed"]) / (row["n_answers"] + 1),
    }
    (row,) = forge(copy, "layer_drops", more)
    place = f"{row['network']}, {row['n_examples']} examples from {row['example_start']}"
    told = f"n_answers is {row['n_answers'] + 1}, by the table networks they have {row['n_answers']}"
    assert list(problems(load_tree(copy))) == [f"layer_drops: {place}: {told}"]
    forge(copy, "layer_drops", lambda _: {"n_answers": row["n_answers"], "accuracy_drop": row["accuracy_drop"]})
    forge(copy, "layer_drops", lambda _: {"example_start": n * 10**6 - 1})
    found = list(problems(load_tree(copy)))
    total = next(each["n_examples"] for each in load_tree(copy)["networks"].to_pylist() if each["network"] == row["network"])
    assert found == [
        f"layer_drops: {row['network']}, {row['n_examples']} examples from {n * 10**6 - 1}: the network has {total}"
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda row: {"n_answers": row["n_answers"] - 1},
        lambda row: {"answers_of_example": [2] * row["n_examples"]},
        lambda row: {"answers_of_example": [1] * (row["n_examples"] - 1) + [None]},
        lambda row: {"answers_of_example": [-1, 3] + [1] * (row["n_examples"] - 2)},
        lambda row: {"answers_of_example": [row["n_answers"]]},
        lambda row: {"answers_of_example": []},
    ],
)
def test_a_network_whose_answers_do_not_add_up_is_told(copy, change):
    (row,) = forge(copy, "networks", change)
    assert list(problems(load_tree(copy))) == [
        f"networks: {row['network']}: n_examples, n_answers and answers_of_example contradict each other"
    ]


def test_rows_to_measure_again_are_chosen_alike_each_time_and_otherwise_for_another_seed(small_tree):
    table = small_tree["layer_drops"]
    names = [[row_name(row) for row in choose_rows(table, 8, seed)] for seed in (0, 0, 1)]
    assert names[0] == names[1] != names[2]
    assert len(set(names[0])) == 8
    assert len(choose_rows(table, 10**6)) == table.num_rows
