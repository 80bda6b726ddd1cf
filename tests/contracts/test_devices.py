"""Nothing is pinned to the CPU: on a device that refuses tensors from elsewhere, all comes out as in main memory.

``far_device`` tells what that shows and what it does not.
"""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import safer_bench as sb
from safer_bench.budget.whole import WholeNetwork
from safer_bench.criteria.loading import criteria
from safer_bench.errors import BadInput
from safer_bench.measurement.answers.replayed import ReplayedNetwork
from safer_bench.measurement.design import Design, make_protocol
from safer_bench.measurement.engine import Engine
from safer_bench.measurement.plain import PlainEngine
from safer_bench.perturbations.loading import parse_perturbation
from safer_bench.scoring.sweep import Sweep
from tests.made_up.commands import OWN, network_file
from tests.made_up.far_device import FAR, FarDevice
from tests.made_up.networks import tiny_network

SPECS = ["gaussian_noise:0.5,2", "float32_bit_flip:0.001", "gradient_corruption_l2:0.3"]
LEVELS = [parse_perturbation(spec) for spec in ("gaussian_noise:0.3", "gradient_corruption_l2:0.1")]


def network(name):
    return tiny_network() if name == "tiny" else sb.load_network(name)


def probes_of(given):
    return [probe for unit in Design(given, make_protocol(SPECS, 2, 30)).units() for probe in unit.probes]


LONG = [pytest.param(name, marks=pytest.mark.long) for name in ("digits_resnet", "digits_vit")]


@pytest.mark.parametrize("name", ["tiny", *LONG])
@pytest.mark.parametrize("fast", [False, True])
def test_the_engine_replays_every_layer_there_and_counts_the_same(name, fast):
    near = network(name)
    expected, far = list(Engine(near).measure(probes_of(near))), FarDevice()
    with far.there():
        moved = network(name).to(FAR)
        engine = Engine(moved, fast=fast)
        rows = list(engine.measure(probes_of(moved)))
    assert engine.reasons == {}
    assert engine.fast_answers is not None
    assert far.n_operations > 1_000
    assert all(engine.replay(layer) for layer in moved.layers)
    for row, other in zip(rows, expected, strict=True):
        assert {key: row[key] for key in row if key != "loss_increase"} == {
            key: other[key] for key in other if key != "loss_increase"
        }


def test_the_plain_loop_measures_there(tiny):
    expected, far = list(PlainEngine(tiny).measure(probes_of(tiny))), FarDevice()
    with far.there():
        assert list(PlainEngine(tiny_network().to(FAR)).measure(probes_of(tiny))) == expected
    assert far.n_operations > 1_000


def scores(given):
    """Return all scores of all criteria, by criterion, layer, perturbation and level."""
    sweep, found = Sweep(given, examples=24, batch_size=8), {}
    for name, entry in criteria().items():
        for row in sweep.scored(entry, LEVELS).rows:
            found[name, row["layer"], row["perturbation"], row["level"]] = row["score"]
    return found


@pytest.mark.long
def test_every_criterion_scores_there(tiny):
    expected, far = scores(tiny), FarDevice()
    with far.there():
        found = scores(tiny_network().to(FAR))
    assert found.keys() == expected.keys()
    assert {key[0] for key in found} == set(criteria())
    assert far.n_operations > 10_000
    different = {key for key, value in found.items() if not np.isclose(value, expected[key], rtol=1e-9, atol=0.0)}
    assert different == set()


def test_budgets_are_judged_there(tiny):
    near = WholeNetwork(tiny)
    weights = {layer.name: near.perturbed(layer, "quantize", 3) for layer in tiny.layers}
    far, n_canonical = FarDevice(), []
    with far.there():
        whole = WholeNetwork(tiny_network().to(FAR))
        logits = whole.canonical.logits
        whole.canonical.logits = lambda images: n_canonical.append(len(images)) or logits(images)
        found = whole.correct(weights)
    assert far.n_operations > 100
    assert sum(n_canonical) < len(tiny.labels) // 2  # the others are settled in float32
    assert np.array_equal(found, near.correct(weights))


def test_measure_and_score_take_a_device(cli, tmp_path):
    given = network_file(tmp_path, f"torch.manual_seed(8); {OWN}")
    words = ("--network", given, "--perturbation", "gaussian_noise:0.5", "--draws", 2, "--examples", 10)
    parts = lambda out: [pq.read_table(path) for path in sorted((out / "parts").rglob("*.parquet"))]  # noqa: E731
    assert cli("measure", *words, "--out", tmp_path / "near").code == 0
    far = FarDevice()
    with far.there():
        found = cli("measure", *words, "--device", FAR, "--out", tmp_path / "far")
        scored = cli("score", "l2_norm", "--network", "digits_mlp", "--device", FAR, "--out", tmp_path / "scores")
    assert (found.code, scored.code) == (0, 0), found.err + scored.err
    assert f"{FAR}: worker 1\n" in found.err
    assert f"; {FAR}: worker 1\n" in (tmp_path / "far" / "log.txt").read_text()
    assert far.n_operations > 500
    for table, other in zip(parts(tmp_path / "far"), parts(tmp_path / "near"), strict=True):
        assert table.drop_columns("loss_increase").equals(other.drop_columns("loss_increase"))
    assert pq.read_table(tmp_path / "scores" / "scores.parquet").num_rows == 10


@pytest.mark.long
def test_rows_are_verified_on_a_device(cli, small_tree):
    far = FarDevice()
    with far.there():
        found = cli("verify", small_tree.path, "--rows", 6, "--device", FAR)
    assert (found.code, found.out.splitlines()[-1]) == (0, "6 of 6 rows equal")
    assert far.n_operations > 10_000


@pytest.mark.long
def test_a_budget_is_spent_on_a_device(cli, tmp_path, small_tree, small_scores):
    words = ("budget", "--task", "prune", "--network", "digits_mlp", "--truth", small_tree.path, "--budget", "0.5")
    words = (*words, "--submission", small_scores, "--criterion", "snip")
    assert cli(*words, "--out", tmp_path / "near").code == 0
    far = FarDevice()
    with far.there():
        assert cli(*words, "--device", FAR, "--out", tmp_path / "far").code == 0
    assert far.n_operations > 1_000
    near, found = (pq.read_table(tmp_path / where / "budget_results-prune.parquet") for where in ("near", "far"))
    assert found.equals(near)


def test_what_is_pinned_is_seen(monkeypatch):
    """The second test: were it never refused, the first ones would say nothing."""
    far = FarDevice()
    with far.there():
        there, here = torch.ones(3).to(FAR), torch.ones(3)
        assert (there.device, (there + 1).device, there.cpu().device.type) == (FAR, FAR, "cpu")
        with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
            there + here
        with pytest.raises(TypeError, match="can't convert"):
            there.numpy()
        monkeypatch.setattr(ReplayedNetwork, "on_device", lambda self, tensor: tensor)
        moved = tiny_network().to(FAR)
        engine = Engine(moved)
        assert [engine.replay(layer) for layer in moved.layers] == [None] * 3
    for layer in moved.layers:
        assert "Expected all tensors to be on the same device" in engine.reasons[layer.name]


class Forgets(torch.nn.Module):
    """Keeps a tensor that is neither parameter nor buffer."""

    def __init__(self):
        super().__init__()
        self.head, self.mean = torch.nn.Linear(4, 3), torch.ones(4)

    def forward(self, x):
        return self.head(x - self.mean)


def test_a_tensor_that_does_not_move_along_is_explained():
    given = sb.Network(Forgets().eval(), torch.randn(9, 4), torch.arange(9) % 3, name="mine")
    with FarDevice().there(), pytest.raises(BadInput) as error:
        given.to(FAR)
    assert str(error.value).startswith(
        "network 'mine': running one image raised RuntimeError: Expected all tensors to be on "
    )
    assert str(error.value).endswith(
        "(it was given torch.float32 (1, 4); what forward uses moves along where it is a parameter or a buffer: "
        "self.register_buffer(name, tensor))"
    )
