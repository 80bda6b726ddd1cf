"""Results of budgets of several runs are one table, and what is said of them is said of all."""

import pytest

from safer_bench.dataset.budgets import read_budgets
from safer_bench.errors import BadInput
from safer_bench.tables import files, schema
from safer_bench.tables.verdicts import with_verdicts

REVISION = "0123456789abcdef"


def write(folder, network, gains, **more):
    shared = {"task": "prune", "perturbation": "magnitude_prune", "network": network, "track": "blind", "budget": 0.5}
    shared |= {"draws": 1, "gain_error": 0.02, "truth_revision": REVISION}
    rows = [shared | {"criterion": f"c{i:03d}", "gain": gain} | more for i, gain in enumerate(gains)]
    table = with_verdicts(schema.build("budget_results", rows))
    folder.mkdir()
    (folder / "budget_results-prune.parquet").write_bytes(files.parquet_bytes(table))
    return table


def test_what_one_run_says_is_taken_back_where_there_are_many_comparisons(tmp_path):
    first = write(tmp_path / "a", "a", [0.05, 0.1])
    assert first["verdict"].to_pylist() == ["beats uniform", "beats uniform"]
    write(tmp_path / "b", "b", [0.0] * 50)
    found = {(row["network"], row["criterion"]): row["verdict"] for row in read_budgets(tmp_path, REVISION).to_pylist()}
    assert len(found) == 52
    assert (found["a", "c000"], found["a", "c001"]) == ("undecided", "beats uniform")


def test_one_network_twice_is_refused_by_the_names_of_both(tmp_path):
    write(tmp_path / "a", "a", [0.05])
    write(tmp_path / "b", "a", [0.05])
    with pytest.raises(BadInput) as error:
        read_budgets(tmp_path, REVISION)
    assert str(error.value) == (
        f"{tmp_path}: two of its files hold the same budgets; remove the older one of a/budget_results-prune.parquet, "
        "b/budget_results-prune.parquet"
    )


def test_a_run_of_another_truth_is_refused(tmp_path):
    write(tmp_path / "a", "a", [0.05])
    write(tmp_path / "b", "b", [0.05], truth_revision="fedcba9876543210")
    with pytest.raises(
        BadInput, match=r"b/budget_results-prune.parquet: of truth fedcba9876543210, not 0123456789abcdef; repeat"
    ):
        read_budgets(tmp_path, REVISION)
