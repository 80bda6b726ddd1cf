"""What budgets buy and what resistant training is worth, told as the tables have it."""

import json
import re

import numpy as np
import pytest
from scipy.stats import ttest_rel

from docs.findings import resistant, spending
from docs.findings.data import Data
from safer_bench.tables import files, schema
from tests.conftest import ROOT
from tests.made_up.zoo_truth import network, own_order, zoo_truth

NETWORKS = [f"network{i}" for i in range(7)]
ROW = {"dataset": "fashion_mnist", "split": "test", "track": "blind", "n_examples": 100, "draws": 1}
QUANTIZE = {**ROW, "task": "quantize", "perturbation": "quantize"}
ACCURACIES = ROOT / "data_cards" / "safer-bench-zoo" / "test_accuracy.json"


def rows_of(criterion, budget, gain, *, spent=None, half=0.01, networks=NETWORKS):
    """Return rows of uniform and of a criterion that gains so much over it."""
    of_uniform = {**QUANTIZE, "criterion": "uniform", "budget": budget, "spent": budget, "accuracy": 0.5, "gain": 0.0}
    ends = {"gain": gain, "gain_low": gain - half, "gain_high": gain + half}
    own = {**QUANTIZE, "criterion": criterion, "budget": budget, "spent": spent or budget, "accuracy": 0.5 + gain, **ends}
    return [{**row, "network": name} for name in networks for row in (of_uniform, own)]


def found(folder, rows, label="quantize"):
    """Return the finding of a folder with one table of budgets; rows of uniform that come twice are one."""
    unique = {(row["network"], row["criterion"], row["budget"]): row for row in rows}
    table = schema.build("budget_results", list(unique.values()))
    (folder / f"budget_results-{label}.parquet").write_bytes(files.parquet_bytes(table))
    tables = zoo_truth([network(name) for name in NETWORKS], lambda name, _: own_order(name), {"quantize": "quantization"})
    return spending.find(Data(tables, folder))


@pytest.mark.parametrize(("gain", "better", "worse"), [(0.1, "7", "0"), (-0.1, "0", "7"), (0.005, "0", "0")])
def test_a_gain_is_told_as_its_interval_says(tmp_path, gain, better, worse):
    finding = found(tmp_path, rows_of("snip", 4.0, gain))
    (row,) = finding.tables[0].rows
    assert row[:4] == ["`snip`", better, worse, "7"]
    assert row[4].value == pytest.approx(100 * gain)
    assert finding.sentences[0].startswith(
        f"**quantize, fashion mnist**: {int(worse != '0')} of 1 criteria and baselines harm"
    )
    assert ("surely worse nowhere: `snip`." in finding.sentences[0]) == (better != "0")


def test_what_does_not_spend_alike_is_left_out_and_counted(tmp_path):
    rows = rows_of("snip", 4.0, 0.1) + rows_of("fit", 4.0, -0.1, spent=3.0) + rows_of("obd", 4.0, -0.1, spent=3.9)
    finding = found(tmp_path, rows)
    assert [row[0] for row in finding.tables[0].rows] == ["`snip`", "`obd`"]
    assert any(sentence.startswith("7 of 21 rows are left out") for sentence in finding.sentences)


def test_of_two_networks_that_guess_neither_is_better(tmp_path):
    """At 95 % pruned, differences of a point between collapsed networks once made half of the criteria harmful."""
    rows = [row for gain in (-0.41, 0.1) for row in rows_of(f"by {gain}", 3.0, gain)]
    for row in rows:
        row["accuracy"] -= 0.39 if row["criterion"] == "by -0.41" or row["criterion"] == "uniform" else 0.2
    finding = found(tmp_path, rows)
    assert [row[:4] for row in finding.tables[0].rows] == [["`by 0.1`", "7", "0", "7"], ["`by -0.41`", "0", "0", "7"]]
    assert any(sentence.startswith("7 of the 14 rows left count as neither") for sentence in finding.sentences)


def test_three_bits_are_told_apart_from_the_mean(tmp_path):
    rows = rows_of("snip", 3.0, -0.2) + rows_of("snip", 4.0, 0.5) + rows_of("fit", 3.0, 0.1) + rows_of("fit", 4.0, 0.1)
    finding = found(tmp_path, rows)
    assert "highest for `snip`" in finding.sentences[0]
    assert finding.sentences[1].startswith("At 3 bits a weight (quantize, fashion mnist) 1 of 2 are surely better")
    assert "1 harm on some. Better on some and harming on none: `fit`." in finding.sentences[1]
    assert "The highest mean gain is that of `fit`" in finding.sentences[1]


def test_six_families_have_an_interval_and_three_do_not(tmp_path):
    few = found(tmp_path, rows_of("snip", 4.0, 0.1, networks=NETWORKS[:3])).values["quantize, fashion mnist/snip"]
    assert (few.low, few.reason) == (None, "3 networks: 10.0 to 10.0")
    rows = [row for i, name in enumerate(NETWORKS) for row in rows_of("snip", 4.0, 0.1 + 0.01 * i, networks=[name])]
    many = found(tmp_path, rows).values["quantize, fashion mnist/snip"]
    assert many.low < 100 * (0.1 + 0.03) < many.high


def test_runs_in_folders_of_their_own_are_one_task_and_the_best_known_is_no_criterion(tmp_path):
    (tmp_path / "second").mkdir()
    found(tmp_path / "second", rows_of("best_known", 4.0, 0.3, networks=NETWORKS[:2]) + rows_of("snip", 4.0, 0.1))
    (row,) = found(tmp_path, rows_of("snip", 5.0, 0.1)).tables[0].rows
    assert row[:4] == ["`snip`", "14", "0", "14"]


def test_networks_of_another_truth_and_no_budgets_are_no_finding(tmp_path):
    assert found(tmp_path, rows_of("snip", 4.0, 0.1, networks=["unknown"])) is None


@pytest.mark.parametrize(("told", "side"), [("beats uniform", 1), ("harms", -1), ("undecided", 0)])
def test_a_verdict_of_the_table_stands(told, side):
    assert spending.verdict({"verdict": told, "gain_low": -0.1, "gain_high": 0.1}) == side


def study(scale):
    """Return the committed study with its differences times a factor."""

    def times(match):
        numbers = sorted(scale * float(number) for number in match.groups())
        return f"{scale * float(match[1]):+.2f} ({numbers[0]:+.2f} to {numbers[-1]:+.2f})"

    return resistant.DIFFERENCE.sub(times, resistant.STUDY.read_text())


def test_resistant_training_is_told_as_it_is():
    committed, turned = resistant.from_study(study(1.0)), resistant.from_study(study(-1.0))
    assert "lose surely less under `random_corruption_l2`" in committed.sentences[0]
    assert "They are less accurate: -0.62 points" in committed.sentences[0]
    assert "fails beside 3 of 3 controls" in committed.sentences[-1]
    assert "lose surely more under `random_corruption_l2`" in turned.sentences[0]
    assert "They are more accurate: 0.62 points" in turned.sentences[0]
    assert "holds in 0 of 15" in turned.sentences[-1]
    assert "fails beside 0 of 3 controls" in turned.sentences[-1]


@pytest.mark.parametrize("control", ["plain", "long", "random"])
def test_the_study_has_the_accuracies_of_the_card_of_the_networks(control):
    """They are committed once more, as counts of each network: the same paired differences with t intervals follow."""
    counts = json.loads(ACCURACIES.read_text())
    pairs = np.array(
        [
            [counts[f"twin_{family}_{which}_{seed}"]["n_correct"] / 100.0 for which in ("resistant", control)]
            for family in ("vgg", "resnet")
            for seed in range(5)
        ]
    )
    interval = ttest_rel(*pairs.T).confidence_interval()
    told = [row for row in resistant.differences(study(1.0)) if row.control.startswith(control)][-1].differences["accuracy"]
    expected = (np.mean(pairs[:, 0] - pairs[:, 1]), interval.low, interval.high)
    assert (told.value, told.low, told.high) == pytest.approx(expected, abs=0.006)


def test_a_study_without_numbers_is_refused():
    text = re.sub(r"-0\.62 \(-0\.68 to -0\.57\)", "about -0.6", resistant.STUDY.read_text())
    with pytest.raises(ValueError, match=r"twins\.md: '\| plain .*'; expected 7 numbers with intervals"):
        resistant.from_study(text)


def test_no_study_is_no_finding():
    assert resistant.from_study("# Twins\n") is None
