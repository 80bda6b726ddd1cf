"""Weights inside fused operations: taken apart they answer as before, and each weight's inputs and outputs are seen."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from safer_bench.criteria.passes.activations import run_recorded
from safer_bench.criteria.passes.apart import hidden_taken_apart
from safer_bench.errors import BadInput
from safer_bench.networks.network import Network
from safer_bench.scoring.score import score
from tests.made_up.networks import own_network
from tests.made_up.weights import Bags, Bilinears, Cells, Elman, Gru, Lstm, Matrices, Odd, ProjectedLstm


class Packed(nn.Module):
    """A recurrent layer over sequences of several lengths."""

    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.GRU(3, 6, batch_first=True), nn.Linear(6, 4)

    def forward(self, x):
        packed = pack_padded_sequence(x, [5, *[3] * (len(x) - 1)], batch_first=True)
        return self.head(pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0].sum(1))


KINDS = (Lstm, ProjectedLstm, Gru, Elman, Cells, Bilinears, Bags, Packed)


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_answers_are_the_same_and_every_weight_is_seen(kind):
    torch.manual_seed(0)
    model, images = kind().eval(), torch.randn(7, 5, 3)
    batches = [(images, torch.zeros(7, dtype=torch.int64))]
    expected = model(images)
    with hidden_taken_apart(model):
        assert torch.allclose(model(images), expected, atol=1e-6)
    logits, applications = run_recorded(model, batches, images)
    assert torch.allclose(logits, expected, atol=1e-6)
    weights = {name.removesuffix(".weight"): p for name, p in model.named_parameters() if p.ndim > 1}
    assert {use.layer for use in applications} == set(weights)
    for use in applications:
        assert torch.allclose(use.run(use.x, weights[use.layer]), use.y, atol=1e-6)
    assert torch.backends.mkldnn.enabled


def test_wanda_of_recurrent_weights_is_that_of_steps_written_out():
    network = own_network(Elman, (5, 3), 4)
    images, rnn = network.calibration[0].double().numpy(), network.model.rnn
    own, hidden = rnn.weight_ih_l0.double().numpy(), rnn.weight_hh_l0.double().numpy()
    bias = (rnn.bias_ih_l0 + rnn.bias_hh_l0).double().numpy()
    state, states = np.zeros((len(images), 6)), []
    for step in range(5):
        states.append(state)
        state = np.maximum(images[:, step] @ own.T + state @ hidden.T + bias, 0)
    found = score("wanda", network)
    for name, weight, inputs in (("ih", own, list(images.swapaxes(0, 1))), ("hh", hidden, states)):
        norms = np.sqrt(sum(np.square(x).sum(0) for x in inputs) / len(images))
        assert found[f"rnn.weight_{name}_l0"] == pytest.approx((np.abs(weight) * norms).sum(), rel=1e-5)


def test_wanda_of_a_bilinear_weight_meets_the_products_of_its_inputs():
    network = own_network(Bilinears, (5, 3), 4)
    x = network.calibration[0].double()
    norms = torch.einsum("bi,bj->ij", x[:, 0].square(), x[:, 1, :2].square()).div(len(x)).sqrt()
    expected = float((network.model.pair.weight.double().abs() * norms).sum())
    assert score("wanda", network)["pair"] == pytest.approx(expected, rel=1e-5)


def test_curvature_of_an_embedding_bag_is_that_of_lookups_added_up():
    """The fused operation has no second derivative."""
    network = own_network(Bags, (5, 3), 4)
    found = score("hessian_eigenvalue", network, *network.calibration)
    assert found["bag"] > 0
    assert all(math.isfinite(value) for value in found.values())


@pytest.mark.parametrize(("kind", "layer"), [(Odd, "base"), (Matrices, "kernel")])
def test_where_an_application_cannot_be_seen_the_message_names_layer_and_criterion(kind, layer):
    network = own_network(kind, (5, 3), 4)
    for name in ("activation_energy", "wanda", "layer_conductance"):
        with pytest.raises(BadInput) as error:
            score(name, network)
        assert str(error.value).startswith(
            f"criterion {name!r} on network {network.name!r}: raised BadInput: layer {layer!r}: "
        )
        assert "criteria of weights, gradients or curvature do without" in str(error.value)
    for name in ("l2_norm", "snip", "synflow", "hessian_sum", "true_fisher"):
        assert all(math.isfinite(value) for value in score(name, network).values())


def test_a_bag_that_is_not_of_plain_rows_is_recorded_as_it_is():
    class Offsets(nn.Module):
        def __init__(self):
            super().__init__()
            self.bag = nn.EmbeddingBag(7, 4, mode="sum", include_last_offset=False)

        def forward(self, x):
            codes = x[:, :, 0].long().clamp(0, 6)
            return self.bag(codes.flatten(), torch.arange(0, codes.numel(), codes.shape[1]))

    torch.manual_seed(0)
    model, images = Offsets().eval(), torch.randn(6, 5, 3)
    network = Network(model, images[:3], torch.arange(3), calibration=(images[3:], torch.arange(3)))
    codes = images[3:, :, 0].long().clamp(0, 6)
    outputs = model.bag.weight.detach()[codes].sum(1)
    assert score("activation_energy", network)["bag"] == pytest.approx(float(outputs.square().mean()), rel=1e-5)
