"""How large results become is never beyond what is foretold of them."""

import pytest
import torch
from torch import nn

from safer_bench.measurement.answers.ranges import AFFINE, HIDING, REACHES, Bounded


def value_of(node_value, axis=(0, 1)):
    return Bounded(node_value, axis)


@pytest.mark.parametrize("size", [1.0, 1e6, 1e15])
@pytest.mark.parametrize(
    ("name", "operation", "arguments"),
    [
        ("add", torch.add, ("y",)),
        ("sub", torch.sub, ("y",)),
        ("mul", torch.mul, ("y",)),
        ("matmul", torch.matmul, ("square",)),
        ("mean", torch.mean, ((2,),)),
        ("hardtanh", nn.functional.hardtanh, (-2.0, 6.0)),
        ("relu6", nn.functional.relu6, ()),
        ("clamp", torch.clamp, (-3.0, 2.0)),
        ("clamp", torch.clamp, (-3.0,)),
        ("selu", nn.functional.selu, ()),
        ("sigmoid", torch.sigmoid, ()),
        ("tanh", torch.tanh, ()),
        ("softmax", torch.softmax, (-1,)),
        ("gelu", nn.functional.gelu, ()),
        ("silu", nn.functional.silu, ()),
        ("hardswish", nn.functional.hardswish, ()),
        ("hardsigmoid", nn.functional.hardsigmoid, ()),
        ("elu", nn.functional.elu, ()),
        ("layer_norm", nn.functional.layer_norm, ([6],)),
        ("group_norm", nn.functional.group_norm, (2,)),
        ("rms_norm", nn.functional.rms_norm, ([6],)),
        ("glu", nn.functional.glu, (-1,)),
        ("pad", nn.functional.pad, ([1, 2],)),
        ("pad", nn.functional.pad, ([1, 2], "constant", 7.0)),
        ("pad", nn.functional.pad, ([1, 2], "replicate")),
        ("relu", torch.relu, ()),
        ("scaled_dot_product_attention", nn.functional.scaled_dot_product_attention, ("y", "z")),
    ],
)
def test_no_result_is_beyond_its_bound(name, operation, arguments, size):
    generator = torch.Generator().manual_seed(1)
    values = {key: size * torch.randn(9, 4, 6, generator=generator, dtype=torch.float64) for key in "xyz"}
    values["square"] = size * torch.randn(9, 6, 6, generator=generator, dtype=torch.float64)
    of_each = [values.get(each, each) if isinstance(each, str) else each for each in arguments]
    result = operation(values["x"], *of_each)
    bounded = [value_of(each) if isinstance(each, torch.Tensor) else each for each in (values["x"], *of_each)]
    reach, bound = REACHES[name](*bounded)
    largest = result.abs().flatten(1).amax(1)
    assert (largest <= bound * (1 + 1e-12)).all()
    assert (reach >= largest).all() or name in HIDING
    assert bool((bound <= 1e6 * torch.clamp(reach, min=1.0)).all())


@pytest.mark.parametrize(
    ("name", "operation", "shape", "weight"),
    [
        ("linear", nn.functional.linear, (9, 6), (5, 6)),
        ("conv1d", nn.functional.conv1d, (9, 4, 8), (6, 4, 3)),
        ("conv2d", nn.functional.conv2d, (9, 4, 8, 8), (6, 4, 3, 3)),
        ("conv_transpose2d", nn.functional.conv_transpose2d, (9, 4, 8, 8), (4, 6, 3, 3)),
    ],
)
def test_no_result_is_beyond_the_row_sums_of_its_weight(name, operation, shape, weight):
    generator = torch.Generator().manual_seed(1)
    w, bias = torch.randn(weight, generator=generator), torch.randn(6 if len(weight) > 2 else 5, generator=generator)
    x = torch.sign(torch.randn(shape, generator=generator))
    gain, offset = AFFINE[name](x, w, bias)
    largest = float(operation(x, w, bias).abs().max())
    assert largest <= gain + offset
    assert gain < 10 * largest


@pytest.mark.parametrize("size", [0.1, 10.0, 1e6])
@pytest.mark.parametrize(("two_ways", "projected"), [(False, 0), (True, 0), (False, 3)])
def test_no_state_of_an_lstm_is_beyond_its_bound(size, two_ways, projected):
    """Weights so large that gates saturate let the cell grow by nearly 1 a step."""
    torch.manual_seed(1)
    module = nn.LSTM(6, 5, num_layers=2, batch_first=True, bidirectional=two_ways, proj_size=projected).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(size)
        x = size * torch.randn(9, 30, 6, dtype=torch.float64)
        state = [size * torch.randn(4 if two_ways else 2, 9, width, dtype=torch.float64) for width in (projected or 5, 5)]
        outputs, (_, cells) = module(x, tuple(state))
        gates = [x @ module.weight_ih_l0.T, state[0][0] @ module.weight_hh_l0.T]
    weights = [Bounded(each.detach(), None) for each in module.parameters()]
    reach, bound = REACHES["lstm"](value_of(x), [value_of(each, (1, 1)) for each in state], weights, True, 2)
    assert (outputs.abs().flatten(1).amax(1) <= bound).all()
    assert (cells.abs().amax((0, 2)) <= bound).all()
    assert bool((sum(gate.abs().max() for gate in gates) <= reach.max()).all())
