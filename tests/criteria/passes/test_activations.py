"""Inputs and outputs of layers are found wherever a weight is applied."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from safer_bench.criteria.passes.activations import laid_out_as, run_recorded
from safer_bench.criteria.passes.layers import layer_weights
from safer_bench.errors import BadInput
from tests.made_up.networks import Attention, Unordered


def record(model, images):
    return run_recorded(model.eval(), [(images, torch.zeros(len(images)).long())], images)


def test_every_use_of_a_weight_is_found_without_its_modules_call():
    images = torch.randn(5, 4)
    model = Unordered()
    logits, found = record(model, images)
    assert [use.layer for use in found] == ["first", "middle", "middle", "last"]  # tied weights are used twice
    assert torch.equal(found[0].x, images)
    assert torch.equal(found[0].y, images @ model.first.weight.T)
    assert torch.equal(logits, model(images))


def test_attention_is_looked_into():
    images = torch.randn(3, 6, 1)
    model = Attention()
    logits, found = record(model, images)
    assert [use.layer for use in found] == ["embed", "attn.in_proj", "attn.out_proj", "up"]
    assert torch.allclose(logits, model(images))
    projected = F.linear(found[1].x, model.attn.in_proj_weight, model.attn.in_proj_bias)
    assert torch.allclose(found[1].y, projected)
    assert found[0].x.dtype == torch.int64


class Cross(nn.Module):
    """Attention whose query is not its key: the packed weight is used in parts."""

    def __init__(self):
        super().__init__()
        self.attn = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        return self.attn(x[:, :1], x, x)[0][:, 0]


USES = [
    (Unordered(), (5, 4)),
    (Attention(), (3, 6, 1)),
    (Cross(), (3, 5, 8)),
    (nn.Sequential(nn.Conv2d(4, 6, 3, groups=2).to(memory_format=torch.channels_last), nn.Flatten()), (2, 4, 5, 5)),
]


@pytest.mark.parametrize(("model", "shape"), USES, ids=lambda value: type(value).__name__)
def test_running_a_use_again_gives_its_output_and_another_weight_another(model, shape):
    images = torch.randn(*shape)
    _, found = record(model, images)
    weights = layer_weights(model, [(images, images)])
    for use in found:
        weight = weights[use.layer]
        assert torch.equal(use.run(use.x, weight), use.y)
        assert not torch.equal(use.run(use.x, laid_out_as(weight, weight.detach() * 2)), use.y)


def test_an_output_is_kept_as_it_was_before_something_works_in_place():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 2))
    images = torch.randn(6, 3)
    _, found = record(model, images)
    assert bool((found[0].y < 0).any())
    assert torch.equal(found[0].y, model[0](images))


class Standardised(nn.Linear):
    def forward(self, x):
        return F.linear(x, self.weight - self.weight.mean(), self.bias)


def test_a_weight_that_is_not_applied_as_it_is_is_named():
    with pytest.raises(BadInput) as error:
        record(nn.Sequential(nn.Linear(3, 4), Standardised(4, 2)), torch.randn(2, 3))
    assert str(error.value) == (
        "layer '1': no operation applies its weight as it is (but a copy, or what is computed from it), so that its input and "
        "output are unknown; criteria of weights, gradients or curvature do without"
    )
