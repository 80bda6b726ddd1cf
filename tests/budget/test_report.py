"""Results read as sentences, tables and plots: what they say is what the table holds."""

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from safer_bench.budget.additivity import Fit
from safer_bench.budget.plots import _curve, _styles, additivity_png, curves_png
from safer_bench.budget.report import check_networks_stay, write_additivity, write_outcome
from safer_bench.budget.spend import Outcome
from safer_bench.budget.summary import additivity_markdown, markdown, panels, sentence
from safer_bench.budget.tasks import TASKS
from safer_bench.dataset.budgets import read_budgets
from safer_bench.errors import BadInput
from safer_bench.tables import schema
from safer_bench.tables.pictures import new_figure

PROTECT, PRUNE = TASKS["protect"], TASKS["prune"]


def row(criterion, budget, accuracy, **more):
    shared = {"criterion": criterion, "track": "blind", "network": "net", "dataset": "digits", "split": "test"}
    shared |= {"task": "protect", "perturbation": "int8_bit_flip", "level": 0.001, "n_examples": 2500, "draws": 10}
    shared |= {"spent": budget * 0.97, "gain": accuracy - 0.65, "gain_low": accuracy - 0.66, "gain_high": accuracy - 0.64}
    shared |= {"gain_error": 0.005, "verdict": "beats uniform", "regret": 0.86 - accuracy}
    ends = {"low": accuracy - 0.011, "high": accuracy + 0.008, "truth_revision": "0123456789abcdef"}
    return shared | {"budget": budget, "accuracy": accuracy} | ends | more


ROWS = [
    row("nothing_protected", 0.0, 0.603),
    row("everything_protected", 1.0, 0.94),
    *(row("uniform", b, a) for b, a in ((0.05, 0.61), (0.1, 0.65), (0.2, 0.7))),
    *(row("first_and_last", b, a) for b, a in ((0.05, 0.62), (0.1, 0.66), (0.2, 0.7))),
    *(row("snip", b, a, truth_guided_share=0.96) for b, a in ((0.05, 0.8), (0.1, 0.852), (0.2, 0.88))),
    *(row("l2_norm", b, a) for b, a in ((0.05, 0.5), (0.1, 0.55), (0.2, 0.9))),
    *(row("measured_drop_128", b, a) for b, a in ((0.05, 0.81), (0.1, 0.859), (0.2, 0.89))),
    *(row("truth_guided", b, a) for b, a in ((0.05, 0.82), (0.1, 0.86), (0.2, 0.9))),
]


@pytest.fixture
def results():
    return schema.build("budget_results", ROWS)


def test_the_sentence_is_the_engineers(results):
    (panel,) = panels(results, PROTECT)
    assert sentence(panel, PROTECT) == (
        "net, int8_bit_flip, bit-error rate 0.001: with snip, protecting 10 % of the weights (9.7 % spent) keeps 85.2 % (84.1 to 86.0) accuracy, "
        "20.2 points above uniform at equal spending (beats uniform); unprotected 60.3 %, everything protected 94.0 %, uniform 65.0 %, truth-guided 86.0 %."
    )


def test_where_only_controls_have_scores_the_best_of_them_is_named():
    found = [each for each in ROWS if each["criterion"] not in ("snip", "l2_norm", "truth_guided")]
    (panel,) = panels(schema.build("budget_results", found), PROTECT)
    assert sentence(panel, PROTECT).startswith("net, int8_bit_flip, bit-error rate 0.001: with measured_drop_128, ")
    assert sentence(panel, PROTECT).endswith("uniform 65.0 %.")


def test_the_best_come_first_and_baselines_are_none_of_them(results):
    (panel,) = panels(results, PROTECT)
    assert list(panel.curves)[:5] == ["everything_protected", "truth_guided", "measured_drop_128", "snip", "first_and_last"]
    assert panel.best(3) == ["snip", "l2_norm"]
    assert panel.best_baseline == "first_and_last"
    assert panel.budgets == (0.05, 0.1, 0.2)


def test_the_summary_holds_a_table_of_each_network_and_level(results):
    text = markdown(results, PROTECT, ["net: something was not possible"])
    lines = text.splitlines()
    assert lines[0] == "# Budget: protect-int8_bit_flip"
    assert "## net, int8_bit_flip, bit-error rate 0.001 (digits, test)" in lines
    assert "| criterion | 0.05 | 0.1 | 0.2 | share |" in lines
    assert (
        "| snip | 80.0 (78.9 to 80.8) at 4.85 % | 85.2 (84.1 to 86.0) at 9.7 % | 88.0 (86.9 to 88.8) at 19.4 % | 0.96 |"
        in lines
    )
    nothing = "60.3 (59.2 to 61.1) at 0 %"
    assert f"| nothing_protected | {nothing} | {nothing} | {nothing} | - |" in lines
    assert "| criterion | 0.05 | 0.1 | 0.2 |" in lines
    gains = "+15.0 (14.0 to 16.0) beats uniform | +20.2 (19.2 to 21.2) beats uniform | +23.0 (22.0 to 24.0) beats uniform"
    assert f"| snip | {gains} |" in lines
    assert "| snip | 6.0 (-) | 0.8 (-) | -2.0 (-) |" in lines
    assert sum(line.startswith("| nothing_protected") for line in lines) == 1, "a limit has neither gain nor regret"
    assert lines[2].startswith(
        "Accuracy in percent with its 95 % interval over 2,500 examples and 10 draws, and what was spent."
    )
    assert text.endswith("\n## Notes\n\n- net: something was not possible\n")


def test_a_budget_that_one_cannot_keep_to_is_a_dash():
    found = [each for each in ROWS if (each["criterion"], each["budget"]) != ("first_and_last", 0.2)]
    text = markdown(schema.build("budget_results", found), PROTECT, [])
    assert "| first_and_last | 62.0 (60.9 to 62.8) at 4.85 % | 66.0 (64.9 to 66.8) at 9.7 % | - | - |" in text


def test_criteria_are_ordered_by_the_budgets_that_all_kept_to():
    """Else one that is missing where all are bad would come first."""
    found = [each for each in ROWS if (each["criterion"], each["budget"]) != ("l2_norm", 0.05)]
    (panel,) = panels(schema.build("budget_results", found), PROTECT)
    assert panel.best(3) == ["snip", "l2_norm"]


def test_a_criterion_of_two_tracks_is_told_apart():
    found = [*ROWS, *(row("snip", b, 0.9, track="perturbation_aware") for b in (0.05, 0.1, 0.2))]
    (panel,) = panels(schema.build("budget_results", found), PROTECT)
    assert panel.best(1) == ["snip (perturbation_aware)"]
    assert "snip (blind)" in panel.curves


def test_fewer_bits_come_last():
    found = [each | {"budget": bits, "level": None, "task": "quantize"} for bits in (3.0, 6.0, 4.0) for each in ROWS[2:3]]
    (panel,) = panels(schema.build("budget_results", found), TASKS["quantize"])
    assert (panel.budgets, panel.middle, panel.title) == ((6.0, 4.0, 3.0), 4.0, "net")


def test_files_are_named_by_the_task_and_its_perturbation(results, tmp_path):
    allocations = schema.build("budget_allocations", [{"criterion": "snip", "layer": "a", "amount": 1.0}])
    summary = write_outcome(tmp_path / "new", PROTECT, Outcome(results, allocations))
    label, endings = "protect-int8_bit_flip", ("csv", "parquet")
    names = [f"budget_{what}-{label}.{ending}" for what in ("allocations", "results") for ending in endings]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        f"budget-{label}.md",
        f"budget-{label}.png",
        *names,
    ]
    assert summary.read_text() == markdown(results, PROTECT, ())
    written = pq.read_table(tmp_path / "new" / f"budget_results-{label}.parquet")
    assert written.equals(results)
    schema.check_schema(written, "budget_results", "here")
    csv = pyarrow.csv.read_csv(tmp_path / "new" / f"budget_results-{label}.csv")
    assert csv["accuracy"].to_pylist() == results["accuracy"].to_pylist()


def test_results_of_networks_that_a_run_does_not_measure_are_not_replaced(results, tmp_path):
    check_networks_stay(tmp_path, PROTECT, "int8_bit_flip", ["other"])
    write_outcome(tmp_path, PROTECT, Outcome(results, schema.build("budget_allocations", [])))
    check_networks_stay(tmp_path, PROTECT, "int8_bit_flip", ["net", "other"])
    check_networks_stay(tmp_path, PROTECT, "float32_bit_flip", ["other"])
    with pytest.raises(BadInput) as error:
        check_networks_stay(tmp_path, PROTECT, "int8_bit_flip", ["other"])
    assert str(error.value) == (
        f"{tmp_path / 'budget_results-protect-int8_bit_flip.parquet'} holds net, which this run would remove: name it by "
        f"--network too, or give each run a folder of its own, such as --out {tmp_path / 'other'}"
    )


def test_a_criterion_without_the_middle_budget_is_not_the_sentences_best(results):
    """HAWQ-V2's rule has no allocation beyond the tightest choice: the summary failed after all had been measured."""
    (before,) = panels(results, PROTECT)
    (panel,) = panels(schema.build("budget_results", [*ROWS, row("hawq_v2", 0.05, 0.99)]), PROTECT)
    assert panel.best(1) == ["hawq_v2"]
    assert sentence(panel, PROTECT) == sentence(before, PROTECT)


def test_another_perturbation_of_a_task_leaves_the_first_ones_files_as_they_are(results, tmp_path):
    """They were overwritten once; the results of both are read as one table."""
    other = schema.build("budget_results", [row | {"perturbation": "float32_bit_flip", "level": 1e-6} for row in ROWS])
    allocations = schema.build("budget_allocations", [])
    first = write_outcome(tmp_path, PROTECT, Outcome(results, allocations)).read_text()
    second = write_outcome(tmp_path, PROTECT, Outcome(other, allocations))
    assert (tmp_path / "budget-protect-int8_bit_flip.md").read_text() == first
    assert second.name == "budget-protect-float32_bit_flip.md"
    assert len(list(tmp_path.iterdir())) == 12
    both = read_budgets(tmp_path)
    assert both.num_rows == 2 * len(ROWS)
    (tmp_path / "budget_results-protect.parquet").write_bytes(
        (tmp_path / "budget_results-protect-int8_bit_flip.parquet").read_bytes()
    )
    with pytest.raises(
        BadInput, match=r"two of its files hold the same budgets; remove the older one of budget_results-protect-f"
    ):
        read_budgets(tmp_path)
    assert [panel.title for panel in panels(both, PROTECT)] == [
        "net, float32_bit_flip, bit-error rate 1e-06",
        "net, int8_bit_flip, bit-error rate 0.001",
    ]


def test_perturbations_at_one_level_are_panels_of_their_own(results):
    """Else the rows of one would take the place of the other's."""
    other = [each | {"perturbation": "float32_bit_flip", "accuracy": 0.5} for each in ROWS]
    first, second = panels(schema.build("budget_results", ROWS + other), PROTECT)
    assert (first.perturbation, second.perturbation) == ("float32_bit_flip", "int8_bit_flip")
    assert (first.curves["snip"][0.1]["accuracy"], second.curves["snip"][0.1]["accuracy"]) == (0.5, 0.852)


def test_a_plan_is_drawn_and_is_no_criterion_that_others_are_set_against(results):
    planned = [each | {"criterion": "plan"} for each in ROWS if each["criterion"] == "snip"]
    (panel,) = panels(schema.build("budget_results", [*ROWS, *planned]), PROTECT)
    assert "plan" in _styles(panel)
    assert "plan" not in panel.best(100)


def test_plots_are_drawn(results):
    assert curves_png(panels(results, PROTECT), PROTECT).startswith(b"\x89PNG")
    pruned = [each | {"level": None} for each in ROWS[2:]]
    assert len(curves_png(panels(schema.build("budget_results", pruned), PRUNE), PRUNE)) > 10_000


def test_a_curve_is_drawn_at_what_was_spent(results):
    (panel,) = panels(results, PROTECT)
    _, (axes,) = new_figure(4.0, 3.0, 1, 1)
    _curve(axes, panel, "snip", "black", "o")
    assert axes.lines[0].get_xdata().tolist() == pytest.approx([0.0485, 0.097, 0.194])


def test_additivity_is_written_with_its_fits(tmp_path):
    rows = [
        {"network": "net", "perturbation": "quantize", "level": 4.0, "set": i, "sum_of_drops": i / 50, "joint_drop": i / 100}
        for i in range(50)
    ]
    table = schema.build("budget_additivity", rows)
    summary = write_additivity(tmp_path, table)
    assert summary.read_text().splitlines()[-1] == "| net | quantize | 4 | 50 | 1.00 | 0.50 | -2.88 |"
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".csv", ".md", ".parquet", ".png"]
    assert additivity_png(table).startswith(b"\x89PNG")


def test_a_missing_fit_is_a_dash():
    nan = float("nan")
    assert additivity_markdown([Fit("net", "quantize", 6.0, 50, nan, nan, nan)]).splitlines()[-1] == (
        "| net | quantize | 6 | 50 | - | - | - |"
    )
