"""From scores to measured accuracies: the numbers are those of plain loops over allocations made by hand."""

import numpy as np
import pytest
from scipy import stats

from safer_bench.budget.entrants import Entrant
from safer_bench.budget.protection import shielded, slice_of
from safer_bench.budget.rules import priorities, pruned_counts
from safer_bench.budget.spend import Wanted, check_names, spend
from safer_bench.budget.tasks import TASKS
from safer_bench.budget.trials import ENDS, N_ORDERS, compressed
from safer_bench.budget.whole import WholeNetwork
from safer_bench.dataset.contents import network_revisions
from safer_bench.errors import BadInput
from safer_bench.networks.loading import load_network
from safer_bench.tables import schema

SIZES = np.array([27, 384, 24])


def ignore(*_):
    pass


@pytest.fixture
def whole(tiny):
    return WholeNetwork(tiny)


def by_name(trials):
    return {(trial.name, trial.budget): trial for trial in trials}


def test_pruning_by_scores_prunes_what_the_rule_says(whole):
    who = [Entrant("mine", "blind", np.array([1.0, 3.0, 2.0]))]
    found = by_name(compressed(whole, "prune", "magnitude_prune", who, (0.5, 0.8), ignore))
    assert {name for name, _ in found} == {
        "unchanged",
        "uniform",
        "first_and_last",
        "global_magnitude",
        "lamp",
        "erk",
        "mine",
    }
    mine = found["mine", 0.8]
    counts = pruned_counts(priorities(who[0].scores), SIZES, 348)
    assert (mine.amounts * SIZES).tolist() == pytest.approx(counts)
    assert mine.spent == pytest.approx(counts.sum() / 435)
    weights = {}
    for layer, count in zip(whole.network.layers, counts, strict=True):
        weight = whole.network.weight(layer).ravel()
        weight[np.argsort(np.abs(weight), kind="stable")[:count]] = 0.0
        weights[layer.name] = weight.reshape(layer.shape)
    assert np.array_equal(mine.correct[0], whole.correct(weights))
    assert all(trial.spent >= trial.budget for trial in found.values())


def test_quantizing_by_scores_gives_the_bits_that_the_rule_says(whole, monkeypatch):
    calls, correct = [], whole.correct
    monkeypatch.setattr(whole, "correct", lambda weights: calls.append(weights) or correct(weights))
    who = [Entrant("mine", "blind", np.array([3.0, 1.0, 2.0])), Entrant("same", "blind", np.array([30.0, 10.0, 20.0]))]
    found = by_name(compressed(whole, "quantize", "quantize", who, (4.0,), ignore))
    n_calls = len(calls)
    assert found["uniform", 4.0].amounts.tolist() == [4, 4, 4]
    assert found["first_and_last", 4.0].amounts.tolist() == [8, 3, 8]
    mine = found["mine", 4.0]
    assert mine.amounts[0] > mine.amounts[2] >= mine.amounts[1]
    assert mine.spent <= 4.0
    bits = mine.amounts.tolist()
    weights = {
        layer.name: whole.perturbed(layer, "quantize", n) for layer, n in zip(whole.network.layers, bits, strict=True)
    }
    assert np.array_equal(mine.correct[0], whole.correct(weights))
    np.testing.assert_array_equal(found["same", 4.0].correct, mine.correct)
    assert n_calls == 1 + 3 + len(ENDS["quantize"]) - 1, "an allocation that is known is not measured again"


def test_uniform_is_measured_from_end_to_end(whole):
    pruned = by_name(compressed(whole, "prune", "magnitude_prune", [], (0.8,), ignore))
    quantized = by_name(compressed(whole, "quantize", "quantize", [], (3.5,), ignore))
    assert pruned["uniform", 1.0].spent == 1.0
    assert [quantized["uniform", bits].spent for bits in (2.0, 3.0, 8.0)] == [2.0, 3.0, 8.0]
    everything = {layer.name: np.zeros(layer.shape, np.float32) for layer in whole.network.layers}
    np.testing.assert_array_equal(pruned["uniform", 1.0].correct[0], whole.correct(everything))


def test_mixed_spends_what_uniform_leaves_on_layers_at_random(whole):
    found = by_name(compressed(whole, "quantize", "quantize", [], (3.1, 4.0), ignore))
    assert found["uniform", 3.1].spent == 3.0
    mixed = found["mixed", 3.1]
    assert mixed.amounts[1] == 3.0  # 43 of 435 weights can have one bit more: not these 384, and one of the others
    assert mixed.amounts[0] + mixed.amounts[2] == 7.0
    assert mixed.spent == pytest.approx((mixed.amounts * SIZES).sum() / 435)
    assert 3.0 < mixed.spent <= 3.1
    alone = []
    for bits in ([4, 3, 3], [3, 3, 4]):
        layers = zip(whole.network.layers, bits, strict=True)
        alone.append(whole.correct({layer.name: whole.perturbed(layer, "quantize", n) for layer, n in layers}))
    share = mixed.amounts[0] - 3.0
    np.testing.assert_allclose(mixed.correct[0], share * alone[0] + (1 - share) * alone[1])
    np.testing.assert_array_equal(found["mixed", 4.0].correct, found["uniform", 4.0].correct)


def test_baselines_that_cannot_keep_to_a_budget_are_left_out(whole):
    found = by_name(compressed(whole, "prune", "magnitude_prune", [], (0.8, 0.95), ignore))
    assert ("first_and_last", 0.8) in found
    assert ("first_and_last", 0.95) not in found


def test_protection_by_scores_against_a_plain_loop(whole):
    who = [Entrant("mine", "blind", np.array([1.0, 2.0, 3.0]))]
    found = by_name(shielded(whole, "int8_bit_flip", who, (0.1,), (0.05,), 3, ignore))
    assert found["mine", 0.1].amounts.tolist() == [0.0, 0.0, 1.0]  # 24 of 435 weights; 27 more would be too many
    layers, right = whole.network.layers, np.full((3, 60), np.nan)
    limits = {"nothing_protected": right.copy(), "everything_protected": right.copy()}
    for draw in range(3):
        start, n = slice_of(draw, 3, 60)
        faulty = {layer.name: whole.perturbed(layer, "int8_bit_flip", 0.05, draw) for layer in layers}
        stored = {layer.name: whole.perturbed(layer, "quantize", 8) for layer in layers}
        right[draw, start : start + n] = whole.correct(faulty | {"head": stored["head"]}, start, n)
        limits["nothing_protected"][draw, start : start + n] = whole.correct(faulty, start, n)
        limits["everything_protected"][draw, start : start + n] = whole.correct(stored, start, n)
    np.testing.assert_array_equal(found["mine", 0.1].correct, right)
    np.testing.assert_array_equal(found["nothing_protected", 0.0].correct, limits["nothing_protected"])
    np.testing.assert_array_equal(found["everything_protected", 1.0].correct, limits["everything_protected"])
    assert np.nanmean(limits["nothing_protected"]) < np.nanmean(right) < np.nanmean(limits["everything_protected"])


def test_uniform_protects_random_subsets_and_is_what_equal_scores_get(whole):
    who = [Entrant("constant", "blind", np.ones(3))]
    found = by_name(shielded(whole, "int8_bit_flip", who, (0.1,), (0.05,), 10, ignore))
    uniform = found["uniform", 0.1]
    np.testing.assert_array_equal(uniform.correct, found["constant", 0.1].correct)
    assert uniform.amounts[1] == 0.0
    n = 10 * N_ORDERS  # the first of the two small layers in an order is protected, the other no longer fits
    assert uniform.amounts[0] + uniform.amounts[2] == 1.0
    assert stats.binomtest(round(uniform.amounts[0] * n), n).pvalue > 0.01
    assert uniform.spent == pytest.approx((uniform.amounts * SIZES).sum() / 435)


def test_the_ends_are_protected_before_anything_else(whole):
    found = by_name(shielded(whole, "int8_bit_flip", [], (0.12, 0.06), (0.05,), 2, ignore))
    assert found["first_and_last", 0.12].amounts.tolist() == [1.0, 0.0, 1.0]
    assert found["first_and_last", 0.06].amounts.tolist() in (
        [0.0, 0.0, 1.0],
        [0.5, 0.0, 0.5],
        [0.25, 0.0, 0.75],
        [0.0, 0.0, 1],
    )


def test_errors_do_not_depend_on_what_is_protected_or_on_the_budget(whole):
    few = by_name(shielded(whole, "int8_bit_flip", [], (0.1,), (0.05,), 4, ignore))
    many = by_name(shielded(whole, "int8_bit_flip", [], (0.1, 0.5), (0.01, 0.05), 4, ignore))
    np.testing.assert_array_equal(few["uniform", 0.1].correct, many["uniform", 0.1].correct)


@pytest.mark.parametrize(("draws", "n", "n_slices"), [(2, 61, 2), (5, 60, 5), (12, 63, 5)])
def test_draws_see_slices_that_cover_all_examples(draws, n, n_slices):
    found = {slice_of(draw, draws, n) for draw in range(draws)}
    assert len(found) == n_slices
    assert sorted(i for start, length in found for i in range(start, start + length)) == list(range(n))


@pytest.fixture(scope="module")
def pruned(small_tree):
    task = TASKS["prune"]
    wanted = Wanted(task, "magnitude_prune", (0.5, 0.95), (None,), criteria=("snip",))
    return spend(wanted, [load_network("digits_mlp")], small_tree, small_tree["scores"])


def test_rows_say_what_was_measured(pruned, small_tree):
    rows = {(row["criterion"], row["budget"]): row for row in pruned.results.to_pylist()}
    names = {"unchanged", "uniform", "first_and_last", "global_magnitude", "lamp", "erk"}
    names |= {"snip", "random", "parameters", "depth", "truth_guided", "truth_per_weight", "best_known"}
    assert {name for name, _ in rows} == names
    assert {budget for _, budget in rows} == {0.0, 0.5, 0.95}, "uniform at other budgets is for comparison alone"
    row = rows["snip", 0.5]
    assert (row["network"], row["dataset"], row["split"]) == ("digits_mlp", "digits", "validation")
    assert (row["task"], row["perturbation"], row["level"]) == ("prune", "magnitude_prune", None)
    assert (row["track"], row["n_examples"], row["draws"]) == ("blind", 540, 1)
    assert row["truth_revision"] == network_revisions(small_tree["layer_drops"])["digits_mlp"]
    assert row["low"] < row["accuracy"] < row["high"]
    assert row["gain"] == pytest.approx(row["accuracy"] - rows["uniform", 0.5]["accuracy"], abs=0.001)
    assert rows["uniform", 0.5]["gain"] == 0.0
    assert (rows["uniform", 0.5]["verdict"], rows["unchanged", 0.0]["verdict"]) == (None, None)
    assert row["verdict"] in ("beats uniform", "harms", "undecided")
    assert rows["unchanged", 0.0]["gain"] is rows["unchanged", 0.0]["regret"] is rows["best_known", 0.5]["regret"] is None
    assert row["regret"] == pytest.approx(rows["best_known", 0.5]["accuracy"] - row["accuracy"])
    assert row["regret_low"] <= row["regret"] <= row["regret_high"]
    guided = rows["truth_guided", 0.5]
    assert guided["truth_guided_share"] in (None, 1.0)


def test_allocations_come_to_what_is_spent(pruned):
    sizes = {layer.name: layer.parameters for layer in load_network("digits_mlp").layers}
    spent = {}
    for row in pruned.allocations.to_pylist():
        key = row["criterion"], row["budget"]
        spent[key] = spent.get(key, 0.0) + row["amount"] * sizes[row["layer"]] / sum(sizes.values())
    expected = {(row["criterion"], row["budget"]): row["spent"] for row in pruned.results.to_pylist()}
    assert spent == pytest.approx(expected)
    assert set(pruned.allocations["task"].to_pylist()) == {"prune"}
    assert set(pruned.allocations["perturbation"].to_pylist()) == {"magnitude_prune"}


def test_what_cannot_be_measured_is_told(pruned, small_tree):
    assert pruned.notes == ("digits_mlp: first_and_last cannot keep to 0.95: these two layers alone are too large",)
    wanted = Wanted(TASKS["protect"], "int8_bit_flip", (0.1,), (0.01,), draws=2, criteria=("snip",))
    outcome = spend(wanted, [load_network("digits_mlp")], small_tree, small_tree["scores"])
    assert outcome.notes == ("digits_mlp: no truth_guided, as the truth has no areas of int8_bit_flip",)
    rows = outcome.results.to_pylist()
    assert {row["truth_guided_share"] for row in rows} == {None}
    assert {(row["level"], row["draws"], row["n_examples"]) for row in rows} == {(0.01, 2, 600)}


def test_one_draw_is_too_few(small_tree):
    wanted = Wanted(TASKS["protect"], "int8_bit_flip", (0.1,), (0.01,), draws=1)
    with pytest.raises(BadInput, match=r"^1 draws; expected at least 2, as intervals are over draws$"):
        spend(wanted, [], small_tree, small_tree["scores"])


def test_names_of_baselines_are_taken():
    with pytest.raises(BadInput) as error:
        check_names(schema.build("scores", [{"criterion": "lamp"}]))
    assert str(error.value) == ("scores: 'lamp' is the name of a baseline that budgets add; give the criterion another name")


@pytest.mark.parametrize(
    ("task", "level", "budgets", "sentence"),
    [
        ("protect", 0.5, (0.05,), "digits_mlp, bit-error rate 0.5: every allocation leaves accuracy at chance, "),
        (
            "protect",
            1e-9,
            (0.05,),
            "digits_mlp, bit-error rate 1e-09: no allocation lost anything, so that none is better: give a severer rate by "
            "--level; safer-bench plan --task protect --cost 20 finds one for a network",
        ),
        (
            "quantize",
            None,
            (8.0,),
            "digits_mlp: no allocation lost anything, so that none is better: give severer budgets by --budget",
        ),
        ("prune", None, (0.9999,), "digits_mlp: every allocation leaves accuracy at chance, "),
        ("prune", None, (0.9999, 0.5), None),
    ],
)
def test_results_that_tell_nothing_say_so(task, level, budgets, sentence, small_tree):
    perturbation = next(iter(TASKS[task].perturbations))
    wanted = Wanted(TASKS[task], perturbation, budgets, (level,), draws=2, criteria=("constant",))
    outcome = spend(wanted, [load_network("digits_mlp")], small_tree, small_tree["scores"])
    said = [note for note in outcome.notes if "at chance" in note or "lost anything" in note]
    assert len(said) == (sentence is not None)
    assert all(note.startswith(sentence) for note in said)
