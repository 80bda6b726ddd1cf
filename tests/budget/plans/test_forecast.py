"""What a dry run of a plan says, against what the plan then takes."""

import numpy as np
import pytest

from safer_bench.budget.plans import forecast as module
from safer_bench.budget.plans import joint
from safer_bench.budget.plans.choosers import choosing_network
from safer_bench.budget.plans.cost import level_that_costs
from safer_bench.budget.plans.forecast import JointTimes, forecast_plan
from safer_bench.budget.plans.make import Wanted, make_plan
from safer_bench.budget.plans.menu import make_menu
from safer_bench.budget.plans.truths import measured_here
from safer_bench.budget.whole import WholeNetwork
from tests.made_up.networks import small_network


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.fixture
def taken(monkeypatch):
    """Return the numbers of answers that whole networks are asked for with changed weights."""
    answers, correct = [], WholeNetwork.correct

    def counted(self, weights, *where):
        found = correct(self, weights, *where)
        if weights:
            answers.append(len(found))
        return found

    monkeypatch.setattr(WholeNetwork, "correct", counted)
    return answers


@pytest.mark.parametrize(
    ("task", "levels", "asked"),
    [
        ("quantize", [4, 2], {"budget": 3.0}),
        pytest.param("quantize", [4, 2], {"max_drop": 0.9}, marks=pytest.mark.long),
        ("protect", [0.05], {"budget": 0.3, "cost": 0.2, "draws": 3}),
        pytest.param("prune", [0.5, 0.9], {"cost": 0.2}, marks=pytest.mark.long),
    ],
)
def test_a_plan_takes_no_more_than_was_said_and_its_probes_are_counted_exactly(
    network, taken, tmp_path, task, levels, asked
):
    wanted = Wanted(make_menu(task, levels=levels), **asked)
    found = forecast_plan(network, wanted)
    taken.clear()
    if wanted.cost is not None:
        chooses = choosing_network(network, wanted.menu, None, by_scores=False)
        wanted = wanted.at(level_that_costs(chooses, wanted.menu, wanted.cost, wanted.draws_each))
    truth = measured_here(network, wanted.menu, tmp_path)
    probes, *others = found.steps
    assert probes.n_measurements == truth["layer_drops"].num_rows
    assert probes.n_answers == sum(truth["layer_drops"]["n_examples"].to_pylist())
    make_plan(network, wanted, truth)
    said = sum(step.n_answers for step in others)
    assert said / 10 < sum(taken) <= said
    assert found.whole.n_answers == said + probes.n_answers
    assert found.whole.seconds == pytest.approx(sum(step.seconds for step in found.steps))
    assert 2e8 < found.memory_bytes < 2e10


def test_all_rounds_are_counted_and_scores_take_none(network):
    wanted = Wanted(make_menu("quantize", levels=[4, 3]), budget=3.0)
    (probes, corrections, judgement) = forecast_plan(network, wanted).steps
    assert [step.name for step in (probes, corrections, judgement)] == [
        "drops of single layers",
        f"correction, {joint.ROUNDS} rounds at most",
        "judgement",
    ]
    assert corrections.n_measurements == 2 + joint.ROUNDS * (3 + 1)
    assert (corrections.n_answers, judgement.n_answers) == (120 * corrections.n_measurements, 120 * (1 + 3))
    scores = Wanted(wanted.menu, budget=3.0, by="size", score=lambda *_: {})
    assert [(step.name, step.n_answers) for step in forecast_plan(network, scores).steps] == [("judgement", 240 * 4)]


def test_drops_that_are_there_are_not_measured_again(network, tmp_path):
    wanted = Wanted(make_menu("quantize", levels=[4, 3]), budget=4.0)
    truth = measured_here(network, wanted.menu, tmp_path)
    assert [step.name for step in forecast_plan(network, wanted, truth).steps] == [
        f"correction, {joint.ROUNDS} rounds at most",
        "judgement",
    ]


def test_times_are_extended_by_what_grows_with_examples_draws_and_levels():
    times = JointTimes(np.array([10, 20]), np.array([1.0, 2.0]), np.array([0.3, 0.5]), weights=0.25)
    assert times.seconds(100, 4, 1, 3) == pytest.approx(10.0 + 4 * 2.1 + 0.75)
    assert times.seconds(100, 4, 10, 2) == pytest.approx(10.0 + 40 * 0.5 + 0.25 * 20), "a draw sees a fifth"
    assert times.seconds(100, 4, 2, 2) == pytest.approx(10.0 + 8 * 1.1 + 0.25 * 4), "two draws see a half each"


def test_the_sample_is_as_large_as_time_allows(network, monkeypatch):
    seen = []

    def timed(some, *_):
        seen.append(len(some.labels))
        return 0.5, 0.25 + len(some.labels) / 100, 0.25

    monkeypatch.setattr(module, "_times", timed)
    times = module.joint_times(network, make_menu("quantize"), None)
    assert seen == [12, 12, round(12 * module.SAMPLED_SECONDS / 1.12 - 0.5)]
    assert times.weights == 0.25
    monkeypatch.setattr(module, "SAMPLED_SECONDS", 0.1)
    assert module.joint_times(network, make_menu("quantize"), None).sizes.tolist() == [12, 24]
