"""Several answers an example: counts, sums and outcomes are of answers, and every reader takes them as such."""

import numpy as np
import pyarrow as pa
import pytest

from safer_bench.dataset.pack import pack
from safer_bench.dataset.tree import load_tree
from safer_bench.dataset.verify import problems
from safer_bench.errors import BadInput
from safer_bench.measurement.design import make_protocol
from safer_bench.measurement.run import measure_into
from safer_bench.tables import files, schema
from safer_bench.truth.answers import begins, of_today
from safer_bench.truth.cells import cells_of
from safer_bench.truth.fragile import fragility
from safer_bench.truth.parts import PART, expected_of
from safer_bench.truth.run_folder import TABLES, RunFolder
from tests.made_up.answers import EQUAL, LEVELS, N_EXAMPLES, RAGGED, SLICE, clean_outcomes, made_up_run, probe_outcomes
from tests.made_up.networks import tiny_network
from tests.made_up.run_folders import as_before
from tests.made_up.trees import content

KINDS = {"equal": EQUAL, "ragged": RAGGED, "one each": np.ones(N_EXAMPLES, int)}


@pytest.fixture(scope="module", params=KINDS)
def made(request, tmp_path_factory):
    """A run folder, its rows, the tree that is packed of it, and the answers of each example."""
    place = tmp_path_factory.mktemp("answers")
    folder, rows = made_up_run(place / "run", KINDS[request.param])
    pack([folder.path], [], place / "tree")
    return folder, rows, load_tree(place / "tree"), KINDS[request.param]


def test_a_tree_of_several_answers_an_example_is_in_order_and_holds_the_rows(made):
    _, rows, tree, answers = made
    assert list(problems(tree)) == []
    found = tree["layer_drops"].to_pylist()
    keys = ("layer", "perturbation", "level", "draw")
    assert {tuple(row[key] for key in keys): row["n_answers"] for row in found} == {
        tuple(row[key] for key in keys): row["n_answers"] for row in rows
    }
    for row in found:
        assert row["n_answers"] == answers[row["example_start"] :][: row["n_examples"]].sum()
    (network,) = tree["networks"].to_pylist()
    assert (network["n_examples"], network["n_answers"]) == (N_EXAMPLES, answers.sum())


def test_drops_are_of_all_answers_together(made):
    """The mean of draws' shares would weigh answers of short draws more."""
    _, rows, tree, _ = made
    (network,) = tree["networks"].to_pylist()
    above, lost = network["clean_correct"] / network["n_answers"] - 0.1, {}
    for row in rows:
        lost.setdefault((row["layer"], row["perturbation"], row["level"]), []).append(row)
    share = {
        key: sum(row["broken"] - row["fixed"] for row in of_one) / sum(row["n_answers"] for row in of_one)
        for key, of_one in lost.items()
    }
    for row in tree["layer_sensitivity"].to_pylist():
        key = row["layer"], row["perturbation"]
        if row["summary"] == "level":
            assert row["value"] == pytest.approx(share[*key, row["level"]], abs=1e-12)
            over = [each["accuracy_drop"] > 0.05 for each in lost[*key, row["level"]]]
            assert row["p_drop_over_5"] == pytest.approx(np.mean(over))
        if row["summary"] == "area":
            mean = np.mean([share[*key, level] for level in LEVELS[row["perturbation"]]])
            assert row["value"] == pytest.approx(mean / above, abs=1e-12)
    areas = {row["layer"]: row["value"] for row in tree["layer_sensitivity"].to_pylist()
             if (row["summary"], row["perturbation"]) == ("area", "noise")}  # fmt: skip
    (fragile,) = fragility(made[0])
    assert dict(zip(fragile.layers, fragile.by_perturbation["noise"].values, strict=True)) == pytest.approx(areas)


def test_changes_of_an_example_are_summed_over_its_answers(made):
    folder, _, _, answers = made
    clean = clean_outcomes(answers)
    for cell in cells_of(folder.probes(), folder.table("networks"), folder.table("perturbations")):
        deterministic = cell.identity["perturbation"] == "cut"
        for level, changes in zip(cell.levels, cell.changes, strict=True):
            assert changes.dtype == (np.int8 if (answers == 1).all() else np.int32)
            for draw, layer in np.ndindex(*changes.shape[:2]):
                start = cell.slices[draw]
                before = clean[start : start + (N_EXAMPLES if deterministic else SLICE)]
                after = probe_outcomes(before, layer, level, draw)
                expected = [int(one.sum()) - int(other.sum()) for one, other in zip(before, after, strict=True)]
                assert changes[draw, layer].tolist() == expected
        for draw, start in enumerate(cell.slices):
            assert cell.answers[draw].tolist() == answers[start : start + cell.answers.shape[1]].tolist()


def test_many_rows_are_unpacked_a_few_at_a_time(made, monkeypatch):
    folder = made[0]
    read = lambda: list(cells_of(folder.probes(), folder.table("networks"), folder.table("perturbations")))  # noqa: E731
    before = read()
    monkeypatch.setattr("safer_bench.truth.cells.MOST_BITS", 1)
    for one, other in zip(before, read(), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one.changes, other.changes, strict=True))


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("n_answers", lambda n: n - 1, "n_answers is {}, by its place it is {}"),
        ("broken", lambda n: n + 1, "flips contradicts the other counts"),
        ("predictions_changed", lambda n: 1000, "predictions_changed contradicts the other counts"),
        ("accuracy_drop", lambda drop: drop + 0.01, "accuracy_drop contradicts the other counts"),
        ("flips", lambda flips: flips + b"\0", "flips are not of {} bytes"),
    ],
)
def test_parts_are_held_against_the_answers_of_their_examples(tmp_path, name, value, what):
    folder, _ = made_up_run(tmp_path / "run", RAGGED)
    expected = expected_of(folder.request(), "made", {kind: folder.table(kind) for kind in TABLES})
    unit, path = next(iter(folder.parts().items()))
    table = files.read_parquet(path)
    assert expected.problem_of(table, unit) is None
    n = int(RAGGED[:SLICE].sum())
    values = [value(table[name][0].as_py()), *table[name].to_pylist()[1:]]
    at = PART.get_field_index(name)
    wrong = table.set_column(at, PART.field(at), pa.array(values, PART.field(at).type))
    numbers = (n - 1, n) if name == "n_answers" else ((n + 7) // 8,)
    assert expected.problem_of(wrong, unit) == what.format(*numbers)


@pytest.mark.parametrize(
    "change",
    [
        {"n_answers": int(RAGGED.sum()) - 1},
        {"answers_of_example": [*RAGGED.tolist()[:-1], 5]},
        {"answers_of_example": RAGGED.tolist()[:-1]},
        {"answers_of_example": [-1, *RAGGED.tolist()[1:-1], int(RAGGED[-1]) + 4]},
        {"answers_of_example": None},
        {"clean_outcomes": b"\xff"},
    ],
)
@pytest.mark.parametrize("whole", [True, False])
def test_a_table_of_networks_whose_answers_do_not_add_up_is_refused(tmp_path, change, whole):
    folder, _ = made_up_run(tmp_path / "run", RAGGED)
    tables = {kind: folder.table(kind) for kind in TABLES}
    tables["networks"] = schema.build("networks", [tables["networks"].to_pylist()[0] | change])
    with pytest.raises(BadInput, match="network 'made': the run's tables contradict its request"):
        expected_of(folder.request(), "made", tables, whole=whole)


def older(folder):
    """Take out of a run folder what tells of answers."""
    for path in folder.glob("parts/*/*.parquet"):
        data = files.parquet_bytes(files.read_parquet(path).drop_columns(["n_answers"]))
        path.unlink()
        path.with_name(f"{path.name.split('.')[0]}.{files.sha256_of(data)[:16]}.parquet").write_bytes(data)
    path = folder / "networks.parquet"
    table = files.read_parquet(path).drop_columns(["n_answers", "answers_of_example"])
    fields = [field.with_metadata({"description": "of before"}) for field in table.schema]
    path.write_bytes(files.parquet_bytes(table.cast(pa.schema(fields))))
    digest = files.sha256_of(path.read_bytes())
    as_before(folder, keep=True, change=lambda facts: facts["tables"].update(networks=digest))


def test_a_run_folder_of_before_had_one_answer_an_example_and_goes_on_to_the_tree_of_today(tmp_path):
    protocol = make_protocol(["sign_flip:0.1,0.5"], draws=4, n_examples=15)
    for name in ("before", "today"):
        measure_into(tmp_path / name, [tiny_network()], protocol)
        pack([tmp_path / name], [], tmp_path / "trees" / name)
    older(tmp_path / "before")
    assert "n_answers" not in files.read_parquet(next((tmp_path / "before").glob("parts/*/*.parquet"))).schema.names
    for path in sorted((tmp_path / "before").glob("parts/*/*.parquet"))[::2]:
        path.unlink()
    measure_into(tmp_path / "before", [tiny_network()], protocol)
    pack([tmp_path / "before"], [], tmp_path / "trees" / "before")
    assert content(tmp_path / "trees" / "before") == content(tmp_path / "trees" / "today")
    assert fragility(RunFolder(tmp_path / "before"))[0].network == "tiny"


def test_what_is_no_table_of_before_is_left_to_those_who_check():
    table = pa.table({"network": ["a"], "n_examples": pa.array([3], pa.int32())})
    assert of_today(table, schema.TABLES["networks"]) is table
    assert of_today(table, schema.TABLES["layers"]) is table


def test_answers_begin_where_those_before_end():
    assert begins(RAGGED).tolist() == [sum(RAGGED[:i].tolist()) for i in range(N_EXAMPLES + 1)]
