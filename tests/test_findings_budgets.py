"""What budgets buy and what resistant training is worth, told as the tables have it."""

import json
import re
from collections import Counter

import numpy as np
import pytest
from scipy.stats import ttest_rel

from docs import budget
from docs.findings import resistant, spending
from docs.findings.__main__ import BUDGETS
from docs.findings.data import Data
from safer_bench.dataset.budgets import read_budgets
from safer_bench.dataset.contents import network_revisions
from safer_bench.tables import files, schema
from tests.conftest import ROOT
from tests.made_up.zoo_truth import network, own_order, zoo_truth

NETWORKS = [f"network{i}" for i in range(7)]
ROW = {"dataset": "fashion_mnist", "split": "test", "track": "blind", "n_examples": 100, "draws": 1}
QUANTIZE = {**ROW, "task": "quantize", "perturbation": "quantize"}
ACCURACIES = ROOT / "data_cards" / "safer-bench-zoo" / "test_accuracy.json"


def rows_of(criterion, budget, gain, *, half=0.01, networks=NETWORKS):
    """Return rows of uniform and of a criterion that gains so much over it; None: uniform was not measured there."""
    of_uniform = {**QUANTIZE, "criterion": "uniform", "budget": budget, "spent": budget, "accuracy": 0.5, "gain": 0.0}
    own = {**QUANTIZE, "criterion": criterion, "budget": budget, "spent": budget, "accuracy": 0.5}
    if gain is not None:
        ends = {"gain_low": gain - half, "gain_high": gain + half, "gain_error": half / 1.96}
        own |= {"accuracy": 0.5 + gain, "gain": gain, **ends}
    return [{**row, "network": name} for name in networks for row in (of_uniform, own)]


def found(folder, rows, label="quantize"):
    """Return the finding of a folder with one table of budgets; rows of uniform that come twice are one."""
    unique = {(row["network"], row["criterion"], row["budget"]): row for row in rows}
    table = schema.build("budget_results", list(unique.values()))
    (folder / f"budget_results-{label}.parquet").write_bytes(files.parquet_bytes(table))
    tables = zoo_truth([network(name) for name in NETWORKS], lambda name, _: own_order(name), {"quantize": "quantization"})
    return spending.find(Data(tables, folder))


@pytest.mark.parametrize(("gain", "beats", "harms"), [(0.1, "7", "0"), (-0.1, "0", "7"), (0.005, "0", "0")])
def test_a_gain_is_told_as_its_interval_says(tmp_path, gain, beats, harms):
    finding = found(tmp_path, rows_of("snip", 4.0, gain))
    (row,) = finding.tables[0].rows
    assert row[:4] == ["`snip`", beats, harms, "7"]
    assert row[4].value == pytest.approx(100 * gain)
    told = (
        f"{int(harms != '0')} of 1 criteria and baselines harm"
        if abs(gain) > 0.01
        else "none of 1 criteria and baselines is"
    )
    assert finding.sentences[0].startswith(f"**quantize, fashion mnist**: {told}")
    assert ("harm nowhere: `snip`." in finding.sentences[0]) == (beats != "0")


def test_a_gain_has_to_hold_beside_all_others_of_the_task(tmp_path):
    """By its own interval alone one of many would beat uniform by luck."""
    finding = found(tmp_path, rows_of("snip", 4.0, 0.0105, half=0.01))
    assert "none of 1 criteria and baselines is told to beat `uniform`" in finding.sentences[0]
    assert finding.tables[0].rows[0][:4] == ["`snip`", "0", "0", "7"]


def test_what_has_no_gain_is_left_out_and_counted(tmp_path):
    finding = found(tmp_path, rows_of("snip", 4.0, 0.1) + rows_of("fit", 4.0, None) + rows_of("obd", 4.0, -0.1))
    assert [row[0] for row in finding.tables[0].rows] == ["`snip`", "`obd`"]
    assert any(sentence.startswith("7 of 21 rows are left out") for sentence in finding.limits)


def test_means_are_over_common_rows_and_who_lacks_most_of_them_has_none(tmp_path):
    """`fit` has one budget in three, the easy one: its mean gain would be the highest of all."""
    rows = [row for budget, gain in ((3.0, -0.2), (4.0, 0.1), (5.0, 0.4)) for row in rows_of("snip", budget, gain)]
    rows += rows_of("obd", 4.0, 0.2) + rows_of("obd", 5.0, 0.2) + rows_of("fit", 5.0, 0.41)
    finding = found(tmp_path, rows)
    means = {row[0]: row[4] for row in finding.tables[0].rows}
    assert means["`fit`"] == "-"
    assert means["`snip`"].value == pytest.approx(25.0)  # 4 and 5 bits, which `obd` has too
    assert "Over the 14 common rows, the mean gain is highest for `snip`" in finding.sentences[0]
    assert "Not in the means, as they lack rows: `fit`." in finding.sentences[0]


def test_of_two_networks_that_guess_neither_is_better(tmp_path):
    """At 95 % pruned, differences of a point between collapsed networks once made half of the criteria harmful."""
    rows = [row for gain in (-0.41, 0.1) for row in rows_of(f"by {gain}", 3.0, gain)]
    for row in rows:
        row["accuracy"] -= 0.39 if row["criterion"] == "by -0.41" or row["criterion"] == "uniform" else 0.2
    finding = found(tmp_path, rows)
    assert [row[:4] for row in finding.tables[0].rows] == [["`by 0.1`", "7", "0", "7"], ["`by -0.41`", "0", "0", "7"]]
    assert any(sentence.startswith("7 of the 14 gains count as neither") for sentence in finding.limits)


def test_three_bits_are_told_apart_from_the_mean(tmp_path):
    rows = rows_of("snip", 3.0, -0.2) + rows_of("snip", 4.0, 0.5) + rows_of("fit", 3.0, 0.1) + rows_of("fit", 4.0, 0.1)
    finding = found(tmp_path, rows)
    assert "highest for `snip`" in finding.sentences[0]
    assert re.match(
        r"At 3 bits a weight \(network0, .* and network6\) 1 of 2 beat `uniform` somewhere and 1 harm\.",
        finding.sentences[1],
    )
    assert "harm nowhere: `fit`." in finding.sentences[1]
    assert "The highest mean gain is that of `fit`" in finding.sentences[1]


def test_what_plans_buy_is_told_beside_the_measured_truth(tmp_path):
    rows = rows_of("plan", 4.0, 0.1) + rows_of("hawq_v2", 4.0, -0.1) + rows_of("truth_guided", 4.0, 0.001)
    (told,) = found(tmp_path, rows).sentences
    assert "Fed the measured truth, `truth_guided` beats it in 0 rows (harms in 0)." in told
    sums = "`plan` beats it in 7 rows (harms in 0) and `hawq_v2` in 0 (7)"
    assert f"Of the allocations that sum over layers, {sums}." in told


def test_the_table_of_the_page_of_budgets_is_that_of_the_committed_budgets():
    text = budget.PAGE.read_text(encoding="utf-8")
    assert budget.render(read_budgets(BUDGETS).to_pylist(), text) == text, "make findings"


def test_a_row_of_that_table_marks_what_is_sure_and_names_the_best_baseline():
    common = {**QUANTIZE, "network": "net", "level": None, "budget": 4.0, "verdict": None}
    kept = {"uniform": 0.9, "plan": 0.95, "snip": 0.1, "mixed": 0.91, "first_and_last": 0.6}
    rows = [{**common, "criterion": name, "accuracy": accuracy} for name, accuracy in kept.items()]
    rows[1]["verdict"], rows[2]["verdict"] = "beats uniform", "harms"
    rows += [{**row, "budget": 5.0} for row in rows]  # no budget of the page
    ((network, what, *cells),) = budget.rows(rows)
    assert (network, what) == ("net", "4 bits a weight")
    shown = dict(zip((*budget.SHOWN, "best"), cells, strict=True))
    assert {name: shown[name] for name in ("uniform", "plan", "snip", "best")} == {
        "uniform": "90.0",
        "plan": "95.0 +",
        "snip": "10.0 -",
        "best": "91.0 (`mixed`)",
    }
    assert set(shown.values()) == {"90.0", "95.0 +", "10.0 -", "91.0 (`mixed`)", "-"}


def test_what_readme_and_page_say_of_the_undivided_truth_follows_from_the_budgets():
    """README: bits by the true fragility cost ResNet-20 more than equal bits; divided by weights, or as a plan, they do not."""
    rows = [row for row in read_budgets(BUDGETS).to_pylist() if row["network"] == "resnet20" and row["task"] == "quantize"]
    gains = {row["criterion"]: row["gain"] for row in rows if row["perturbation"] == "quantize" and row["budget"] == 4.0}
    assert gains["truth_guided"] < -0.05
    assert all(gains[name] > gains["truth_guided"] + 0.05 for name in ("truth_per_weight", "plan"))


def test_what_the_page_of_plans_says_of_all_of_them_follows_from_the_budgets():
    rows = read_budgets(BUDGETS).to_pylist()
    keys = ("network", "task", "perturbation", "budget")
    plans, before = (
        {tuple(row[key] for key in keys): row for row in rows if row["criterion"] == name}
        for name in ("plan", "plan_uncorrected")
    )
    unchanged = {row["network"]: row["accuracy"] for row in rows if row["criterion"] == "unchanged"}
    bought = {key: 100 * (row["accuracy"] - before[key]["accuracy"]) for key, row in plans.items()}
    most = max(bought, key=lambda key: bought[key])
    verdicts = Counter(row["verdict"] for row in plans.values())
    harmed = [row for row in plans.values() if unchanged[row["network"]] - (row["accuracy"] - row["gain"]) >= 0.2]
    small = [row for row in harmed if row["gain"] < 0.05]
    assert all(row["task"] == "prune" and row["budget"] >= 0.8 and row["accuracy"] < 0.2 for row in small)
    of_tasks = [
        (what, [key for key in bought if key[2] == perturbation])
        for what, perturbation in (
            (" pruned networks", "magnitude_prune"),
            (" of bits per tensor", "quantize"),
            (" of bits per channel", "quantize_per_channel"),
        )
    ]
    text = " ".join((ROOT / "docs" / "plan.md").read_text().split())
    for said in (
        f"{len(plans)} plans of bits per tensor, bits per channel and pruning. At equal spending, {verdicts['beats uniform']} are "
        f"surely better than uniform and {'none' if not verdicts['harms'] else verdicts['harms']} is surely worse.",
        f"buys {np.mean([*bought.values()]):.1f} points in the mean, more than one point in "
        f"{sum(each > 1 for each in bought.values())} of the {len(plans)}, and {bought[most]:.1f} at most (`{most[0]}`, "
        f"{100 * most[3]:.0f} % pruned). The most that it costs is {-min(bought.values()):.1f} points.",
        "falls short by more than a point in "
        + ", in ".join(f"{sum(bought[key] > 1 for key in of)} of {len(of)}{what}" for what, of in of_tasks),
        f"plans gain five points or more in {len(harmed) - len(small)} of {len(harmed)}. In the {len(small)} others",
    ):
        assert said in text


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


def test_networks_whose_drops_have_changed_since_are_named(tmp_path):
    """A network that the tables of drops lack counts as changed."""
    found(tmp_path, rows_of("snip", 4.0, 0.1))
    drops = schema.build("layer_drops", [{"network": NETWORKS[0], "split": "test", "layer": "a", "draw": 0}])
    same = network_revisions(drops)[NETWORKS[0]]
    path = tmp_path / "budget_results-quantize.parquet"
    rows = files.read_parquet(path).to_pylist()
    of_first = [row | {"truth_revision": same if row["network"] == NETWORKS[0] else "other"} for row in rows]
    path.write_bytes(files.parquet_bytes(schema.build("budget_results", of_first)))
    tables = zoo_truth([network(name) for name in NETWORKS], lambda name, _: own_order(name), {"quantize": "quantization"})
    limits = spending.find(Data(tables | {"layer_drops": drops}, tmp_path)).limits
    (told,) = [limit for limit in limits if "by another truth" in limit]
    assert NETWORKS[0] not in told
    assert all(name in told for name in NETWORKS[1:])
    assert not any("by another truth" in limit for limit in spending.find(Data(tables, tmp_path)).limits)


def test_two_perturbations_of_one_task_are_told_apart(tmp_path):
    per_channel = [row | {"perturbation": "quantize_per_channel", "gain": -0.1} for row in rows_of("snip", 4.0, -0.1)]
    (tmp_path / "other").mkdir()
    found(tmp_path / "other", per_channel, "quantize-quantize_per_channel")
    finding = found(tmp_path, rows_of("snip", 4.0, 0.1))
    assert [sentence.partition(":")[0] for sentence in finding.sentences if sentence.startswith("**")] == [
        "**quantize, fashion mnist**",
        "**quantize, quantize per channel, fashion mnist**",
    ]


def test_criteria_without_common_rows_have_no_means(tmp_path):
    rows = rows_of("snip", 4.0, 0.1, networks=NETWORKS[:1]) + rows_of("l2_norm", 4.0, 0.1, networks=NETWORKS[1:2])
    finding = found(tmp_path, rows)
    assert "common rows" not in finding.sentences[0]
    assert "Not in the means, as they lack rows: `l2_norm` and `snip`." in finding.sentences[0]


def study(scale):
    """Return the committed study with its differences times a factor."""

    def times(match):
        numbers = sorted(scale * float(number) for number in match.groups())
        return f"{scale * float(match[1]):+.2f} ({numbers[0]:+.2f} to {numbers[-1]:+.2f})"

    return resistant.DIFFERENCE.sub(times, resistant.STUDY.read_text())


def test_resistant_training_is_told_as_it_is():
    committed, turned = resistant.from_study(study(1.0)), resistant.from_study(study(-1.0))
    assert "lose less under `random_corruption_l2`" in committed.sentences[0]
    assert "They are less accurate: -0.62 points" in committed.sentences[0]
    assert "fails beside 3 of 3 controls" in committed.sentences[-1]
    assert "lose more under `random_corruption_l2`" in turned.sentences[0]
    assert "They are more accurate: 0.62 points" in turned.sentences[0]
    assert "Their corruption indicator is lower: -27.38 %" in committed.sentences[0]
    assert "Their corruption indicator is higher: 27.38 %" in turned.sentences[0]
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
