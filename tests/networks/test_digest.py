"""States of any type and layout have a digest that tells them apart, and that of plain tensors stays."""

import hashlib

import numpy as np
import pytest
import torch
from torch import nn

from safer_bench.errors import BadInput
from safer_bench.measurement.measure import measure
from safer_bench.networks.digest import state_sha256
from safer_bench.networks.network import Network
from tests.conftest import COMMITTED

EYE = torch.eye(3)


def test_plain_tensors_are_digested_as_name_type_shape_and_bytes():
    state = {"b": torch.arange(6.0).reshape(2, 3).t(), "a": torch.tensor(3), "c": torch.zeros(0), "d": torch.tensor([True])}
    digest = hashlib.sha256()
    for key, value in sorted(state.items()):
        digest.update(f"{key}|{value.dtype}|{tuple(value.shape)}|".encode() + value.contiguous().numpy().tobytes())
    assert state_sha256(state) == digest.hexdigest()


@pytest.mark.filterwarnings("ignore:Sparse CSR:UserWarning")
@pytest.mark.parametrize(
    ("value", "equal", "other"),
    [
        (torch.ones(2).bfloat16(), torch.full((2,), 1.0).bfloat16(), torch.full((2,), 1.0078125).bfloat16()),
        (torch.ones(2).bfloat16(), torch.ones(2).bfloat16(), torch.ones(2).half()),
        (torch.ones(2).to(torch.float8_e5m2), torch.ones(2).to(torch.float8_e5m2), torch.zeros(2).to(torch.float8_e5m2)),
        (torch.ones(2, dtype=torch.complex64).conj(), torch.complex(torch.ones(2), -torch.zeros(2)), torch.full((2,), 1 + 1j, dtype=torch.complex64)),
        (EYE.to_sparse(), torch.sparse_coo_tensor([[2, 1, 0, 0], [2, 1, 0, 0]], [1, 1, 0.5, 0.5], (3, 3), check_invariants=True), 2 * EYE.to_sparse()),
        (EYE.to_sparse(), EYE.to_sparse(), torch.eye(3).roll(1, 0).to_sparse()),
        (EYE.to_sparse(), EYE.to_sparse(), EYE),
        (EYE.to_sparse_csr, EYE.to_sparse_csr, (2 * EYE).to_sparse_csr),
        (EYE.to_mkldnn(), EYE.to_mkldnn(), (2 * EYE).to_mkldnn()),
        ({"a": 1, "b": [torch.ones(2), None]}, {"b": [torch.ones(2), None], "a": 1}, {"a": 1, "b": [torch.zeros(2), None]}),
        ({"a": 1}, {"a": 1}, {"a": "1"}),
        ({"a": {}, "b": 1}, {"a": {}, "b": 1}, {"a": {"b": 1}}),
        ((1, 2.5), (1, 2.5), [[1], 2.5]),
        (np.arange(3), np.arange(3), np.arange(3).astype(np.int32)),
        (b"state", b"state", "state"),
    ],
)  # fmt: skip
def test_equal_states_have_one_digest_and_others_another(value, equal, other):
    digests = [state_sha256({"x": each() if callable(each) else each}) for each in (value, equal, other)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (object(), "object"),
        ({"a": {1, 2}}, "set"),
        (np.array([object()]), "ndarray"),
        (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "quantized tensor"),
        (torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged), "nested tensor"),
    ],
)
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_what_has_no_digest_is_named(value, found):
    with pytest.raises(BadInput, match=rf"x(\['a'\])? in the model's state is a {found}.*, of which no digest can tell it"):
        state_sha256({"x": value() if callable(value) else value})


class Stated(nn.Module):
    def __init__(self, state):
        super().__init__()
        self.linear, self.state = nn.Linear(2, 2), state

    def forward(self, x):
        return self.linear(x)

    def get_extra_state(self):
        return self.state

    def set_extra_state(self, state):
        self.state = state


def test_a_network_with_a_state_of_any_kind_is_measured_or_named():
    images, labels = torch.randn(20, 2), torch.arange(20) % 2
    for buffer in (torch.ones(2).bfloat16(), EYE.to_sparse(), None):
        torch.manual_seed(0)
        model = Stated({"version": 3} if buffer is None else None).eval()
        if buffer is not None:
            model.register_buffer("kept", buffer)
        rows = measure(Network(model, images, labels), ["quantize:3"]).to_pylist()
        with torch.no_grad():
            assert [row["correct_clean"] for row in rows] == [int((model(images).argmax(1) == labels).sum())]
    with pytest.raises(BadInput, match=r"network 'own': _extra_state in the model's state is a object, of which"):
        measure(Network(Stated(object()).eval(), images, labels), ["quantize:3"])


def test_the_digest_of_a_committed_network_stays():
    from safer_bench.dataset.tree import load_tree
    from safer_bench.networks.loading import load_network

    rows = {row["network"]: row for row in load_tree(COMMITTED)["networks"].to_pylist()}
    network = load_network("digits_mlp")
    assert network.weights_sha256 == rows["digits_mlp"]["weights_sha256"]
    assert network.inputs_sha256 == rows["digits_mlp"]["inputs_sha256"]
