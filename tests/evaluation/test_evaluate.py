"""Truth and scores become results; the cases that other benchmarks get wrong."""

import numpy as np
import pytest
from scipy import stats

import safer_bench as sb
from safer_bench.errors import BadInput
from safer_bench.judging import METRICS
from safer_bench.tables import schema
from safer_bench.tables.controls import ADDED, FROM_TABLES, REPLICATES
from safer_bench.truth.area import area_weights
from tests.made_up.truth import made_up_scores, made_up_truth


def truth_of(tree, network, perturbation, summary="area", level=None):
    rows = [
        row
        for row in tree["layer_sensitivity"].to_pylist()
        if (row["network"], row["perturbation"], row["summary"], row["level"]) == (network, perturbation, summary, level)
    ]
    return {row["layer"]: row["value"] for row in rows}


def submitted(results):
    """Return the rows of criteria that were handed in, without the controls that evaluation adds."""
    return [row for row in results.to_pylist() if row["criterion"] not in (*ADDED, *FROM_TABLES)]


NOT_ONE = ("ndcg_gain", "protected_gain_at_1", "protected_gain_at_3")  # of the best ranking: chance, or other halves


def values(results, **wanted):
    rows = [row for row in results.to_pylist() if all(row[key] == value for key, value in wanted.items())]
    return [row["value"] for row in rows]


def scores_for(tree, network, function, *more):
    return {(network, layer, *more): function(i) for i, layer in enumerate(truth_of(tree, network, "gaussian_noise"))}


def test_the_truth_itself_ranks_perfectly_and_its_opposite_worst(small_tree):
    truth = truth_of(small_tree, "digits_mlp", "gaussian_noise")
    entries = {
        "oracle": {("digits_mlp", layer): value for layer, value in truth.items()},
        "opposite": {("digits_mlp", layer): -value for layer, value in truth.items()},
    }
    results = sb.evaluate(small_tree, entries)
    cell = {"perturbation": "gaussian_noise", "summary": "area"}
    for metric in METRICS:
        if metric.name not in NOT_ONE:
            assert values(results, criterion="oracle", metric=metric.name, **cell) == pytest.approx([1.0])
    assert values(results, criterion="opposite", metric="spearman", **cell) == pytest.approx([-1.0])


def test_results_are_one_row_a_cell_and_metric_with_ceiling_and_revision(small_tree):
    results = sb.evaluate(small_tree, {"mine": scores_for(small_tree, "digits_mlp", float)})
    rows = submitted(results)
    assert len(rows) == (3 + 1 + 2 + 1) * len(METRICS)
    row = next(row for row in rows if row["metric"] == "spearman")
    assert row["truth_revision"] == small_tree.revision
    assert (row["low"], row["high"]) == (None, None)
    assert row["n_layers"] == 10
    assert row["ceiling"] is not None


def test_a_constant_criterion_is_null_and_random_its_exact_expectation(small_tree):
    results = sb.evaluate(small_tree, small_tree["scores"])
    assert set(values(results, criterion="constant")) == {None}
    assert set(values(results, criterion="random")) <= {0.0, None}
    assert values(results, criterion="random", metric="spearman", summary="area") == [0.0] * 4


def test_the_order_of_rows_never_changes_a_value(small_tree):
    table = small_tree["scores"]
    order = np.random.default_rng(0).permutation(table.num_rows)
    assert sb.evaluate(small_tree, table.take(order)).equals(sb.evaluate(small_tree, table))


def test_a_perturbation_aware_score_is_judged_on_its_perturbation_only(small_tree):
    entries = {"aware": scores_for(small_tree, "digits_mlp", float, "gaussian_noise")}
    results = sb.evaluate(small_tree, entries)
    assert {(row["track"], row["perturbation"]) for row in submitted(results)} == {("perturbation_aware", "gaussian_noise")}


def test_a_level_aware_score_enters_the_area_by_its_average_over_levels(small_tree):
    levels = (0.5, 2.0, 8.0)
    by_level = {level: truth_of(small_tree, "digits_mlp", "gaussian_noise", "level", level) for level in levels}
    entry = {
        ("digits_mlp", layer, "gaussian_noise", level): value
        for level, found in by_level.items()
        for layer, value in found.items()
    }
    results = sb.evaluate(small_tree, {"levels": entry})
    assert values(results, criterion="levels", metric="spearman", summary="area") == pytest.approx([1.0])
    weights = area_weights(np.array(levels), "log10")
    area = weights @ np.array([list(found.values()) for found in by_level.values()])
    truth = np.array(list(truth_of(small_tree, "digits_mlp", "gaussian_noise").values()))
    assert np.corrcoef(area, truth)[0, 1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop(("digits_mlp", "head")), "scores 'mine': criterion 'mine' scores 9 of the 10 layers of network 'digits_mlp'; missing: 'head'"),
        (lambda s: s.update({("digits_mlp", "haed"): 1.0}), "scores 'mine', row 11: 'haed' is not a layer of network 'digits_mlp'. Did you mean 'head'?\nThe 10 layers: safer-bench info digits_mlp"),
        (lambda s: s.update({("digits_mlp", "head"): float("inf")}), "scores 'mine', row 1: score is inf; expected a finite number"),
        (lambda s: s.update({("digits_mlp", "head", "quantize"): 1.0}), "scores 'mine': keys of lengths [2, 3]; expected (network, layer), with a perturbation for aware scores, with a level for level-aware ones"),
    ],
)  # fmt: skip
def test_bad_scores_are_refused_with_the_row_named(small_tree, change, message):
    scores = scores_for(small_tree, "digits_mlp", float)
    change(scores)
    with pytest.raises(BadInput) as error:
        sb.evaluate(small_tree, {"mine": scores})
    assert str(error.value) == message


@pytest.mark.parametrize("name", ADDED)
def test_the_names_of_added_controls_are_taken(small_tree, name):
    with pytest.raises(BadInput) as error:
        sb.evaluate(small_tree, {name: scores_for(small_tree, "digits_mlp", float)})
    assert str(error.value) == (
        f"scores: {name!r} is the name of a control that evaluation adds; give the criterion another name"
    )


def test_replicates_are_one_half_of_the_truth_against_the_other():
    truth = made_up_truth(2)
    results = sb.evaluate(truth, {})
    halves = {}
    for row in truth["layer_sensitivity"].to_pylist():
        halves.setdefault((row["network"], row["perturbation"]), []).append((row["half_a"], row["half_b"]))
    expected = [stats.spearmanr(*zip(*halves[key], strict=True)).statistic for key in sorted(halves)]
    assert max(expected) < 1.0
    assert values(results, criterion="replicate", metric="spearman") == pytest.approx(expected)
    assert values(results, criterion="reversed_replicate", metric="spearman") == pytest.approx([-r for r in expected])
    assert values(results, criterion="replicate", metric="protected_gain_at_3") == []
    assert {row["ceiling"] for row in results.to_pylist() if row["criterion"] in REPLICATES} == {None}
    without = {row["criterion"] for row in sb.evaluate(made_up_truth(2, halves=False), {}).to_pylist()}
    assert without == set(FROM_TABLES)


def test_controls_that_need_the_layers_alone_are_there_though_nobody_scored_them():
    truth = made_up_truth(2)
    results = sb.evaluate(truth, {})
    of_noise = {"metric": "spearman", "perturbation": "noise", "network": "test0a"}
    layers = [row for row in truth["layers"].to_pylist() if row["network"] == "test0a"]
    areas = {
        row["layer"]: row["value"]
        for row in truth["layer_sensitivity"].to_pylist()
        if (row["network"], row["perturbation"]) == ("test0a", "noise")
    }
    area = [areas[row["layer"]] for row in layers]
    for name, column, sign in (("parameters", "parameters", 1), ("macs", "macs", 1), ("depth", "layer_index", -1)):
        expected = stats.spearmanr([sign * row[column] for row in layers], area).statistic
        assert values(results, criterion=name, **of_noise) == pytest.approx([expected]), name
    expected = stats.spearmanr([row["layer_index"] in (0, 11) for row in layers], area).statistic
    assert values(results, criterion="first_last", **of_noise) == pytest.approx([expected])
    assert values(results, criterion="random", **of_noise) == [0.0]
    assert values(results, criterion="constant", **of_noise) == [None]


def test_a_score_that_is_given_stands_for_the_control_of_its_name():
    truth = made_up_truth(2)
    plain = sb.evaluate(truth, {})
    upside_down = {
        (row["network"], row["layer"]): -row["parameters"]
        for row in truth["layers"].to_pylist()
        if row["network"] == "test0a"
    }
    given = sb.evaluate(truth, {"parameters": upside_down})
    cell = {"criterion": "parameters", "metric": "spearman", "perturbation": "noise"}
    assert values(given, **cell, network="test0a") == pytest.approx([-x for x in values(plain, **cell, network="test0a")])
    assert values(given, **cell, network="test1a") == values(plain, **cell, network="test1a")


def test_layers_whose_sizes_a_truth_does_not_tell_have_no_such_controls():
    truth = made_up_truth(2)
    rows = [row | {"macs": None} for row in truth["layers"].to_pylist()]
    found = {row["criterion"] for row in sb.evaluate({**truth, "layers": schema.build("layers", rows)}, {}).to_pylist()}
    assert found & set(FROM_TABLES) == set(FROM_TABLES) - {"macs"}


def test_partial_spearman_is_given_size_and_depth():
    truth = made_up_truth(2)
    depth = {(row["network"], row["layer"]): row["layer_index"] ** 3 for row in truth["layers"].to_pylist()}
    results = sb.evaluate(truth, {"deep": depth, "good": made_up_scores(truth, 0.1, 0)})
    assert set(values(results, criterion="deep", metric="partial_spearman")) == {None}
    assert min(values(results, criterion="good", metric="partial_spearman", perturbation="noise")) > 0.8


def test_means_over_families_have_intervals_from_six_families_on():
    for n_families in (5, 6):
        truth = made_up_truth(n_families)
        results = sb.evaluate(truth, {"good": made_up_scores(truth, 1.0, 0)})
        means = [row for row in results.to_pylist() if row["network"] is None and row["criterion"] == "good"]
        if n_families < 6:
            assert means == []
            continue
        assert len(means) == (3 + 1) * len(METRICS)
        assert all(row["low"] <= row["value"] <= row["high"] for row in means)
        mean = next(row for row in means if row["metric"] == "spearman" and row["perturbation"] == "noise")
        of_network = {
            row["network"]: row["value"]
            for row in results.to_pylist()
            if row["network"] and (row["criterion"], row["metric"], row["perturbation"]) == ("good", "spearman", "noise")
        }
        families = [[v for n, v in of_network.items() if n[:-1] == f"test{f}"] for f in range(6)]
        assert mean["value"] == pytest.approx(np.mean([np.mean(each) for each in families]))


def test_a_criterion_that_scored_some_networks_has_no_mean_over_families():
    truth = made_up_truth(7)
    part = {key: value for key, value in made_up_scores(truth, 1.0, 0).items() if key[0] != "test0a"}
    rows = sb.evaluate(truth, {"part": part}).to_pylist()
    assert [row for row in rows if row["network"] is None and row["criterion"] == "part"] == []


@pytest.mark.parametrize("n_layers", [1, 2])
def test_networks_of_one_and_of_two_layers_have_what_can_be_told_of_them(n_layers):
    truth = made_up_truth(2, n_layers=n_layers)
    results = sb.evaluate(truth, {"good": made_up_scores(truth, 0.0, 0)})
    found = {
        metric: values(results, criterion="good", metric=metric, perturbation="noise")
        for metric in ("spearman", "top_3_overlap")
    }
    assert found["top_3_overlap"] == [None] * 3
    assert found["spearman"] == ([None] * 3 if n_layers == 1 else [1.0] * 3)


def test_a_truth_without_any_drop_has_no_values():
    truth = made_up_truth(2)
    rows = [row | {"value": 0.0, "half_a": 0.0, "half_b": 0.0} for row in truth["layer_sensitivity"].to_pylist()]
    results = sb.evaluate(
        {**truth, "layer_sensitivity": schema.build("layer_sensitivity", rows)}, {"good": made_up_scores(truth, 1.0, 0)}
    )
    assert results.num_rows > 100
    assert set(values(results)) == {None}


def test_names_of_any_script_are_only_names():
    truth = made_up_truth(2)
    rename = lambda name: f"слой <b>{name}</b> 层 🙂"  # noqa: E731
    tables = {name: table.to_pylist() for name, table in truth.items()}
    for name in ("layers", "layer_sensitivity"):
        tables[name] = [row | {"layer": rename(row["layer"])} for row in tables[name]]
    other = {name: schema.build(name, rows) for name, rows in tables.items()}
    scores = made_up_scores(truth, 1.0, 0)
    found = sb.evaluate(other, {"критерий": {(network, rename(layer)): score for (network, layer), score in scores.items()}})
    plain = sb.evaluate(truth, {"критерий": scores})
    assert sorted(map(str, found.to_pylist())) == sorted(map(str, plain.to_pylist()))


@pytest.mark.long
def test_a_network_of_a_hundred_thousand_layers_is_ranked():
    n = 100_000
    layers = [
        {
            "network": "large",
            "dataset": "made",
            "split": "test",
            "layer": str(i),
            "layer_index": i,
            "parameters": i,
            "macs": i,
        }
        for i in range(n)
    ]
    cell = {"network": "large", "dataset": "made", "split": "test", "perturbation": "noise", "summary": "area"}
    truth = {
        "networks": schema.build("networks", [{"network": "large", "dataset": "made", "split": "test", "family": "large"}]),
        "layers": schema.build("layers", layers),
        "layer_sensitivity": schema.build(
            "layer_sensitivity", [cell | {"layer": str(i), "value": float(i)} for i in range(n)]
        ),
        "cells": schema.build("cells", [cell]),
        "perturbations": schema.build(
            "perturbations",
            [
                {
                    "perturbation": "noise",
                    "perturbation_family": "noise",
                    "use_case": "noise",
                    "levels": [1.0],
                    "scale": "linear",
                }
            ],
        ),
    }
    results = sb.evaluate(truth, {"good": {("large", str(i)): float(i // 2) for i in range(n)}})
    assert values(results, criterion="good", metric="spearman") == pytest.approx([1.0])
    assert values(results, criterion="good", metric="kendall_tau_b") == pytest.approx([1.0], abs=1e-4)
    assert values(results, criterion="good", metric="top_1_overlap") == pytest.approx([0.5], abs=1e-4)


@pytest.mark.parametrize("n_layers", [10, 17, 18, 23])
def test_a_level_aware_score_that_ties_layers_at_every_level_ties_them_in_area(n_layers):
    """A matrix product rounds by a layer's place in memory: such a criterion once had correlations of up to 0.7."""
    levels = [0.001, 0.003, 0.02, 0.1, 0.7]
    truth = made_up_truth(1, n_layers=n_layers)
    kinds = [row | {"levels": levels, "scale": "log10"} for row in truth["perturbations"].to_pylist()]
    truth |= {"perturbations": schema.build("perturbations", kinds)}
    of_level = dict(zip(levels, np.random.default_rng(n_layers).normal(size=5).tolist(), strict=True))
    tied = {
        (row["network"], row["layer"], kind["perturbation"], level): score
        for row in truth["layers"].to_pylist()
        for kind in kinds
        for level, score in of_level.items()
    }
    found = values(sb.evaluate(truth, {"tied": tied}), criterion="tied", metric="spearman", summary="area")
    assert found == [None] * 3


def test_a_truth_that_lacks_a_table_is_told():
    truth = made_up_truth(2)
    with pytest.raises(BadInput) as error:
        sb.evaluate(
            {name: table for name, table in truth.items() if name != "cells"}, {"good": made_up_scores(truth, 1.0, 0)}
        )
    assert str(error.value) == "the truth has no table 'cells'; give the whole truth, as load_tree returns it"


def test_every_interval_lies_within_the_limits_of_its_mean_and_none_is_infinite():
    for n_families, n_layers in ((6, 12), (11, 20)):
        truth = made_up_truth(n_families, n_layers=n_layers)
        entries = {f"noise{i}": made_up_scores(truth, noise, i) for i, noise in enumerate((0.01, 0.3, 3.0))}
        rows = sb.evaluate(truth, entries | {"constant": dict.fromkeys(entries["noise0"], 1.0)}).to_pylist()
        assert all(row["lowest"] <= (row["value"] or 0.0) <= row["highest"] for row in rows)
        means = [row for row in rows if row["network"] is None]
        known = [row for row in means if row["low"] is not None]
        assert len(known) > 0.8 * len(means)
        for row in known:
            assert row["lowest"] <= row["low"] <= row["value"] + 5e-7, row
            assert row["value"] - 5e-7 <= row["high"] <= row["highest"], row
        assert all((row["low"] is None) == (row["high"] is None) for row in means)
        assert {(row["low"], row["high"]) for row in means if row["criterion"] == "constant"} == {(0.0, 0.0)}
