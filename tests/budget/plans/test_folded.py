"""A plan of a folded network: what is folded stands in it, and it is applied to the model as it was trained."""

import json

import pytest
import torch

import safer_bench as sb
from safer_bench.budget.plans.plan import read_plan, write_text
from safer_bench.errors import BadInput
from tests.made_up.networks import normed_network, tiny_network
from tests.made_up.plans import made_up_plan

BITS = {"0": 4, "4": 3}


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "plan.json").write_text(write_text(made_up_plan(normed_network(fold=True), BITS)))
    return read_plan(tmp_path / "plan.json")


def test_it_is_applied_to_the_model_as_trained_or_as_folded_to_the_same_bits(plan):
    assert plan.folded == {"1": "0"}
    trained, folded = normed_network(), normed_network(fold=True)
    ours, theirs = (sb.apply_plan(network.model, plan) for network in (trained, folded))
    assert all(torch.equal(value, theirs.state_dict()[key]) for key, value in ours.state_dict().items())
    for channel in ours[0].weight.detach():
        assert len(channel.unique()) <= 9  # what a channel of 3x3 weights may hold, and within seven steps of its largest
        assert torch.allclose(channel / channel.abs().max() * 7, (channel / channel.abs().max() * 7).round(), atol=1e-5)
    assert trained.model[0].bias is None, "the caller's model is as it was"
    assert not torch.equal(ours[0].weight, folded.model[0].weight)


def test_a_plan_of_the_network_as_trained_folds_nothing(tmp_path):
    trained = normed_network()
    plan = made_up_plan(trained, BITS)
    assert plan.folded is None
    assert sb.apply_plan(trained.model, plan)[0].bias is None
    with pytest.raises(BadInput, match="are not those of the plan"):
        sb.apply_plan(normed_network(fold=True).model, plan)
    facts = json.loads(write_text(plan))
    del facts["folded"]  # as written before there was folding
    (tmp_path / "plan.json").write_text(json.dumps(facts))
    assert read_plan(tmp_path / "plan.json") == plan


def test_a_model_of_other_layers_or_weights_is_refused(plan):
    with pytest.raises(BadInput) as error:
        sb.apply_plan(tiny_network().model, plan)
    assert str(error.value) == "the model has no batch norm '1' behind a layer '0', to be folded into it"
    other = normed_network().model
    with torch.no_grad():
        other[1].running_mean += 1
    with pytest.raises(BadInput, match="are not those of the plan"):
        sb.apply_plan(other, plan)
