"""How results are averaged: variants, perturbations, networks, families; and what is not ranked."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from safer_bench.errors import BadInput, SaferBenchError
from safer_bench.evaluation.boards import boards
from safer_bench.evaluation.evaluate import evaluate
from safer_bench.tables import files, schema
from safer_bench.tables.controls import ADDED, FROM_TABLES, SIZE_DEPTH, TRIVIAL
from tests.made_up.truth import made_up_scores, made_up_truth

NETWORKS = {"a1": "a", "a2": "a", "b1": "b"}
TRUTH = {
    "networks": schema.build("networks", [{"network": n, "family": f, "dataset": "d"} for n, f in NETWORKS.items()]),
    "perturbations": schema.build(
        "perturbations",
        [{"perturbation": name, "use_case": name.split("_")[0]} for name in ("noise", "rot_l2", "rot_linf")],
    ),
}


def results(values, criterion="mine", n_layers=12, dataset="d", split="test"):
    """Return results from ``{(network, perturbation): value}``."""
    rows = [
        {"criterion": criterion, "track": "blind", "network": network, "dataset": dataset, "split": split}
        | {"perturbation": perturbation, "summary": "area", "metric": "spearman", "value": value, "n_layers": n_layers}
        for (network, perturbation), value in values.items()
    ]
    return schema.build("results", rows)


def everywhere(value, networks=NETWORKS):
    return {(network, name): value for network in networks for name in ("noise", "rot_l2", "rot_linf")}


def test_variants_then_perturbations_then_networks_then_families():
    values = everywhere(0.0) | {("a1", "noise"): 0.8, ("a1", "rot_l2"): 0.4, ("b1", "noise"): 1.0}
    row = boards(results(values), TRUTH)[0].rows[0]
    assert row.by_network == pytest.approx({"a1": (0.8 + 0.4 / 2) / 2, "a2": 0.0, "b1": 0.5})
    assert row.value == pytest.approx(((0.5 + 0.0) / 2 + 0.5) / 2)


def test_an_undefined_value_counts_as_zero_and_is_shown():
    row = boards(results(everywhere(1.0) | {("b1", "noise"): None}), TRUTH)[0].rows[0]
    assert row.by_network["b1"] == pytest.approx(0.5)
    assert (row.n_undefined, row.n_cells) == (1, 9)


def test_a_criterion_that_scores_only_some_networks_is_shown_last_and_not_ranked():
    part = results(everywhere(1.0, ["a1"]), "part")
    board = boards(pa.concat_tables([results(everywhere(-0.5)), part]), TRUTH)[0]
    assert [(row.criterion, row.value) for row in board.rows] == [("mine", -0.5), ("part", None)]


def test_rows_fall_by_value_a_mean_of_zero_among_them_and_equals_by_name():
    values = {"zero": 0.0, "little": 0.03, "under": -0.03, "also_zero": 0.0}
    board = boards(pa.concat_tables([results(everywhere(value), name) for name, value in values.items()]), TRUTH)[0]
    assert [row.criterion for row in board.rows] == ["little", "also_zero", "zero", "under"]


def test_a_criterion_that_scores_only_some_perturbations_is_not_ranked():
    part = results({key: 1.0 for key in everywhere(1.0) if key[1] == "noise"}, "part")
    board = boards(pa.concat_tables([results(everywhere(-0.5)), part]), TRUTH)[0]
    assert [(row.criterion, row.value) for row in board.rows] == [("mine", -0.5), ("part", None)]


def test_datasets_splits_and_small_networks_have_boards_of_their_own():
    tables = [
        results({("a1", "noise"): 0.1}),
        results({("a2", "noise"): 0.1}, split="validation"),
        results({("b1", "noise"): 0.1}, n_layers=9),
        results({("b1", "noise"): 0.1}, dataset="e"),
    ]
    found = boards(pa.concat_tables(tables), TRUTH)
    assert [(b.dataset, b.split, b.headline, list(b.families)) for b in found] == [
        ("d", "test", True, ["a1"]),
        ("d", "test", False, ["b1"]),
        ("d", "validation", True, ["a2"]),
        ("e", "test", True, ["b1"]),
    ]


def test_few_families_support_no_ranking_and_the_board_says_so():
    assert boards(results(everywhere(0.5)), TRUTH)[0].note == (
        "3 networks of 2 families: too few for an interval (at least 6 families), so the order of the rows is no ranking of "
        "criteria."
    )


def two_splits(n_families):
    """A truth with a test and a validation split of as many families, and three criteria of falling quality."""
    parts = [made_up_truth(n_families, split=split, seed=seed) for seed, split in enumerate(("test", "validation"))]
    truth = {name: pa.concat_tables([part[name] for part in parts]) for name in parts[0] if name != "perturbations"}
    truth["perturbations"] = parts[0]["perturbations"]
    entries = {
        name: made_up_scores(truth, noise, seed) for seed, (name, noise) in enumerate(zip("abc", (0.3, 3, 3), strict=True))
    }
    entries["parameters"] = {(row["network"], row["layer"]): row["parameters"] for row in truth["layers"].to_pylist()}
    return truth, evaluate(truth, entries)


def test_with_families_enough_rows_have_intervals_ranks_and_declared_comparisons():
    truth, found = two_splits(7)
    test, validation = boards(found, truth)
    rows = {row.criterion: row for row in test.rows}
    trivial = {row.criterion: row.value for row in validation.rows if row.criterion in (*TRIVIAL, SIZE_DEPTH)}
    best = max(sorted(trivial), key=trivial.__getitem__)
    assert all(row.interval[0] <= row.value <= row.interval[1] for row in test.rows)
    assert rows["a"].ranks == (1, 1)
    assert rows["b"].ranks[0] == 2
    assert rows["replicate"].ranks is None
    assert {name: list(row.against) for name, row in rows.items()} == {
        "a": [best], "b": [best, "a"], "c": [best, "a"],
        **{name: [] for name in (*FROM_TABLES, *ADDED)},
    }  # fmt: skip
    assert rows["a"].against[best].interval[0] > 0
    assert rows["b"].against["a"].interval[1] < 0
    assert rows["b"].against["a"].value == pytest.approx(rows["b"].value - rows["a"].value)
    assert all(list(row.against) == [best] for row in validation.rows if row.criterion in "abc")
    assert test.note == (
        "10 networks of 7 families. Intervals are 95 %, unadjusted: each holds by itself. Ranks within a track and "
        "differences are 95 %, corrected for multiple comparisons: they hold all at once."
    )
    bare = replace(test.standings, intervals=np.full((len(test.rows), 2), np.nan), ranks=np.zeros((len(test.rows), 2), int))
    assert replace(test, standings=bare).note == "10 networks of 7 families. Means alone, without intervals or ranks."


def test_the_winner_is_the_best_on_validation_whatever_its_name_and_families_keep_their_values():
    names = [f"{split}{i}" for split in ("test", "validation") for i in range(7)]
    families = [{"network": name, "family": f"family {name}", "dataset": "d"} for name in names]
    truth = TRUTH | {"networks": schema.build("networks", families)}
    quality = {"a": -0.4, "m": -0.24, "z": -0.1}  # means -0.27, -0.11 and 0.03; "zero" ranks nothing
    values = {criterion: {name: base + 0.01 * int(name[-1]) ** 2 for name in names} for criterion, base in quality.items()}
    values["zero"] = dict.fromkeys(names, 0.0)
    tables = [
        results({(name, "noise"): found[name] for name in names if name.startswith(split)}, criterion, split=split)
        for split in ("test", "validation")
        for criterion, found in values.items()
    ]
    test, _ = boards(pa.concat_tables(tables), truth)
    assert {row.criterion: list(row.against) for row in test.rows} == {"a": ["z"], "m": ["z"], "zero": ["z"], "z": []}
    assert test.rows[0].by_family == pytest.approx({f"family test{i}": -0.1 + 0.01 * i**2 for i in range(7)})


def with_learned(n_families=7):
    """A truth of two splits, three criteria and a learned one, which is far better where it has learnt."""
    truth, _ = two_splits(n_families)
    truth["cells"] = schema.build("cells", [row | {"reliability": 0.9} for row in truth["cells"].to_pylist()])
    seen = {row["network"] for row in truth["networks"].to_pylist() if row["split"] == "validation"}
    entries = {name: made_up_scores(truth, noise, seed) for seed, (name, noise) in enumerate((("a", 0.3), ("b", 3)))}
    true, taught = made_up_scores(truth, 0.0, 9), made_up_scores(truth, 1.0, 8)
    entries["learned_blend"] = {key: (true if key[0] in seen else taught)[key] for key in true}
    return truth, evaluate(truth, entries)


def test_a_learned_criterion_never_wins_on_the_networks_that_it_learnt_from():
    truth, found = with_learned()
    test, validation = boards(found, truth)
    rows = {row.criterion: row for row in test.rows}
    assert validation.rows[0].criterion == "learned_blend"
    assert validation.note.endswith(" learned_blend has learnt from validation networks, so its value here is no test.")
    assert "learned_blend" not in test.note
    assert [{row.criterion for row in board.criteria} for board in (test, validation)] == [{*"ab", "learned_blend"}, {*"ab"}]
    assert list(rows["b"].against) == list(rows["learned_blend"].against)
    assert list(rows["b"].against)[1:] == ["a"]
    few = boards(*with_learned(3)[::-1])[1]
    assert few.note.endswith(" learned_blend has learnt from validation networks, so its value here is no test.")


def test_with_five_families_there_is_no_interval_rank_or_comparison():
    truth, found = two_splits(5)
    for board in boards(found, truth):
        assert [(row.interval, row.ranks, row.against) for row in board.rows] == [(None, None, {})] * 12


def test_a_criterion_that_is_not_ranked_has_no_interval_either():
    networks = [f"n{i}" for i in range(6)]
    truth = TRUTH | {"networks": schema.build("networks", [{"network": n, "family": n, "dataset": "d"} for n in networks])}
    part = results({key: 1.0 for key in everywhere(1.0, networks) if key[1] == "noise"}, "part")
    board = boards(pa.concat_tables([results(everywhere(-0.5, networks)), part]), truth)[0]
    assert [(row.criterion, row.interval, row.ranks) for row in board.rows] == [
        ("mine", None, (1, 1)),  # nor one that is the same in every family
        ("part", None, None),
    ]


def test_the_ceiling_does_not_depend_on_which_criterion_comes_last():
    truth = made_up_truth(2)  # replicates, which have no ceiling, come after "a"
    for name in ("a", "z"):
        found = evaluate(truth, {name: made_up_scores(truth, 1.0, 0)})
        assert boards(found, truth)[0].ceilings["level_aware"].value == pytest.approx(0.9)


def with_ceilings(values, ceilings):
    """Return results of which some cells have a ceiling: ``{(network, perturbation): ceiling}``."""
    rows = results(values).to_pylist()
    return schema.build("results", [row | {"ceiling": ceilings.get((row["network"], row["perturbation"]))} for row in rows])


def test_a_ceiling_of_half_of_the_cells_says_so_and_one_of_fewer_is_none():
    """It would be of other cells than the criteria's means: easy ones alone would put it under a criterion."""
    values = everywhere(0.7, ["a1", "b1"])
    [board] = boards(with_ceilings(values, everywhere(0.9)), TRUTH)
    assert (board.ceilings["level_aware"].value, board.ceiling_note("level_aware")) == (pytest.approx(0.9), "")
    half = {("a1", "noise"): 0.6, ("b1", "noise"): 0.8, ("a1", "rot_l2"): 1.0}
    [board] = boards(with_ceilings(values, half), TRUTH)
    assert (board.ceilings["level_aware"].value, board.ceiling_note("level_aware")) == (
        pytest.approx(0.8),
        "over 3 of 6 cells",
    )
    assert board.ceilings["level_aware"].by_network == pytest.approx({"a1": 0.8, "b1": 0.8})
    del half["a1", "noise"]
    [board] = boards(with_ceilings(values, half), TRUTH)
    assert (board.ceilings["level_aware"].value, board.ceilings["level_aware"].by_network) == (None, {})
    assert board.ceiling_note("level_aware") == "none: 2 of 6 cells have one"
    assert boards(results(values), TRUTH)[0].ceiling_note("level_aware") == "none: 0 of 6 cells have one"


LEVELS = {"noise": [1.0, 2.0], "rot_l2": [9.0, 1.0], "rot_linf": [2.0]}


def scoped_truth(reliability):
    """Return a truth with levels, and the reliabilities ``{(network, perturbation, level): value}`` of its cells."""
    kinds = [row | {"levels": LEVELS[row["perturbation"]]} for row in TRUTH["perturbations"].to_pylist()]
    cells = [
        {"network": n, "perturbation": p, "summary": "area" if level is None else "level", "level": level, "reliability": r}
        for (n, p, level), r in reliability.items()
    ]
    return TRUTH | {"perturbations": schema.build("perturbations", kinds), "cells": schema.build("cells", cells)}


def test_a_board_of_one_family_or_perturbation_averages_only_these():
    values = everywhere(0.0) | {("a1", "rot_l2"): 0.8, ("b1", "rot_linf"): 0.4}
    [of_family] = boards(results(values), TRUTH, use_case="rot")
    [of_one] = boards(results(values), TRUTH, perturbation="rot_linf")
    assert of_family.rows[0].by_network == pytest.approx({"a1": 0.4, "a2": 0.0, "b1": 0.2})
    assert of_one.rows[0].by_network == pytest.approx({"a1": 0.0, "a2": 0.0, "b1": 0.4})
    assert (of_family.n_cells, of_one.n_cells) == (6, 3)


def test_a_level_rank_takes_the_level_of_that_place_in_each_perturbation():
    """From mild to severe, whatever the numbers are; a perturbation with fewer levels has none, one with a single level no rank."""
    rows = [
        row | {"summary": "level", "level": level, "value": level / 10}
        for row in results(everywhere(0.0, ["a1"])).to_pylist()
        for level in LEVELS[row["perturbation"]]
    ]
    found = schema.build("results", rows)
    truth = scoped_truth({})
    assert boards(found, truth, level_rank=1)[0].rows[0].value == pytest.approx((0.1 + 0.9) / 2)
    assert boards(found, truth, level_rank=2)[0].rows[0].value == pytest.approx((0.2 + 0.1) / 2)
    with pytest.raises(BadInput) as error:
        boards(found, truth, level_rank=3)
    assert str(error.value) == "level rank 3; expected 1, the mildest, to 2"


def test_a_gate_leaves_out_cells_and_says_how_many():
    """Unknown reliability passes no gate; a family without cells is gone, and who scored all that is left is ranked."""
    truth = scoped_truth({("a1", "noise", None): 0.6, ("a1", "rot_l2", None): 0.4, ("a2", "noise", None): 0.9})
    part = results({("a1", "noise"): 1.0, ("a2", "noise"): 0.5}, "part")
    found = pa.concat_tables([results(everywhere(-0.5) | {("a1", "noise"): 0.3}), part])
    [gated] = boards(found, truth, gate=0.5)
    assert [(row.criterion, row.value) for row in gated.rows] == [("part", 0.75), ("mine", pytest.approx(-0.1))]
    assert gated.families == {"a1": "a", "a2": "a"}
    assert gated.note == (
        "2 networks of 1 family: too few for an interval (at least 6 families), so the order of the rows is no ranking of "
        "criteria. 7 of 9 cells (network, perturbation) are left out: their reliability is under 0.5 or unknown."
    )
    assert boards(found, truth, gate=0.95) == ()
    assert boards(found, truth)[0].n_left_out == 0


def test_a_cell_at_the_gate_itself_passes_it_and_no_gate_above_zero_lets_the_unknown_pass():
    truth = scoped_truth({("a1", "noise", None): 0.5, ("b1", "noise", None): 0.0})
    found = results({(network, "noise"): 0.1 for network in NETWORKS})
    assert [boards(found, truth, gate=gate)[0].n_left_out for gate in (0.0, 0.01, 0.5)] == [0, 2, 2]
    assert boards(found, truth, gate=0.5)[0].families == {"a1": "a"}


def test_perturbations_of_one_level_each_have_no_rank_of_levels():
    single = [row | {"levels": [1.0]} for row in TRUTH["perturbations"].to_pylist()]
    truth = TRUTH | {"perturbations": schema.build("perturbations", single)}
    with pytest.raises(BadInput) as error:
        boards(results(everywhere(0.5)), truth, level_rank=1)
    assert str(error.value) == "level rank 1; expected 1, the mildest, to 0"


def test_a_gate_at_levels_looks_at_the_levels_own_reliability():
    rows = [
        row | {"summary": "level", "level": 1.0} for row in results({("a1", "noise"): 0.1, ("b1", "noise"): 0.7}).to_pylist()
    ]
    truth = scoped_truth({("a1", "noise", 1.0): 0.9, ("b1", "noise", 1.0): 0.2, ("b1", "noise", None): 0.9})
    [board] = boards(schema.build("results", rows), truth, level_rank=1, gate=0.8)
    assert list(board.families) == ["a1"]


def test_a_gate_needs_reliabilities():
    with pytest.raises(BadInput) as error:
        boards(results(everywhere(0.5)), TRUTH, gate=0.5)
    assert str(error.value) == "gate 0.5: the truth has no table 'cells', which holds reliabilities; give the whole truth"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"metric": "spearmen"}, "no metric is called 'spearmen'. Did you mean 'spearman'? All of them: safer-bench list metrics"),
        ({"perturbation": "rot_l3"}, "no perturbation is called 'rot_l3'. Did you mean 'rot_l2' or 'rot_linf'? All of them: safer-bench list perturbations"),
        ({"use_case": "noize"}, "no perturbation is of use case 'noize'. Did you mean 'noise'? The use cases: noise, rot"),
    ],
)  # fmt: skip
def test_what_no_cell_is_of_makes_no_empty_board(wanted, message):
    with pytest.raises(SaferBenchError) as error:
        boards(results(everywhere(0.5)), TRUTH, **wanted)
    assert str(error.value) == message


def test_reported_scores_take_no_rank_and_are_neither_winner_nor_compared():
    """The best of all, were it believed; without it the others are ranked as if it were not there."""
    truths = [made_up_truth(7), made_up_truth(7, split="validation", seed=3)]
    truth = {name: pa.concat_tables([part[name] for part in truths]) for name in truths[0]} | {
        "perturbations": truths[0]["perturbations"]
    }
    noises = {"best": 0.0, "good": 0.3, "bad": 3.0}
    entries = {name: made_up_scores(truth, noise, i) for i, (name, noise) in enumerate(noises.items())}
    found = boards(evaluate(truth, entries), truth, reported={"best"})
    without = boards(evaluate(truth, {name: entries[name] for name in ("good", "bad")}), truth)
    for board, other in zip(found, without, strict=True):
        last = board.rows[-1]
        assert (last.criterion, last.reported, last.ranks, last.interval, last.against) == ("best", True, None, None, {})
        assert last.value == max(row.value for row in board.rows if row.criterion != "replicate")
        assert board.rows[:-1] == other.rows
    test = next(board for board in found if board.split == "test")
    assert {name for row in test.rows for name in row.against} == {"good", "parameters"}
    believed = boards(evaluate(truth, entries), truth)
    assert next(board for board in believed if board.split == "test").rows[0].ranks == (1, 1)


def test_results_read_from_a_file_give_the_same_boards():
    """There their names are text, in memory numbers of texts."""
    truth = made_up_truth(7)
    found = evaluate(truth, {name: made_up_scores(truth, 1.0, i) for i, name in enumerate(("b", "a"))})
    read = files.read_parquet(files.parquet_bytes(found))
    assert read.schema.types != found.schema.types
    for board, other in zip(boards(found, truth), boards(read, truth), strict=True):
        assert board.rows == other.rows
        assert board.ceilings == other.ceilings
