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
