import numpy as np
import pytest
import torch
from torch import nn

from safer_bench.measurement.answers.canonical import LOSS_CLIP, NO_CLASS, CanonicalModel, judge, masked_classes
from safer_bench.measurement.answers.limits import LARGEST
from safer_bench.networks.network import Network


class Scale(nn.Module):
    """Multiplies by a constant in two modules, so that the middle can overflow float32 and come back."""

    def __init__(self, up: float, down: float) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.up.weight.copy_(up * torch.eye(2))
            self.down.weight.copy_(down * torch.eye(2))

    def forward(self, x):
        return self.down(self.up(x))


def network(model):
    images = torch.tensor([[1.0, 2.0], [3.0, 1.0], [0.0, 0.0]])  # the last without a fault, whatever the model
    return Network(model.eval(), images, torch.tensor([1, 0, 0]))


def test_a_module_output_beyond_float32_becomes_infinite_and_its_example_wrong():
    """In plain float64 these logits would be finite and right."""
    model = CanonicalModel(network(Scale(3e38, 1e-38)))
    answers = model.answers(*model.network.evaluation)
    assert answers.predictions.tolist() == [NO_CLASS, NO_CLASS, 0]
    assert answers.losses.tolist()[:2] == [LOSS_CLIP, LOSS_CLIP]
    fine = CanonicalModel(network(Scale(1e38, 1e-38)))
    assert fine.answers(*fine.network.evaluation).predictions.tolist() == [1, 0, 0]


def test_the_largest_float32_itself_is_kept():
    model = CanonicalModel(network(Scale(1.0, 1.0)))
    with torch.no_grad():
        found = model.model.up(torch.tensor([[LARGEST, LARGEST * (1 + 1e-9)]], dtype=torch.float64))
    assert found.tolist() == [[LARGEST, float("inf")]]


def test_arithmetic_has_float64_precision():
    """Two logits that differ by less than a float32 can tell."""
    linear = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[1.0, 1e-9], [1.0, 2e-9]]))
    images = torch.tensor([[1.0, 1.0]])
    assert linear(images)[0, 0] == linear(images)[0, 1]
    model = CanonicalModel(Network(linear.eval(), images, torch.tensor([1])))
    assert model.answers(*model.network.evaluation).predictions.tolist() == [1]


def test_exact_ties_go_to_the_lowest_class_and_non_finite_logits_to_none():
    logits = torch.tensor([[1.0, 2.0, 2.0], [float("inf"), 0.0, 0.0], [float("nan"), 9.0, 0.0]], dtype=torch.float64)
    assert judge(logits, torch.tensor([1, 0, 1])).predictions.tolist() == [1, NO_CLASS, NO_CLASS]


def test_a_class_masked_without_perturbation_spoils_nothing_and_never_wins():
    inf, nan = float("inf"), float("nan")
    rows = [[0, 2, -inf], [-inf, 2, -inf], [-inf, -inf, -inf], [0, inf, -inf], [0, nan, -inf], [0, 1, 3], [0, 1, inf]]
    logits, masked = torch.tensor(rows, dtype=torch.float64), np.array([[False, False, True]] * 7)
    found = judge(logits, torch.tensor([0, 1, 1, 1, 1, 2, 2]), masked)
    assert found.predictions.tolist() == [1, NO_CLASS, NO_CLASS, NO_CLASS, NO_CLASS, 2, NO_CLASS]  # a class must be masked
    clipped = [LOSS_CLIP] * 4
    assert found.losses == pytest.approx([np.log1p(np.exp(2)), *clipped, np.log(np.exp([-3, -2, 0]).sum()), LOSS_CLIP])
    assert judge(logits[:1], torch.tensor([2]), masked[:1]).losses.tolist() == [LOSS_CLIP]  # the label itself is masked
    assert judge(logits[:1], torch.tensor([0])).predictions.tolist() == [NO_CLASS]  # none was masked: an overflow


def test_masked_are_the_classes_of_minus_infinity_alone():
    logits = torch.tensor([[0.0, float("-inf")], [float("inf"), float("nan")]])
    assert masked_classes(logits).tolist() == [[False, True], [False, False]]
    assert masked_classes(logits[1:]) is None


def test_losses_are_clipped():
    logits = torch.tensor([[0.0, 100.0], [0.0, 1.0]], dtype=torch.float64)
    assert judge(logits, torch.tensor([0, 0])).losses == pytest.approx([16.0, np.log1p(np.e)])


@pytest.mark.parametrize("fails", [False, True])
def test_the_weight_is_bit_for_bit_restored_also_after_an_exception(tiny, fails):
    model = CanonicalModel(tiny)
    before = {key: value.clone() for key, value in model.model.state_dict().items()}
    layer = tiny.layers[1]
    try:
        with model.weight_set(layer, np.full(layer.shape, np.inf, np.float32)):
            assert torch.isinf(model.model.get_parameter(layer.parameter)).all()
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert fails
    assert all(torch.equal(before[key], value) for key, value in model.model.state_dict().items())


def test_the_users_model_is_left_alone(tiny):
    before = {key: value.clone() for key, value in tiny.model.state_dict().items()}
    CanonicalModel(tiny).answers(*tiny.evaluation)
    assert all(torch.equal(before[key], value) for key, value in tiny.model.state_dict().items())
    assert all(value.dtype != torch.float64 for value in tiny.model.state_dict().values())
    assert not any(module._forward_hooks for module in tiny.model.modules())


class Casts(nn.Module):
    """Casts between two products, in one of the ways that models do it."""

    def __init__(self, way, dtype) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.way, self.dtype, self.first, self.second = way, dtype, nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.second(self.way(self.first(x), self.dtype).to(x.dtype))


CASTS = {
    "float": lambda h, dtype: h.float() if dtype is torch.float32 else h.double(),
    "to": lambda h, dtype: h.to(dtype),
    "to by keyword": lambda h, dtype: h.to(dtype=dtype),
    "type": lambda h, dtype: h.type(dtype),
    "softmax": lambda h, dtype: torch.softmax(h, -1, dtype=dtype),
    "sum": lambda h, dtype: h - h.sum(-1, keepdim=True, dtype=dtype),
    "made": lambda h, dtype: h / torch.tensor(3.1, dtype=dtype),
}


@pytest.mark.parametrize("way", CASTS)
def test_a_models_own_casts_to_float32_stay_in_float64(way):
    """What a rounding to float32 decides would depend on the last digits of float64."""
    images, labels = torch.randn(8, 4), torch.arange(8) % 3
    narrow, wide = (Network(Casts(CASTS[way], dtype).eval(), images, labels) for dtype in (torch.float32, torch.float64))
    found, expected = CanonicalModel(narrow).logits(images), CanonicalModel(wide).logits(images)
    assert torch.equal(found, expected)
    with torch.no_grad():
        assert not torch.equal(CanonicalModel(narrow).model(images.double()), expected), "the cast rounds nothing"


EPSILONS = {
    "left out": lambda h: nn.functional.rms_norm(h, (4,)),
    "None": lambda h: nn.functional.rms_norm(h, [4], torch.ones(4, dtype=h.dtype), None),
    "by name": lambda h: nn.functional.rms_norm(input=h, normalized_shape=(4,), eps=None),
    "of finfo": lambda h: torch.rms_norm(h, (4,), None, torch.finfo(h.dtype).eps),
    "of no type": lambda h: torch.rms_norm(h, (4,), eps=torch.finfo().eps),
}


@pytest.mark.parametrize("way", EPSILONS)
def test_an_epsilon_of_the_type_is_float32s(way):
    """In float64 it is a billionth of that: with small values, another network."""
    images = 1e-4 * torch.randn(8, 4)
    found = CanonicalModel(Network(nn.Sequential(nn.Identity(), nn.Linear(4, 3)).eval(), images, torch.arange(8) % 3))
    found.model[0].forward = EPSILONS[way]
    before = torch.finfo
    logits = found.logits(images)
    assert torch.finfo is before
    squares = images.double().square().mean(1, keepdim=True)
    expected = found.model[1](images.double() / (squares + 2.0**-23).sqrt())
    torch.testing.assert_close(logits, expected.detach(), rtol=1e-12, atol=1e-12)
    found.model[0].forward = lambda h: nn.functional.rms_norm(h, (4,), eps=0.0)
    torch.testing.assert_close(found.logits(images), found.model[1](images.double() / squares.sqrt()).detach())
