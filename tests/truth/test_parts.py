"""A part that is not what its run measured there is refused, whatever its name says; and its counts fit together."""

import shutil

import numpy as np
import pyarrow as pa
import pytest

from safer_bench.dataset.pack import pack
from safer_bench.errors import BadInput
from safer_bench.measurement.design import Shard, make_protocol
from safer_bench.measurement.run import measure_into
from safer_bench.tables import files
from safer_bench.truth.parts import PART, expected_of
from safer_bench.truth.run_folder import TABLES, RunFolder
from tests.made_up.networks import tiny_network
from tests.made_up.run_folders import as_before

PROTOCOL = make_protocol(["sign_flip:0.1,0.5", "quantize:2"], draws=4, n_examples=20, deterministic_examples=20)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    out = tmp_path_factory.mktemp("measured") / "run"
    measure_into(out, [tiny_network("one"), tiny_network("two")], PROTOCOL)
    return out


@pytest.fixture
def run(measured, tmp_path):
    return shutil.copytree(measured, tmp_path / "run")


def part(run, stem, network="one"):
    return next((run / "parts" / network).glob(f"{stem}.*"))


def put(path, table):
    """Write a table in place of a part, by a name that holds its checksum."""
    data = files.parquet_bytes(table)
    path.unlink()
    path = path.with_name(f"{path.name.split('.')[0]}.{files.sha256_of(data)[:16]}.parquet")
    path.write_bytes(data)
    return path


def refused(run, tmp_path):
    messages = []
    for read in (lambda: pack([run], [], tmp_path / "tree"), RunFolder(run).probes):
        with pytest.raises(BadInput) as error:
            read()
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    assert not (tmp_path / "tree").exists()
    return messages[0]


@pytest.mark.parametrize(
    ("source", "target", "what"),
    [
        (("one", "000000-000020-0000"), ("one", "000000-000020-0001"), "layer is '"),
        (("one", "000000-000020-0000"), ("one", "000020-000020-0000"), "example_start is 0, by its place it is 20"),
        (("one", "000000-000020-0000"), ("two", "000000-000020-0000"), "network is 'one', by its place it is 'two'"),
    ],
)
def test_a_part_under_another_units_name_is_found(run, tmp_path, source, target, what):
    copied, place = part(run, source[1], source[0]), part(run, target[1], target[0])
    new = place.with_name(f"{target[1]}.{copied.name.split('.')[1]}.parquet")
    place.unlink()
    shutil.copy(copied, new)
    message = refused(run, tmp_path)
    assert message.startswith(f"{new}: is not what this run measured there ({what}")
    assert message.endswith("; remove it and repeat the measure command")
    new.unlink()
    measure_into(run, [tiny_network("one"), tiny_network("two")], PROTOCOL)
    assert RunFolder(run).probes().num_rows == 2 * 3 * (2 * 4 + 1)


def test_a_part_of_another_network_of_that_name_is_found_by_its_clean_answers(run, tmp_path):
    """Folders of before told two networks apart by their weights alone."""
    clean = RunFolder(run).table("networks").to_pylist()[0]["clean_outcomes"]
    n_right = int(np.unpackbits(np.frombuffer(clean, np.uint8))[20:40].sum())
    path = part(run, "000020-000020-0002")
    table = files.read_parquet(path)
    other = pa.array([n_right - 1] * table.num_rows, pa.int32())
    new = put(path, table.set_column(PART.get_field_index("correct_clean"), PART.field("correct_clean"), other))
    found = f"correct_clean is {n_right - 1}, by the clean answers it is {n_right}"
    assert refused(run, tmp_path).startswith(f"{new}: is not what this run measured there ({found}); remove it")


def changed(table, name, value, row=0):
    values = table[name].to_pylist()
    values[row] = value(values[row]) if callable(value) else value
    return table.set_column(PART.get_field_index(name), PART.field(name), pa.array(values, PART.field(name).type))


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("broken", lambda x: x + 1, "flips contradicts the other counts"),
        ("broken", -1, "broken contradicts the other counts"),
        ("fixed", 10**6, "fixed contradicts the other counts"),
        ("predictions_changed", -1, "predictions_changed contradicts the other counts"),
        ("predictions_changed", 21, "predictions_changed contradicts the other counts"),
        ("changed_entries", 10**12, "changed_entries contradicts the other counts"),
        ("accuracy_drop", 0.123, "accuracy_drop contradicts the other counts"),
        ("accuracy_drop", float("nan"), "accuracy_drop contradicts the other counts"),
        ("loss_increase", float("inf"), "loss_increase contradicts the other counts"),
        ("flips", b"", "flips are not of 3 bytes"),
        ("flips", b"\0\0\x01", "flips contradicts the other counts"),
        ("n_examples", 15, "n_examples is 15, by its place it is 20"),
        ("layer_index", 7, "layer_index is 7, by its place it is 0"),
        ("split", "validation", "split is 'validation', by its place it is 'test'"),
        ("level", 0.2, "it lacks perturbation 'quantize', level 2, draw 0"),
        ("draw", 99, "it lacks perturbation 'quantize', level 2, draw 0"),
        ("perturbation", "mine", "it lacks perturbation 'quantize', level 2, draw 0"),
        ("weight_digest", None, "weight_digest is missing in some row"),
    ],
)
def test_a_part_whose_rows_cannot_be_is_named(measured, name, value, what):
    folder = RunFolder(measured)
    expected = expected_of(folder.request(), "one", {kind: folder.table(kind) for kind in TABLES})
    unit = next(iter(folder.units()))
    table = files.read_parquet(folder.parts()[unit])
    assert expected.problem_of(table, unit) is None
    row = table["perturbation"].to_pylist().index("quantize")
    assert expected.problem_of(changed(table, name, value, row), unit) == what
    assert expected.problem_of(table, unit) is None


def test_rows_too_few_too_many_or_of_other_columns_are_named(measured):
    folder = RunFolder(measured)
    expected = expected_of(folder.request(), "one", {kind: folder.table(kind) for kind in TABLES})
    unit = next(iter(folder.units()))
    table = files.read_parquet(folder.parts()[unit])
    assert expected.problem_of(table.slice(1), unit).startswith("it lacks perturbation ")
    assert expected.problem_of(pa.concat_tables([table, table.slice(0, 1)]), unit) == "a probe is there twice"
    assert expected.problem_of(table.slice(0, 0), unit) == "it is empty"
    assert expected.problem_of(table.drop_columns(["flips"]), unit) == "other columns than those of a part"
    assert expected.problem_of(table.slice(0, 3).take([2, 1, 0]), unit).startswith("it lacks")
    shuffled = table.take(list(range(table.num_rows))[::-1])
    assert expected.problem_of(shuffled, unit) is None


def test_flips_of_the_right_number_on_the_wrong_examples_are_found(measured):
    folder = RunFolder(measured)
    expected = expected_of(folder.request(), "one", {kind: folder.table(kind) for kind in TABLES})
    unit, right = next(iter(folder.units())), expected.right[:20]
    table = files.read_parquet(folder.parts()[unit])
    rows = [
        (row, np.unpackbits(np.frombuffer(flips, np.uint8), count=20).astype(bool))
        for row, flips in enumerate(table["flips"].to_pylist())
    ]
    row, bits = next((row, bits) for row, bits in rows if (bits & right).any() and (~bits & ~right).any())
    bits[np.flatnonzero(bits & right)[0]], bits[np.flatnonzero(~bits & ~right)[0]] = False, True
    wrong = changed(table, "flips", np.packbits(bits).tobytes(), row)
    assert expected.problem_of(wrong, unit) == "flips contradicts the other counts"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda request: request["perturbations"]["sign_flip"].reverse(), "contradict its request"),
        (lambda request: request["perturbations"].pop("quantize"), "it holds, unasked for, perturbation 'quantize'"),
        (lambda request: request.update(draws=5), "it lacks perturbation 'sign_flip', level 0.1, draw 4"),
        (lambda request: request.update(first_draw=1), "it holds, unasked for, perturbation 'quantize', level 2, draw 0"),
        (lambda request: request.update(examples=15), "contradict its draws"),
        (lambda request: request.update(deterministic_examples=30), "contradict its draws"),
        (lambda request: request.update(first_draw={"sign_flip": 0}), "first_draw and perturbations name different pert"),
        (
            lambda request: request.update(first_draw={"sign_flip": 1, "quantize": 0}),
            "it holds, unasked for, perturbation 'sign_flip', level 0.1, draw 0",
        ),
        (lambda request: request["networks"]["one"].update(weights="0" * 64), "contradict its request"),
    ],
)
def test_a_request_that_the_folder_contradicts_is_refused_also_in_folders_of_before(run, tmp_path, change, what):
    as_before(run, change=lambda facts: change(facts["request"]))
    with pytest.raises(BadInput, match=what):
        pack([run], [], tmp_path / "tree")


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("layers", "split", "validation"),
        ("layers", "dataset", "other"),
        ("layers", "macs", 10**9),
        ("networks", "macs", 10**9),
        ("networks", "clean_correct", 0),
    ],
)
def test_tables_of_a_folder_that_contradict_each_other_are_refused(run, tmp_path, table, column, value):
    """Their digests are those that run.json says, as whoever edits one can write the other."""
    path = run / f"{table}.parquet"
    rows = files.read_parquet(path)
    values = [value, *rows[column].to_pylist()[1:]]
    at = rows.schema.get_field_index(column)
    path.write_bytes(
        files.parquet_bytes(rows.set_column(at, rows.schema.field(at), pa.array(values, rows.schema.types[at])))
    )
    as_before(run, keep=True, change=lambda facts: facts["tables"].update({table: files.sha256_of(path.read_bytes())}))
    with pytest.raises(BadInput, match="network 'one': the run's tables contradict"):
        pack([run], [], tmp_path / "tree")


def test_shards_are_held_against_the_clean_answers_of_all(tmp_path):
    for number in (1, 2):
        measure_into(tmp_path / str(number), [tiny_network("one")], PROTOCOL, shard=Shard(number, 2))
    pack([tmp_path / "1", tmp_path / "2"], [], tmp_path / "tree")
    path = next((tmp_path / "2" / "parts" / "one").iterdir())
    table = files.read_parquet(path)
    right = table["correct_clean"][0].as_py()
    put(
        path,
        table.set_column(
            PART.get_field_index("correct_clean"),
            PART.field("correct_clean"),
            pa.array([right + 1] * table.num_rows, pa.int32()),
        ),
    )
    with pytest.raises(BadInput, match=rf"correct_clean is {right + 1}, by the clean answers it is {right}\)"):
        pack([tmp_path / "1", tmp_path / "2"], [], tmp_path / "tree2")
