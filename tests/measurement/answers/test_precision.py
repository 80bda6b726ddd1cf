"""float32 is float32 where it is meant, forward and backward, and the process's settings come back."""

import pytest
import torch

import safer_bench as sb
from safer_bench.measurement.answers.precision import exact_float32
from safer_bench.networks.precision import plain_float32

BACKENDS = (
    torch.backends.mkldnn.matmul,
    torch.backends.mkldnn.conv,
    torch.backends.cuda.matmul,
    torch.backends.cudnn.conv,
    torch.backends.cudnn.rnn,
)


def settings():
    return [backend.fp32_precision for backend in BACKENDS]


@pytest.fixture
def narrow(monkeypatch):
    """A process with a card that computes float32 by TF32 wherever it can."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    before = settings()
    for backend in BACKENDS:
        backend.fp32_precision = "tf32"
    yield ["tf32"] * len(BACKENDS)
    for backend, precision in zip(BACKENDS, before, strict=True):
        backend.fp32_precision = precision


@pytest.mark.parametrize("block", [plain_float32, exact_float32])
def test_settings_are_set_within_and_restored_after(narrow, block):
    with block():
        assert settings() == ["ieee"] * len(BACKENDS)
    assert settings() == narrow
    with pytest.raises(ArithmeticError), block():
        raise ArithmeticError
    assert settings() == narrow


def test_gradients_pass_the_block_that_is_for_them():
    weight = torch.ones(3, requires_grad=True)
    with plain_float32():
        assert torch.autograd.grad((weight * weight).sum(), weight)[0].tolist() == [2.0, 2.0, 2.0]
    with exact_float32():
        assert not torch.is_grad_enabled()


@pytest.mark.parametrize("gradients", [False, True])
def test_criteria_compute_in_float32_as_such(narrow, tiny, gradients):
    seen = []

    @sb.criterion(needs="labels, gradients", source="test")
    def watches(model, batches):
        """Notes the settings."""
        loss = model(batches[0][0]).square().mean()
        loss.register_hook(lambda gradient: seen.append(settings()))
        if gradients:
            torch.autograd.grad(loss, list(model.parameters()))
        else:
            seen.append(settings())
            torch.backends.cudnn.conv.fp32_precision = "tf32"  # what one leaves behind, the next does not meet
        return {"conv": 1.0, "hidden": 2.0, "head": 3.0}

    assert sb.score(watches, tiny) == {"conv": 1.0, "hidden": 2.0, "head": 3.0}
    assert seen == [["ieee"] * len(BACKENDS)]
    assert settings() == narrow
