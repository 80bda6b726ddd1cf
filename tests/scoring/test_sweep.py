"""What a sweep shares between criteria, and what each criterion costs."""

import time
from dataclasses import replace

import pytest
import torch

from safer_bench.criteria.criterion import criterion
from safer_bench.criteria.loading import criteria, parse_criterion
from safer_bench.criteria.passes import changes, hessian
from safer_bench.errors import BadInput
from safer_bench.perturbations.loading import parse_perturbation
from safer_bench.scoring.score import score
from safer_bench.scoring.sweep import Sweep
from tests.made_up.criteria import LAYERS, criterion_file
from tests.made_up.networks import Encoder, WholePasses, own_network

LEVELS = [parse_perturbation("sign_flip:0.1,0.5"), parse_perturbation("gradient_corruption_l2:1")]


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
    sweep = Sweep(tiny, batch_size=40, suffixes=WholePasses(), entries=[criteria()[name] for name in names])
    together = {name: cost(name, tiny, sweep=sweep)["forward_equivalents"] for name in names}
    assert together == alone
    finding, gradients, fisher, clean, perturbed, products = 2, 2, 40, 1, 3 * 3, 1  # at 40 and at 128 examples; three levels
    assert passes == finding + gradients + fisher + clean + perturbed + products


COMPARING = ("output_kl", "output_jsd", "output_mse", "output_kl_by_level")  # on 40 examples of tiny; one is of two tracks


@pytest.fixture
def compared(tiny):
    """Score by criteria that compare logits: rows, forward equivalents, and passes that were made of the model."""
    passes, _ = [], tiny.layers  # found before passes are counted
    tiny.model.register_forward_hook(lambda *_: passes.append(1))  # copies carry it

    def run(entries):
        passes.clear()
        sweep = Sweep(tiny, batch_size=40, suffixes=WholePasses(), entries=entries)
        scored = [sweep.scored(criteria()[name], LEVELS) for name in COMPARING]
        return [each.rows for each in scored], [each.cost["forward_equivalents"] for each in scored], len(passes)

    return run


def test_criteria_that_compare_logits_do_so_side_by_side_and_say_and_cost_the_same(compared, tiny):
    """Kept for all levels, the logits of a language model would take 200 GB."""
    rows, costs, n_passes = compared([criteria()[name] for name in COMPARING])
    rows_alone, costs_alone, n_alone = compared([])
    assert (rows, costs) == (rows_alone, costs_alone)
    assert n_alone - n_passes == 2 * len(tiny.layers) * 3  # levels; what is scored by level too takes no more


def test_logits_that_are_large_are_compared_by_one_criterion_at_a_time(compared, monkeypatch):
    monkeypatch.setattr(changes, "SIDE_BY_SIDE", 0)
    assert compared([criteria()[name] for name in COMPARING]) == compared([])


def test_each_criterion_is_billed_its_own_work_on_logits_that_several_compare(tiny, monkeypatch):
    """The first one makes the passes for all, and does the others' work as well: no time of theirs is on its bill."""
    slow = replace(criteria()["output_kl"], name="slow", function=changes.ComparesLogits(_slow_comparison))
    known = {**criteria(), "slow": slow}
    monkeypatch.setattr("safer_bench.scoring.sweep.criteria", lambda: known)
    sweep = Sweep(tiny, suffixes=WholePasses(), entries=[known["output_mse"], slow])
    seconds = [sweep.scored(each, LEVELS).cost["seconds"] for each in (known["output_mse"], slow)]
    asleep = 3 * len(tiny.layers) * SLEEP
    assert seconds[0] < asleep / 2
    assert seconds[1] > asleep


SLEEP = 0.1  # seconds a layer


def _slow_comparison(clean, batches):
    """Compares nothing, slowly."""

    def compare(logits):
        time.sleep(SLEEP)
        return float(logits.sum())

    return compare


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
