"""Criteria from files, what is refused, and what a submission folder holds."""

import threading
import weakref

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from safer_bench.criteria.criterion import criterion
from safer_bench.criteria.loading import criteria, parse_criterion
from safer_bench.criteria.passes import hessian, shared
from safer_bench.errors import BadInput, UnknownName
from safer_bench.networks.network import Network
from safer_bench.perturbations.loading import parse_perturbation
from safer_bench.scoring import write
from safer_bench.scoring.score import score
from safer_bench.scoring.sets import calibration_sweeps
from safer_bench.scoring.sweep import Sweep
from safer_bench.scoring.write import write_scores
from tests.made_up.networks import Encoder, WholePasses, own_network

LEVELS = [parse_perturbation("sign_flip:0.1,0.5"), parse_perturbation("gradient_corruption_l2:1")]


def criterion_file(tmp_path, body, name="mine"):
    path = tmp_path / "criterion.py"
    path.write_text(f"import torch\ndef {name}(model, batches):\n    {body}\n")
    return f"{path}:{name}"


LAYERS = "{'conv': 1.0, 'hidden': 2.0, 'head': 3.0}"


def test_a_plain_function_in_a_file_is_a_criterion(tiny, tmp_path):
    assert score(criterion_file(tmp_path, f"return {LAYERS}"), tiny) == {"conv": 1.0, "hidden": 2.0, "head": 3.0}


def test_an_object_that_can_be_called_is_a_criterion_by_its_name_in_the_file(tmp_path):
    """It has no name of its own: that was a traceback."""
    path = tmp_path / "mine.py"
    path.write_text(
        "import functools\nclass Ones:\n    def __call__(self, model, batches): return {}\nones = Ones()\n"
        "half = functools.partial(lambda factor, model, batches: {}, 0.5)\n"
    )
    assert [parse_criterion(f"{path}:{name}").name for name in ("ones", "half")] == ["ones", "half"]


def test_a_function_is_a_criterion_decorated_or_not(tiny):
    def mine(model, batches):
        return {"conv": 1.0, "hidden": 2.0, "head": 3.0}

    decorated = criterion(needs="weights", formula="1, 2, 3", source="test")(mine)
    assert score(mine, tiny) == score(decorated, tiny) == {"conv": 1.0, "hidden": 2.0, "head": 3.0}
    assert score(criteria()["snip"], tiny) == score("snip", tiny)
    entry, _ = LEVELS[0]
    assert score("output_kl", tiny, perturbation=entry) == score("output_kl", tiny, perturbation=entry.name)


def test_the_name_of_a_network_is_no_network():
    with pytest.raises(BadInput) as error:
        score("snip", "digits_mlp")
    assert str(error.value) == "expected a Network, got 'digits_mlp'; safer_bench.load_network(NAME) loads one of the zoo"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ValueError('no')", "raised ValueError: no (criterion.py:3, in mine)"),
        ("raise SystemExit(0)", "raised SystemExit: 0 (criterion.py:3, in mine)"),
        ("return {'conv': 1.0}", "expected one score for each of the 3 layers; missing 2 (['head', 'hidden']), unknown none"),
        (f"return {{**{LAYERS}, 'tail': 1.0}}", "expected one score for each of the 3 layers; missing none, unknown 1 (['tail'])"),
        (f"return {{**{LAYERS}, 'head': None}}", "a score is not a number (float() argument must be a string or a real number, not 'NoneType')"),
        ("return 3", "returned int; expected {layer name: score}"),
        (f"return {{**{LAYERS}, 'head': float('nan')}}", "the score of layer 'head' is nan; expected a finite number"),
        (
            f"next(model.parameters()).data.mul_(2); return {LAYERS}",
            "changed the model (conv.weight); restore every weight before returning",
        ),
        (f"model.train(); return {LAYERS}", "left the model in training mode; call model.eval() before returning"),
        (f"model.register_forward_hook(print); return {LAYERS}", "left hooks on the model; remove each before returning"),
    ],
)  # fmt: skip
def test_a_criterion_that_fails_is_named_and_nothing_becomes_a_silent_zero(tiny, tmp_path, body, message):
    before = tiny.weights_sha256
    with pytest.raises(BadInput) as error:
        score(criterion_file(tmp_path, body), tiny)
    assert str(error.value) == f"criterion 'mine' on network 'tiny': {message}"
    assert Network(tiny.model, tiny.inputs, tiny.labels).weights_sha256 == before


@pytest.mark.parametrize(
    ("body", "name"), [("model.conv.weight.data.view(-1)[0].neg_()", "conv.weight"), ("model.table.add_(1)", "table")]
)
def test_a_model_is_unchanged_to_the_bit_in_unsaved_buffers_too(tiny, tmp_path, body, name):
    tiny.model.register_buffer("table", torch.zeros(3), persistent=False)
    tiny.model.conv.weight.data.view(-1)[0] = 0.0
    with pytest.raises(BadInput, match=rf"changed the model \({name}\)"):
        score(criterion_file(tmp_path, f"{body}; return {LAYERS}"), tiny)


def test_a_value_that_is_no_number_is_no_change(tiny, tmp_path):
    tiny.model.register_buffer("missing", torch.tensor(float("nan")))
    assert score(criterion_file(tmp_path, f"return {LAYERS}"), tiny)["head"] == 3.0


def test_what_a_criterion_does_to_torch_is_undone(tiny, tmp_path):
    body = (
        f"torch.set_grad_enabled(False); torch.set_default_dtype(torch.float64); torch.set_num_threads(3); return {LAYERS}"
    )
    before = torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads()
    sweep = Sweep(tiny)
    sweep.scores(parse_criterion(criterion_file(tmp_path, body)))
    assert (torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads()) == before
    assert sweep.scores(criteria()["snip"]) == score("snip", tiny)


def test_a_file_that_ends_the_program_is_named(tmp_path, tiny):
    path = tmp_path / "script.py"
    path.write_text("import sys\nsys.exit(0)\n")
    with pytest.raises(BadInput, match=r"importing '.*script.py' failed with SystemExit: 0"):
        score(f"{path}:mine", tiny)


def test_files_and_functions_that_are_not_there_are_named(tmp_path, tiny):
    path = criterion_file(tmp_path, f"return {LAYERS}").rpartition(":")[0]
    with pytest.raises(BadInput) as error:
        score(f"{path}:mien", tiny)
    assert str(error.value) == f"{path}:mien: '{path}' defines no function 'mien'. Did you mean 'mine'?"
    with pytest.raises(BadInput) as error:
        score("absent.py:mine", tiny)
    assert str(error.value) == "absent.py:mine: there is no file 'absent.py'; expected FILE.py:FUNC"


def test_a_file_that_does_not_import_is_named(tmp_path, tiny):
    path = tmp_path / "broken.py"
    path.write_text("import nothing_of_that_name\n")
    with pytest.raises(BadInput, match=r"importing '.*broken.py' failed with ModuleNotFoundError: No module named"):
        score(f"{path}:mine", tiny)


def test_an_unknown_criterion_gets_near_misses(tiny):
    with pytest.raises(UnknownName) as error:
        score("snipe", tiny)
    assert str(error.value) == (
        "no criterion is called 'snipe'. Did you mean 'snip'? All of them: safer-bench list criteria"
    )


def test_a_function_that_wants_more_is_told_how_to_see_the_perturbation(tmp_path):
    path = tmp_path / "criterion.py"
    path.write_text("def mine(model, batches, perturb, level):\n    return {}\n")
    with pytest.raises(BadInput, match=r"takes \(model, batches, perturb, level\); expected .*@sb.criterion\(aware=True\)"):
        parse_criterion(f"{path}:mine")


def test_what_is_no_dictionary_is_named(tiny, tmp_path):
    with pytest.raises(BadInput, match=r"'mine' on network 'tiny': returned list; expected \{layer name: score\}$"):
        score(criterion_file(tmp_path, "return [1.0]"), tiny)


def test_an_aware_criterion_that_fails_names_perturbation_and_level(tiny):
    @criterion(aware=True)
    def endless(model, batches, perturb, level):
        return {layer.name: float("inf") for layer in tiny.layers}

    with pytest.raises(
        BadInput, match=r"'endless' on network 'tiny' under sign_flip at level 0\.5: the score of layer 'conv'"
    ):
        score(endless, tiny, perturbation="sign_flip:0.5")


def test_an_aware_criterion_needs_a_perturbation(tiny):
    with pytest.raises(BadInput) as error:
        score("measured_drop_128", tiny)
    assert str(error.value) == "criterion 'measured_drop_128' sees the perturbation; give perturbation=NAME"


def test_given_examples_are_all_used_and_must_match(tiny):
    images, labels = tiny.evaluation
    repeated = score("snip", tiny, images.repeat(20, 1, 1, 1), labels.repeat(20))
    assert repeated == pytest.approx(score("snip", tiny, images, labels), rel=1e-4)
    for bad in ((images, None), (images, labels[:5]), (None, labels)):
        with pytest.raises(
            BadInput,
            match=r"inputs and labels: expected both, as many of each, or neither|60 images and 5 labels",
        ):
            score("snip", tiny, *bad)


def test_given_examples_may_be_arrays_of_any_precision_and_may_require_gradients(tiny):
    images, labels = tiny.calibration
    expected = score("snip", tiny, images, labels)
    assert score("snip", tiny, images.numpy(), labels.numpy()) == expected
    assert score("snip", tiny, images.double().numpy(), labels.numpy().astype("int32")) == expected
    assert score("snip", tiny, images.numpy().astype(">f4").astype("f4"), labels.tolist()) == expected
    assert score("snip", tiny, images.clone().requires_grad_(True), labels) == expected


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((3, 1, 4, 4)), np.zeros((3, 1), int), r"labels are torch.int64 \(3, 1\); expected int64 \(n,\) or"),
        (np.zeros((3, 1, 4, 4)), np.zeros(3), r"labels are torch.float64 \(3,\); expected int64 \(n,\) or"),
        (np.zeros((3, 1, 4, 4)), np.full(3, 3), r"labels from 3 to 3; expected 0 to 2"),
        (
            np.zeros((3, 4, 4)),
            np.zeros(3, int),
            r"images of shape \(4, 4\); expected \(1, 4, 4\), that of the evaluation images",
        ),
        (
            np.zeros((3, 1, 4, 4), int),
            np.zeros(3, int),
            r"input 0 of \(1, 4, 4, 'torch.int64'\); expected input 0 of \(1, 4, 4\), as the evaluation",
        ),
        (np.full((3, 1, 4, 4), np.nan), np.zeros(3, int), "images hold NaN or infinite values"),
        (np.zeros((0, 1, 4, 4)), np.zeros(0, int), "0 images and 0 labels; expected as many, at least one"),
        ("images", np.zeros(3, int), r"images are a str .*; expected a tensor or array of numbers"),
        (np.array(["a"]), np.zeros(1, int), r"images are a ndarray .*; expected a tensor or array of numbers"),
        (np.float32(1), np.zeros(1, int), r"images are \(\); expected \(n, ...\) with values"),
    ],
)
def test_given_examples_that_are_none_of_the_network_are_one_message(tiny, images, labels, message):
    with pytest.raises(BadInput, match=message):
        score("snip", tiny, images, labels)


def test_a_model_that_cannot_be_copied_is_one_message():
    model, images = torch.nn.Linear(4, 3).eval(), torch.randn(6, 4)
    model.lock = threading.Lock()
    network = Network(model, images[:3], torch.arange(3), calibration=(images[3:], torch.arange(3)))
    with pytest.raises(
        BadInput, match=r"network 'own': copying its model raised TypeError: .*; expected one that copy.deepcopy"
    ):
        score("l2_norm", network)


def test_a_submissions_name_is_checked_before_anything_is_scored(tiny, tmp_path):
    with pytest.raises(BadInput, match=r"name: found 'my scores'; expected text of the pattern"):
        write_scores(tmp_path / "my scores", [criterion_file(tmp_path, "raise ValueError")], [tiny], LEVELS)


def cost(name, network, levels=LEVELS, sweep=None):
    return (sweep or Sweep(network, batch_size=16)).scored(criteria()[name], levels).cost


def test_costs_count_passes_forward_as_one_backward_as_two_and_backward_of_backward_as_four(tiny):
    """40 calibration examples; finding the layers costs one more."""
    assert cost("snip", tiny)["forward_equivalents"] == 1 + (1 + 2) * 40
    assert cost("grasp", tiny)["forward_equivalents"] == 1 + (1 + 2) * 40 + (1 + 2 + 4 + 2) * 40
    drop = cost("measured_drop_128", tiny, LEVELS[:1])
    assert drop["forward_equivalents"] == 1 + 40 * (1 + 2 * 3)
    assert drop["seconds"] > 0
    assert cost("measured_drop_128", tiny, LEVELS[1:])["forward_equivalents"] == 1 + 3 * 40 + 40 * (1 + 3)


PER_EXAMPLE = {"activation_fisher", "output_fisher", "wanda"}  # sum squares over examples at the layers
STATED = [entry for entry in criteria().values() if "at most" not in entry.cost]


@pytest.mark.parametrize("entry", STATED, ids=lambda entry: entry.name)
def test_stated_costs_are_the_counted_ones(tiny, entry):
    """One level; the gradient that a perturbation needs is its own affair. An example finds the layers, three what they read."""
    stated = eval(entry.cost, {"N": min(40, entry.examples or 40), "L": 3, "C": 3})
    counted = cost(entry.name, tiny, [parse_perturbation("sign_flip:0.1")])["forward_equivalents"]
    assert counted == stated + (4 if entry.name in PER_EXAMPLE else 1)


BOUNDED = [entry for entry in criteria().values() if "at most" in entry.cost]


@pytest.mark.parametrize("entry", BOUNDED, ids=lambda entry: entry.name)
def test_bounded_costs_are_not_exceeded(entry, monkeypatch):
    """On a network whose logits bend in most weights, by halves that never agree. An example finds the layers."""
    monkeypatch.setattr(hessian, "AGREED", 2.0)
    network = own_network(Encoder, (5, 8), 3)
    bound = eval(entry.cost.removeprefix("at most "), {"N": len(network.calibration[1]), "L": len(network.layers)})
    counted = cost(entry.name, network, [parse_perturbation("sign_flip:0.1")])["forward_equivalents"]
    assert counted <= bound + 1
    if entry.cost == hessian.DIAGONAL_COST:
        assert counted > bound / 2


def test_curvature_of_a_piecewise_linear_network_costs_its_gauss_newton_part(tiny):
    """Four backward passes an example, beside the eight that tell in which of three layers the logits bend."""
    for entry in BOUNDED:
        if entry.cost == hessian.DIAGONAL_COST:
            counted = cost(entry.name, tiny, [parse_perturbation("sign_flip:0.1")])["forward_equivalents"]
            assert counted == 1 + 40 * (1 + 4 * 2) + 8 * (3 + 6 * 3)


def test_an_estimate_takes_no_more_examples_than_the_sweep_and_measuring_as_many_as_it_says(tiny):
    level = [parse_perturbation("sign_flip:0.1")]
    sweep = Sweep(tiny, examples=8, suffixes=WholePasses())
    assert cost("output_kl", tiny, level, sweep)["forward_equivalents"] == 1 + 8 * (1 + 3)
    assert cost("measured_drop_32", tiny, level, sweep)["forward_equivalents"] == 1 + 32 * (1 + 3)


def test_a_sweep_makes_shared_passes_once_and_bills_each_criterion_as_if_alone(tiny):
    passes = 0

    def count(*_):
        nonlocal passes
        passes += 1

    names = ["snip", "gradient_norm", "fit", "measured_drop_128", "output_kl", "measured_drop_128_by_level", "grasp"]
    alone = {name: cost(name, tiny)["forward_equivalents"] for name in names}
    tiny.model.register_forward_hook(count)  # copies carry it
    sweep = Sweep(tiny, batch_size=40, suffixes=WholePasses())
    together = {name: cost(name, tiny, sweep=sweep)["forward_equivalents"] for name in names}
    assert together == alone
    finding, gradients, fisher, clean, perturbed, products = 2, 2, 40, 1, 3 * 3, 1  # at 40 and at 128 examples; three levels
    assert passes == finding + gradients + fisher + clean + perturbed + products


def test_logits_without_room_are_made_again_and_say_and_cost_the_same(tiny, monkeypatch):
    """Kept for all levels, those of a language model would take 200 GB."""
    names, passes = ("output_kl", "output_jsd", "measured_drop_128", "measured_drop_128_by_level"), []
    found, n_layers = [], len(tiny.layers)  # found before passes are counted
    tiny.model.register_forward_hook(lambda *_: passes.append(1))  # copies carry it
    for room in (shared.ROOM, 0):
        monkeypatch.setattr(shared, "ROOM", room)
        passes.clear()
        sweep = Sweep(tiny, batch_size=40, suffixes=WholePasses())
        scored = [sweep.scored(criteria()[name], LEVELS) for name in names]
        found.append(([each.rows for each in scored], [each.cost["forward_equivalents"] for each in scored], len(passes)))
    (rows, costs, kept), (rows_again, costs_again, made_again) = found
    assert (rows, costs) == (rows_again, costs_again)
    assert made_again - kept == 2 * n_layers * 3  # levels; what is scored by level too is not made again for that


def test_a_criterion_of_a_file_shares_nothing_with_built_in_ones(tiny, tmp_path):
    """It may have changed its copy of the model, and what it changed must not be kept."""
    body = f"[p.data.zero_() for p in model.parameters()]; return {LAYERS}"
    sweep = Sweep(tiny)
    first = sweep.scores(criteria()["snip"])
    with pytest.raises(BadInput, match="changed the model"):
        sweep.scores(parse_criterion(criterion_file(tmp_path, body)))
    assert sweep.scores(criteria()["snip"]) == first == Sweep(tiny).scores(criteria()["snip"])


def test_what_a_failed_built_in_criterion_left_behind_is_not_kept(tiny, monkeypatch):
    def spoil(model, batches):
        with torch.no_grad():
            model.conv.weight.zero_()
        raise ValueError("spoilt")

    bad = criterion(name="bad", source="test")(spoil)
    monkeypatch.setattr("safer_bench.scoring.sweep.criteria", lambda: {"bad": bad, **criteria()})
    sweep = Sweep(tiny)
    with pytest.raises(BadInput, match="criterion 'bad' on network 'tiny': raised ValueError: spoilt"):
        sweep.scores(bad)
    assert sweep.scores(criteria()["l2_norm"]) == score("l2_norm", tiny)


def test_rows_name_what_their_track_sees(tiny):
    sweep, layers = Sweep(tiny), ("conv", "hidden", "head")
    rows = sweep.scored(criteria()["measured_drop_128"], LEVELS).rows
    found = [(row["layer"], row["perturbation"], row["level"]) for row in rows]
    assert found == [(layer, name, None) for name in ("sign_flip", "gradient_corruption_l2") for layer in layers]
    rows = sweep.scored(criteria()["measured_drop_128_by_level"], LEVELS).rows
    at = (("sign_flip", 0.1), ("sign_flip", 0.5), ("gradient_corruption_l2", 1.0))
    assert [(row["layer"], row["perturbation"], row["level"]) for row in rows] == [(x, *y) for y in at for x in layers]
    assert {(row["perturbation"], row["level"]) for row in sweep.scored(criteria()["l2_norm"], LEVELS).rows} == {
        (None, None)
    }


def test_a_level_of_a_level_aware_criterion_is_averaged_into_the_aware_one(tiny):
    rows = Sweep(tiny).scored(criteria()["quantization_mse_by_level"], LEVELS[:1]).rows
    each = {(row["layer"], row["level"]): row["score"] for row in rows}
    average = score("quantization_mse", tiny, perturbation="sign_flip:0.1,0.5")
    for layer, value in average.items():
        assert each[layer, 0.1] < each[layer, 0.5]
        assert value == pytest.approx((each[layer, 0.1] + each[layer, 0.5]) / 2)


def test_the_others_go_on_when_a_criterion_fails(tiny, tmp_path):
    bad, out = criterion_file(tmp_path, "return {}"), tmp_path / "out"
    with pytest.raises(BadInput) as error:
        write_scores(out, ["l2_norm", bad, "snip"], [tiny], LEVELS)
    assert str(error.value) == (
        "criterion 'mine' on network 'tiny': expected one score for each of the 3 layers; "
        "missing 3 (['conv', 'head', 'hidden']), unknown none\n"
        f"1 of 3 refused; {out} holds what was not refused; the same command scores the rest"
    )
    assert set(pq.read_table(out / "scores.parquet")["criterion"].to_pylist()) == {"l2_norm", "snip"}
    assert [item["name"] for item in yaml.safe_load((out / "submission.yaml").read_text())["criteria"]] == [
        "l2_norm",
        "snip",
    ]


def test_where_every_criterion_fails_nothing_is_written(tiny, tmp_path):
    with pytest.raises(BadInput, match=r"\n1 of 1 refused; nothing was written$"):
        write_scores(tmp_path / "out", [criterion_file(tmp_path, "return {}")], [tiny], LEVELS)
    assert not (tmp_path / "out").exists()


def test_scores_are_written_with_card_and_costs(tiny, tmp_path):
    write_scores(tmp_path / "mine", ["l2_norm", "measured_drop_128"], [tiny], LEVELS)
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == [
        "costs.parquet",
        "scores.parquet",
        "submission.yaml",
    ]
    assert pq.read_table(tmp_path / "mine" / "scores.parquet").num_rows == 3 + 2 * 3
    card = yaml.safe_load((tmp_path / "mine" / "submission.yaml").read_text())
    assert card["levels"] == {each.name: list(values) for each, values in LEVELS}
    write_scores(tmp_path / "blind", ["l2_norm"], [tiny], LEVELS)
    assert yaml.safe_load((tmp_path / "blind" / "submission.yaml").read_text())["levels"] == {}


def test_scores_from_examples_are_means_over_disjoint_sets_with_their_spread(tiny, tmp_path):
    write_scores(tmp_path / "mine", ["l2_norm", "snip", "measured_drop_32"], [tiny], LEVELS[:1], calibration_sets=3)
    rows = pq.read_table(tmp_path / "mine" / "scores.parquet").to_pylist()
    size = len(tiny.calibration[1]) // 3
    parts = [tuple(each[i * size : (i + 1) * size] for each in tiny.calibration) for i in range(3)]
    each = [score("snip", tiny, *part) for part in parts]
    for row in rows:
        if row["criterion"] == "snip":
            values = [found[row["layer"]] for found in each]
            assert row["score"] == pytest.approx(torch.tensor(values).double().mean().item())
            assert row["spread"] == pytest.approx(torch.tensor(values).double().std().item())
        else:
            assert row["spread"] is None
    costs = {
        row["criterion"]: row["forward_equivalents"]
        for row in pq.read_table(tmp_path / "mine" / "costs.parquet").to_pylist()
    }
    alone = [Sweep(tiny, own_examples=part).scored(criteria()["snip"], []).cost["forward_equivalents"] for part in parts]
    assert (costs["l2_norm"], costs["snip"]) == (1.0, sum(alone))
    drops = {row["layer"]: row["score"] for row in rows if row["criterion"] == "measured_drop_32"}
    assert drops == score("measured_drop_32", tiny, perturbation="sign_flip:0.1,0.5")
    assert yaml.safe_load((tmp_path / "mine" / "submission.yaml").read_text())["calibration_sets"] == 3
    with pytest.raises(BadInput) as error:
        write_scores(tmp_path / "many", ["snip"], [tiny], LEVELS, calibration_sets=len(tiny.calibration[1]) + 1)
    assert (
        str(error.value)
        == f"network 'tiny': {len(tiny.calibration[1])} calibration examples; expected {len(tiny.calibration[1]) + 1} sets of them"
    )


def test_what_criteria_share_of_one_set_is_gone_before_the_next_is_scored(tiny, tmp_path, monkeypatch):
    made, alive, scored = [], [], Sweep.scored

    def sweeps(network, n_sets):
        found = calibration_sweeps(network, n_sets)
        made.extend(map(weakref.ref, found))
        return found

    def counted(self, entry, levels):
        alive.append((entry.name, sum(each() is not None for each in made)))
        return scored(self, entry, levels)

    monkeypatch.setattr(write, "calibration_sweeps", sweeps)
    monkeypatch.setattr(Sweep, "scored", counted)
    write_scores(tmp_path / "mine", ["output_kl", "l2_norm", "snip"], [tiny], LEVELS, calibration_sets=3)
    assert alive == [
        ("output_kl", 3),
        ("l2_norm", 3),
        ("snip", 3),
        *((name, n) for n in (2, 1) for name in ("output_kl", "snip")),
    ]


def test_a_name_or_file_that_is_given_twice_is_refused_before_anything_is_scored(tiny, tmp_path):
    """Such a folder was written, and then refused by `check`: a criterion listed twice, or one file over the other."""
    (tmp_path / "other").mkdir()
    one, two = criterion_file(tmp_path, f"return {LAYERS}"), criterion_file(tmp_path / "other", f"return {LAYERS}", "theirs")
    for specs, networks, message in (
        (["snip", "l2_norm", "snip"], [tiny], "two criterion arguments are called 'snip'"),
        ([one, two], [tiny], "two file arguments are called 'criterion.py'"),
        (["l2_norm"], [tiny, tiny], "two network arguments are called 'tiny'"),
    ):
        with pytest.raises(BadInput) as error:
            write_scores(tmp_path / "out", specs, networks, LEVELS)
        assert str(error.value) == f"{message}; a submission holds each name once"
        assert not (tmp_path / "out").exists()


def test_no_networks_are_refused_and_not_scored_in_silence(tmp_path):
    with pytest.raises(BadInput, match=r"^no networks to score; name them by --network$"):
        write_scores(tmp_path / "out", ["snip"], [], LEVELS)
