"""A plan of a small network: measured, written, read, applied."""

import copy
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

import safer_bench as sb
from safer_bench.budget.images import budget_network
from safer_bench.budget.plans.make import Wanted, make_plan
from safer_bench.budget.plans.menu import make_menu
from safer_bench.budget.plans.picture import plan_png
from safer_bench.budget.plans.plan import read_plan, write_text
from safer_bench.budget.plans.truths import measured_here, truth_at
from safer_bench.errors import BadInput
from safer_bench.networks.examples import counted
from tests.made_up.networks import Unordered, small_network

BITS = make_menu("quantize", levels=[6, 4, 3, 2])


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.fixture(scope="module")
def truth(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan") / "run"
    made = measured_here(network, BITS, folder)
    assert truth_at(folder)["layer_drops"].equals(made["layer_drops"])
    return made


@pytest.fixture(scope="module")
def planned(network, truth):
    return make_plan(network, Wanted(BITS, budget=3.0), truth)


def test_the_plan_keeps_to_its_budget_and_its_accuracy_is_that_of_the_model_it_makes(network, truth, planned):
    sizes = np.array([layer.parameters for layer in network.layers])
    bits = np.array([planned.amounts[layer.name] for layer in network.layers])
    assert float((bits * sizes).sum() / sizes.sum()) == pytest.approx(planned.measured.plan.spent)
    assert planned.measured.plan.spent <= 3.0
    judges = budget_network(network, "quantize_per_channel", truth)
    assert planned.measured.n_examples == len(judges.labels) == len(network.labels) - len(network.labels) // 2
    model = sb.apply_plan(network.model, planned)
    with torch.no_grad():
        right = model(judges.inputs).argmax(1).numpy() == counted(judges.labels)
    assert right.mean() == pytest.approx(planned.measured.plan.accuracy.value)
    assert not any(torch.equal(model.get_parameter(each.parameter), network.model.get_parameter(each.parameter))
                   for each in planned.layers)  # fmt: skip


def test_uniform_stands_beside_it_and_is_not_surely_better_where_it_spends_as_much(planned):
    by_spent = {point.spent: point for point in planned.measured.uniform}
    assert list(by_spent) == [8.0, 6.0, 4.0, 3.0, 2.0]
    assert planned.measured.plan.drop.low <= by_spent[3.0].drop.high
    assert by_spent[2.0].accuracy.value < by_spent[8.0].accuracy.value
    assert planned.source.by == "truth"
    assert planned.source.protocol == "1 draw of 120 examples"


def test_it_is_read_as_it_was_written_and_what_was_changed_by_hand_is_refused(planned, tmp_path, network):
    path = tmp_path / "plan.json"
    path.write_text(write_text(planned))
    assert read_plan(path) == planned
    assert set(sb.apply_plan(network.model, path).state_dict()) == set(network.model.state_dict())
    assert plan_png(planned).startswith(b"\x89PNG")
    found = json.loads(path.read_text())
    for wrong, message in (
        (found | {"version": 2}, "a plan of version 2; this safer-bench reads version 1"),
        ({"draws": {}}, "a plan of draws, by `measure --plan-only`; expected the plan.json of `safer-bench plan`"),
        (found | {"task": "distil"}, "damaged"),
        (found | {"level": 0.1}, "level: of task 'protect'"),
        (found | {"layers": [*found["layers"], found["layers"][0]]}, "two layers have one name"),
        (found | {"note": ""}, "damaged"),
        (found | {"perturbation": "gaussian_noise"}, "no 'gaussian_noise' stands for task 'quantize'"),
        (found | {"task": "prune", "perturbation": "magnitude_prune"}, "cannot get 3 of task 'prune'"),
        *((_with_layer(found, amount=amount), f"cannot get {amount:g} of task") for amount in (0.0, -3.0, 2.5, 17.0)),
        (_with_layer(found, output_axis=4), "has no axis 4"),
        (_with_layer(found, parameter=found["layers"][1]["parameter"]), "two layers have one parameter"),
    ):
        path.write_text(json.dumps(wrong))
        with pytest.raises(BadInput, match=message):
            read_plan(path)
    with pytest.raises(BadInput, match="there is no plan"):
        read_plan(tmp_path / "none.json")


def test_a_file_of_another_kind_is_told_as_that_and_not_as_damaged(tmp_path):
    for name, data in (("plan.png", b"\x89PNG\r\n"), ("torchao.json", b'{"_type": "FqnToConfig"}'), ("list.json", b"[]")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadInput) as error:
            read_plan(tmp_path / name)
        assert str(error.value) == f"{tmp_path / name}: no plan; expected the plan.json of `safer-bench plan`"
    (tmp_path / "plan.json").write_bytes(b'{"version": 1, ')
    with pytest.raises(BadInput, match="damaged"):
        read_plan(tmp_path)


def only_levels(truth, *levels):
    """Return the tables of a truth that hold levels with these alone."""
    kept = pc.field("level").isin([float(level) for level in levels])
    return {name: truth[name].filter(kept) for name in ("layer_sensitivity", "losses", "layer_drops")}


def test_a_truth_that_left_no_examples_out_is_told_before_its_levels(network, truth):
    drops = truth["layer_drops"]
    n_examples = drops.schema.get_field_index("n_examples")
    everything = pa.array([len(network.labels)] * len(drops), drops["n_examples"].type)
    all_seen = truth | {"layer_drops": drops.set_column(n_examples, "n_examples", everything)}
    with pytest.raises(BadInput, match="0 of its 240 evaluation examples were left out of the truth"):
        Wanted(make_menu("quantize", levels=[2]), budget=3.0).measured(network, all_seen | only_levels(all_seen, 6))
    with pytest.raises(BadInput, match="measured at 6, planned are 2"):
        Wanted(make_menu("quantize", levels=[2]), budget=3.0).measured(network, truth | only_levels(truth, 6))


def _with_layer(found, **changed):
    return found | {"layers": [found["layers"][0] | changed, *found["layers"][1:]]}


def test_it_is_not_applied_to_other_weights_nor_where_a_weight_is_missing(planned, network):
    for changed in ({"parameter": "none.weight"}, {"shape": [1]}):
        first = planned.layers[0].model_copy(update=changed)
        with pytest.raises(BadInput, match=r"the model has no '.*' of shape \[.*\], which the plan names"):
            sb.apply_plan(network.model, planned.model_copy(update={"layers": [first, *planned.layers[1:]]}))
    other = small_network()
    with torch.no_grad():
        other.model.get_parameter(planned.layers[0].parameter).view(-1)[0] += 1.0
    with pytest.raises(BadInput, match="are not those of the plan"):
        sb.apply_plan(other.model, planned)


def test_what_is_no_plan_and_a_model_of_another_type_or_wrapped_are_told_as_that(planned, network):
    for model, plan, message in (
        (network.model, {}, "a plan of type dict; expected the path of a plan.json, or what read_plan returns"),
        (
            copy.deepcopy(network.model).double(),
            planned,
            "parameter conv.weight is torch.float64; plans are of float32: give",
        ),
        (torch.nn.DataParallel(network.model), planned, "a DataParallel; expected the module within: its .module"),
    ):
        with pytest.raises(BadInput) as error:
            sb.apply_plan(model, plan)
        assert str(error.value).startswith(message)


def test_the_tightest_budget_that_keeps_to_a_drop_is_taken(network, truth):
    plan = make_plan(network, Wanted(BITS, max_drop=0.2), truth)
    kept = [point.drop.high <= 0.2 for point in plan.measured.curve]
    assert plan.met
    assert kept == [True] * (len(kept) - 1) + [False]
    assert plan.measured.plan == plan.measured.curve[-2]
    assert [point.budget for point in plan.measured.curve] == sorted([p.budget for p in plan.measured.curve], reverse=True)
    none = make_plan(network, Wanted(BITS, max_drop=0.001), truth)  # 120 examples cannot show as little
    assert none.met is False
    assert set(none.amounts.values()) == {8.0}
    assert len(none.measured.curve) == 1


def test_scores_plan_by_their_order_alone(network):
    sizes = {layer.name: float(layer.parameters) for layer in network.layers}
    plan = make_plan(network, Wanted(BITS, budget=4.0, by="size", score=lambda *_: sizes))
    assert plan.measured.n_examples == len(network.labels)
    assert plan.measured.rounds == []
    assert plan.source.by == "size"
    assert {layer.predicted_drop for layer in plan.layers} == {None}
    largest, smallest = max(sizes, key=sizes.get), min(sizes, key=sizes.get)
    assert plan.amounts[largest] >= plan.amounts[smallest]
    assert plan.measured.plan.spent <= 4.0


def test_the_other_names_of_a_tied_weight_stand_in_the_plan():
    generator = torch.Generator().manual_seed(7)
    inputs, labels = torch.randn(100, 4, generator=generator), torch.randint(3, (100,), generator=generator)
    tied = sb.Network(Unordered().eval(), inputs, labels, name="tied")
    plan = make_plan(
        tied, Wanted(BITS, budget=4.0, by="same", score=lambda *_: dict.fromkeys(("first", "middle", "last"), 1.0))
    )
    assert {layer.name: layer.tied for layer in plan.layers} == {
        "first": {}, "middle": {"tied.weight": "Linear"}, "last": {}
    }  # fmt: skip


def test_layers_are_protected_and_marked_and_pruned_layers_have_their_share_of_zeros(network, tmp_path):
    menu = make_menu("protect", levels=[0.02])
    protect = make_plan(network, Wanted(menu, budget=0.3, draws=2), measured_here(network, menu, tmp_path / "faults"))
    assert 0 < protect.measured.plan.spent <= 0.3
    assert (protect.level, protect.measured.draws) == (0.02, 2)
    model = sb.apply_plan(network.model, protect)
    assert {each.name: model.get_parameter(each.parameter).protected for each in protect.layers} == {
        name: bool(amount) for name, amount in protect.amounts.items()
    }
    menu = make_menu("prune", levels=[0.5, 0.8])
    prune = make_plan(network, Wanted(menu, budget=0.6), measured_here(network, menu, tmp_path / "pruned"))
    assert prune.measured.plan.spent >= 0.6
    model = sb.apply_plan(network.model, prune)
    for layer in prune.layers:
        weight = model.get_parameter(layer.parameter)
        assert int((weight == 0).sum()) == round(layer.amount * weight.numel())


def test_what_cannot_be_planned_is_refused(network, truth):
    both = {"budget": 3.0, "max_drop": 0.1}
    for wrong, found in (({}, "none"), (both, "more than one"), ({"budget": 3.0, "cost": 0.2}, "more than one")):
        with pytest.raises(BadInput, match=f"needs --budget, --max-drop or --cost: one of them, found {found}"):
            make_plan(network, Wanted(BITS, **wrong), truth)
    with pytest.raises(BadInput, match="task 'protect' needs --budget or --max-drop: one of them"):
        Wanted(make_menu("protect"), cost=0.2).check()
    with pytest.raises(BadInput, match="--cost 0; expected points of accuracy above 0, at most 100"):
        Wanted(make_menu("protect"), budget=0.1, cost=0.0).check()
    with pytest.raises(BadInput, match=r"the level of a cost is to be found first: plan for Wanted.at\("):
        make_plan(network, Wanted(BITS, cost=0.2), truth)
    with pytest.raises(BadInput, match="expected mean bits from 2 to 8"):
        make_plan(network, Wanted(BITS, budget=1.0), truth)
    with pytest.raises(BadInput, match="--max-drop 0"):
        make_plan(network, Wanted(BITS, max_drop=0.0), truth)
    with pytest.raises(BadInput, match="needs measured drops"):
        make_plan(network, Wanted(BITS, budget=3.0))
    with pytest.raises(
        BadInput, match=r"budget 2.5 of task 'quantize' cannot be met: the choices allow 3 mean bits at least"
    ):
        make_plan(network, Wanted(make_menu("quantize", levels=[4, 3]), budget=2.5), truth)
    with pytest.raises(
        BadInput, match=r"budget 2.5 of task 'quantize' cannot be met: the choices allow 3 mean bits at least"
    ):
        make_plan(network, Wanted(BITS, budget=2.5), truth | only_levels(truth, 4, 3))
    other = small_network()
    other.name = "other"
    with pytest.raises(BadInput, match=r"network 'other' was not measured\. Those that were: small"):
        make_plan(other, Wanted(BITS, budget=3.0), truth)
