"""The plain loop against a loop written anew, and what rows hold."""

from copy import deepcopy

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from safer_bench.errors import BadInput
from safer_bench.measurement.design import Design, make_protocol
from safer_bench.measurement.gradients import CalibrationGradients
from safer_bench.measurement.measure import measure
from safer_bench.measurement.plain import PlainEngine
from safer_bench.networks.network import Network
from safer_bench.perturbations.loading import parse_perturbation

SPECS = ["gaussian_noise:0.5,2", "sign_flip:0.5", "gradient_corruption_l2:1", "quantize:2"]


def count_by_hand(network, layer, weight, start, n):
    """Return (broken, fixed, changed) of a weight, written without the package's engine."""
    images, labels = network.inputs[start : start + n].double(), network.labels[start : start + n]
    model = deepcopy(network.model).double()
    with torch.no_grad():
        before = model(images).argmax(1)
        dict(model.named_modules())[layer].weight.copy_(torch.from_numpy(weight.astype(np.float64)))
        after = model(images).argmax(1)
    right_before, right_after = before == labels, after == labels
    return [int(v.sum()) for v in (right_before & ~right_after, ~right_before & right_after, before != after)]


def test_counts_equal_those_of_a_loop_written_by_hand(tiny):
    engine = PlainEngine(tiny)
    protocol = make_protocol(SPECS, draws=3, n_examples=20)
    n_moved = 0
    for unit in Design(tiny, protocol).units():
        for probe, row in zip(unit.probes, engine.measure(unit.probes), strict=True):
            weight = engine.weights.perturbed(probe).weight
            assert probe.n_examples == (60 if probe.perturbation.deterministic else 20)
            expected = count_by_hand(tiny, unit.layer.name, weight, probe.example_start, probe.n_examples)
            assert [row["broken"], row["fixed"], row["predictions_changed"]] == expected
            assert row["accuracy_drop"] == (row["broken"] - row["fixed"]) / probe.n_examples
            n_moved += expected[2]
    assert n_moved > 100


def test_draw_d_sees_slice_d_and_deterministic_ones_are_measured_once(tiny):
    table = measure(tiny, ["sign_flip:0.5", "quantize:2"], draws=4, examples=20)
    starts = {(row["draw"], row["example_start"]) for row in table.to_pylist() if row["perturbation"] == "sign_flip"}
    assert starts == {(0, 0), (1, 20), (2, 40), (3, 0)}
    assert set(table.filter(pc.field("perturbation") == "quantize")["draw"].to_pylist()) == {0}
    assert table.num_rows == 3 * (4 + 1)


def test_the_same_seed_gives_the_same_rows_and_another_seed_others(tiny):
    first, same, other = (measure(tiny, ["gaussian_noise:2"], seed=seed, draws=1) for seed in (0, 0, 1))
    assert first.equals(same)
    assert first["weight_digest"].to_pylist() != other["weight_digest"].to_pylist()


def test_rows_do_not_depend_on_what_else_is_measured(tiny):
    alone = measure(tiny, ["gaussian_noise:2"], draws=1)
    among = measure(tiny, ["sign_flip", "gaussian_noise:0.5,2"], draws=1).filter(
        (pc.field("perturbation") == "gaussian_noise") & (pc.field("level") == 2.0)
    )
    assert alone.equals(among)


def test_gradients_are_those_of_the_mean_loss_on_the_draws_part_of_the_calibration_examples(tiny):
    gradients = CalibrationGradients(tiny)
    images, labels = tiny.calibration  # 40 examples: parts of 2
    model = deepcopy(tiny.model).double()
    F.cross_entropy(model(images[6:8].double()), labels[6:8]).backward()
    expected = model.hidden.weight.grad.numpy()
    found = gradients.gradient("hidden", 3)
    assert found == pytest.approx(expected, rel=1e-6, abs=2e-6 * np.abs(expected).max())
    assert np.array_equal(found, found.astype(np.float32))
    assert np.array_equal(gradients.gradient("hidden", 23), found)
    assert np.abs(found[found != 0]).min() >= 1e-6 * np.abs(found).max() * (1 - 1e-6)


def test_gradients_do_not_depend_on_what_the_caller_froze_or_switched_off(tiny):
    """A frozen parameter has no gradient of its own, and was once taken for one with gradient zero."""
    expected = CalibrationGradients(tiny).gradient("hidden", 0)
    tiny.model.requires_grad_(False)
    with torch.no_grad():
        assert np.array_equal(CalibrationGradients(tiny).gradient("hidden", 0), expected)
    assert not any(parameter.requires_grad for parameter in tiny.model.parameters())


def test_gradient_perturbations_need_calibration_examples(tiny):
    bare = Network(tiny.model, tiny.inputs, tiny.labels, name="bare")
    with pytest.raises(BadInput) as error:
        measure(bare, ["gradient_corruption_l2"])
    assert str(error.value) == "network 'bare' has no calibration examples; give Network(..., calibration=(inputs, labels))"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"examples": 0}, "0 examples a draw; expected at least one"),
        ({"deterministic_examples": 0}, "0 examples a deterministic perturbation; expected at least one"),
        ({"draws": 0}, "0 draws; expected at least one"),
    ],
)
def test_numbers_out_of_range_are_refused(tiny, arguments, message):
    with pytest.raises(BadInput) as error:
        measure(tiny, ["quantize"], **arguments)
    assert str(error.value) == message


def test_a_perturbation_named_twice_is_refused(tiny):
    with pytest.raises(BadInput, match="a perturbation is named twice: quantize, quantize"):
        measure(tiny, ["quantize:2", "quantize:3"])


def test_an_overflowing_network_is_counted_not_crashed():
    """Weights of 1e38 overflow float32's range: every example is wrong, and the row says so."""
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)).eval()
    with torch.no_grad():
        model[0].weight.copy_(1e30 * torch.eye(2))
        model[1].weight.copy_(torch.eye(2))
    images = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
    network = Network(model, images, torch.tensor([0, 1]), name="large")
    row = measure(network, ["random_corruption_linf:10000000000"], draws=1).to_pylist()[1]
    assert (row["correct_clean"], row["broken"], row["predictions_changed"]) == (2, 2, 2)


def test_further_draws_continue_an_earlier_measurement(tiny):
    specs = ["sign_flip:0.5", "quantize:2"]
    engine, rows = PlainEngine(tiny), {}
    for first, draws in ((0, 4), (0, 2), (2, 2)):
        units = Design(tiny, make_protocol(specs, draws, 20, first_draw=first)).units()
        rows[first, draws] = [row for unit in units for row in engine.measure(unit.probes)]
    key = lambda row: (row["perturbation"], row["layer"], row["draw"])  # noqa: E731
    assert sorted(rows[0, 2] + rows[2, 2], key=key) == sorted(rows[0, 4], key=key)
    assert {row["perturbation"] for row in rows[2, 2]} == {"sign_flip"}


def test_measure_takes_names_and_entries_one_or_several(tiny):
    entry, _ = parse_perturbation("magnitude_prune")
    by_name = measure(tiny, ["magnitude_prune", "quantize:2"], examples=20)
    assert by_name.num_rows == 3 * (5 + 1)
    assert measure(tiny, [entry, "quantize:2"], examples=20).equals(by_name)
    assert measure(tiny, entry, examples=20).equals(measure(tiny, "magnitude_prune", examples=20))
    assert make_protocol([entry]).specs == ("magnitude_prune",), "which worker processes can read"
    with pytest.raises(BadInput, match="expected a Network, got 'digits_mlp'"):
        measure("digits_mlp", entry)


def test_gradients_that_cannot_be_computed_are_told_in_one_message():
    """What torch raises in a backward pass was once a traceback."""

    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 3)

        def forward(self, x):
            run = lambda h: torch.tanh(self.first(h.float()).to(h.dtype))  # noqa: E731
            return self.second(checkpoint(run, x, use_reentrant=False) if torch.is_grad_enabled() else run(x))

    x, y = torch.randn(60, 6), torch.arange(60) % 3
    network = Network(Checkpointed().eval(), x, y, name="checkpointed", calibration=(torch.randn(40, 6), y[:40]))
    with pytest.raises(BadInput) as error:
        CalibrationGradients(network).gradient("first", 0)
    said = str(error.value)
    assert said.startswith("network 'checkpointed': the gradients of its loss in float64 raised ")
    assert said.endswith("or make forward differentiable (no out=, no checkpoint with casts)")
