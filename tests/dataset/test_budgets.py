"""Results of budgets of several runs are one table, and what is said of them is said of all."""

import pyarrow.compute as pc
import pytest

from safer_bench.dataset.budgets import read_budgets
from safer_bench.dataset.contents import network_revisions
from safer_bench.errors import BadInput
from safer_bench.tables import files, schema
from safer_bench.tables.verdicts import with_verdicts

REVISION = "0123456789abcdef"
BOTH = {"a": REVISION, "b": REVISION}


def write(folder, network, gains, **more):
    shared = {"task": "prune", "perturbation": "magnitude_prune", "network": network, "track": "blind", "budget": 0.5}
    shared |= {"draws": 1, "gain_error": 0.02, "truth_revision": REVISION, "n_examples": 2500}
    rows = [shared | {"criterion": f"c{i:03d}", "gain": gain} | more for i, gain in enumerate(gains)]
    table = with_verdicts(schema.build("budget_results", rows))
    folder.mkdir()
    (folder / "budget_results-prune.parquet").write_bytes(files.parquet_bytes(table))
    return table


def test_what_one_run_says_is_taken_back_where_there_are_many_comparisons(tmp_path):
    first = write(tmp_path / "a", "a", [0.05, 0.1])
    assert first["verdict"].to_pylist() == ["beats uniform", "beats uniform"]
    write(tmp_path / "b", "b", [0.0] * 50)
    found = {(row["network"], row["criterion"]): row["verdict"] for row in read_budgets(tmp_path, BOTH).to_pylist()}
    assert len(found) == 52
    assert (found["a", "c000"], found["a", "c001"]) == ("undecided", "beats uniform")


def test_one_network_twice_is_refused_by_the_names_of_both(tmp_path):
    write(tmp_path / "a", "a", [0.05])
    write(tmp_path / "b", "a", [0.05])
    with pytest.raises(BadInput) as error:
        read_budgets(tmp_path, BOTH)
    assert str(error.value) == (
        f"{tmp_path}: two of its files hold the same budgets; remove the older one of a/budget_results-prune.parquet, "
        "b/budget_results-prune.parquet"
    )


@pytest.mark.parametrize(
    ("truth", "told"),
    [
        (
            {"a": REVISION, "b": "fedcba9876543210"},
            f"network 'b' was judged by truth {REVISION}, not fedcba9876543210; repeat",
        ),
        (
            {"a": REVISION, "c": REVISION},
            "network 'b' is not in the truth; remove the file, or name a truth that has it",
        ),
    ],
)
def test_a_run_of_another_truth_of_its_network_is_refused(tmp_path, truth, told):
    write(tmp_path / "a", "a", [0.05])
    write(tmp_path / "b", "b", [0.05])
    with pytest.raises(BadInput, match=f"b/budget_results-prune.parquet: {told}"):
        read_budgets(tmp_path, truth)


def test_a_truth_that_grew_by_a_network_keeps_the_budgets_of_the_others(tmp_path):
    write(tmp_path / "a", "a", [0.05])
    assert read_budgets(tmp_path, BOTH).num_rows == 1


def test_what_names_a_networks_measurements_is_the_same_beside_other_networks(small_tree):
    drops = small_tree["layer_drops"]
    found = network_revisions(drops)
    alone = {name: drops.filter(pc.equal(drops["network"], name)) for name in found}
    assert len(set(found.values())) == len(found) > 1
    for name, rows in alone.items():
        assert network_revisions(rows) == {name: found[name]}
        assert network_revisions(rows.replace_schema_metadata({"other": "words"})) == {name: found[name]}
        assert network_revisions(rows.slice(1)) != {name: found[name]}, "a probe less is another truth"
