"""The tools themselves quantize by an exported plan: the bits are the plan's, and the weights those that the page on plans says."""

import copy
import json

import numpy as np
import pytest
import torch
from torch import nn

import safer_bench as sb
from safer_bench.budget.plans.exports.exporter import export
from safer_bench.budget.plans.exports.loading import exporter_called
from tests.conftest import ROOT
from tests.made_up.documents import blocks
from tests.made_up.plans import made_up_plan
from tests.made_up.quantized import EXACT, by_channel, differences, on_the_plans_grid

pytestmark = pytest.mark.long
BITS = {"first": 8, "conv": 4, "hidden": 4, "head": 8}
IN_TORCHAO, IN_ONNXRUNTIME = blocks("python", (ROOT / "docs" / "plan.md").read_text())


class Folding(nn.Module):
    """Two convolutions, the first of one channel and with a batch norm that folds, and two linear layers."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.hidden, self.head = nn.Linear(64, 8), nn.Linear(8, 3)

    def forward(self, images):
        maps = torch.relu(self.conv(torch.relu(self.norm(self.first(images)))))
        return self.head(torch.relu(self.hidden(maps.flatten(1))))


@pytest.fixture(scope="module", params=[False, True], ids=["as trained", "folded"])
def network(request):
    torch.manual_seed(7)
    model = Folding().eval()
    with torch.no_grad():
        model.norm.weight.copy_(torch.tensor([1.5, -0.5, 0.8, -2.0]))
        model.norm.running_var.copy_(torch.tensor([0.5, 2.0, 1.0, 0.3]))
    images = torch.randn(90, 1, 4, 4)
    labels = model(images).argmax(1).detach()
    examples = {"inputs": images[:60], "labels": labels[:60], "calibration": (images[60:], labels[60:])}
    return sb.Network(model, **examples, name="folding", fold=request.param)


def quantized(plan, tool, run, folder, monkeypatch, **names):
    """Run what the page on plans shows, in a folder where the export lies; ``names`` are what it takes from its reader."""
    path = folder / "plans" / "bits" / f"{tool}.json"
    path.parent.mkdir(parents=True)
    path.write_text(export(plan, exporter_called(tool)).text)
    monkeypatch.chdir(folder)
    exec(run, names)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_torchao_quantizes_to_the_bits_of_the_plan_on_its_grid_or_a_finer_one(network, tmp_path, monkeypatch):
    from torchao.quantization import IntxUnpackedToInt8Tensor

    bits = {"first": 8, "conv": 5, "hidden": 3, "head": 2}
    plan = made_up_plan(network, bits)
    planned = sb.apply_plan(network.model, plan)
    model = copy.deepcopy(network.model)
    quantized(plan, "torchao", IN_TORCHAO, tmp_path, monkeypatch, model=model)
    assert torch.equal(model.first.weight, network.model.first.weight)
    n_exact = 0
    for name in ("conv", "hidden", "head"):
        found, weight = model.get_submodule(name).weight, network.model.get_submodule(name).weight
        assert isinstance(found, IntxUnpackedToInt8Tensor)
        assert found.target_dtype == getattr(torch, f"int{bits[name]}")
        assert found.qdata.unique().numel() <= 2 ** bits[name]
        off = differences(found.dequantize(), planned.get_submodule(name).weight, weight, bits[name])
        assert off.max() <= 1.0 + EXACT
        if name != "conv":  # a scale for each output and place of the kernel
            assert off[on_the_plans_grid(weight)].max() < EXACT * 2 ** bits[name]
            n_exact += int(on_the_plans_grid(weight).sum())
    assert n_exact >= 3
    by_hand = copy.deepcopy(network.model)
    for name in ("conv", "hidden", "head"):
        by_hand.get_submodule(name).weight.data = model.get_submodule(name).weight.dequantize()
    assert torch.allclose(model(network.inputs), by_hand(network.inputs), atol=1e-5)


class Shared(nn.Module):
    """Two linear layers of one weight, and a head."""

    def __init__(self):
        super().__init__()
        self.there, self.again, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.again.weight = self.there.weight

    def forward(self, x):
        return self.head(torch.relu(self.again(torch.relu(self.there(x)))))


@pytest.mark.filterwarnings("ignore")  # the exporter and torchao warn of their own parts
def test_a_tied_weight_is_quantized_wherever_it_is_and_named_as_onnx_names_it(tmp_path, monkeypatch):
    import onnx

    torch.manual_seed(7)
    model = Shared().eval()
    network = sb.Network(model, torch.randn(60, 6), torch.arange(60) * 7 % 3, name="shared")
    plan = made_up_plan(network, {"there": 4, "head": 8})
    torch.onnx.export(model, (network.inputs,), tmp_path / "net.onnx", dynamo=True, external_data=False, verbose=False)
    named = json.loads(export(plan, exporter_called("onnxruntime")).text)["extra_options"]["TensorQuantOverrides"]
    assert set(named) <= {each.name for each in onnx.load(tmp_path / "net.onnx").graph.initializer}
    quantized(plan, "torchao", IN_TORCHAO, tmp_path, monkeypatch, model=model)
    assert torch.equal(model.there.weight.dequantize(), model.again.weight.dequantize())
    assert len(model.there.weight.qdata.unique()) <= 16


@pytest.mark.filterwarnings("ignore")  # the exporter warns of its own parts
def test_onnxruntime_quantizes_to_the_plan_itself_at_8_bits_and_within_a_step_at_4(network, tmp_path, monkeypatch):
    import onnx
    from onnx.numpy_helper import to_array
    from onnxruntime import InferenceSession
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        batches = iter([{"images": network.inputs.numpy()}])

        def get_next(self):
            return next(self.batches, None)

    inputs = network.inputs
    torch.onnx.export(network.model, (inputs,), tmp_path / "net.onnx", dynamo=True, external_data=False, verbose=False)
    plan = made_up_plan(network, BITS)
    planned = sb.apply_plan(network.model, plan)
    quantized(plan, "onnxruntime", IN_ONNXRUNTIME, tmp_path, monkeypatch, calibration_reader=Reader())
    before, after = (
        {each.name: to_array(each) for each in onnx.load(tmp_path / name).graph.initializer}
        for name in ("net.onnx", "quantized.onnx")
    )
    by_hand = copy.deepcopy(network.model)
    for name, bits in BITS.items():
        module, integers = by_hand.get_submodule(name), after[f"{name}.weight_quantized"]
        assert str(integers.dtype) == f"int{bits}"
        exported, weight = by_channel(before[f"{name}.weight"]), by_channel(module.weight)
        folded = (exported * weight).sum(axis=1) / (weight * weight).sum(axis=1)  # what a batch norm multiplies a channel by
        assert np.allclose(exported, folded[:, None] * weight, atol=1e-6)
        assert np.allclose(folded, 1.0) == (name != "first" or network.folding is not None)
        found = by_channel(integers.astype(np.float64)) * by_channel(after[f"{name}.weight_scale"]) / folded[:, None]
        off = differences(found, planned.get_submodule(name).weight, weight, bits)
        assert off.max() <= (1.0 if bits == 4 else EXACT * 2**bits)
        module.weight.data = torch.tensor(found, dtype=torch.float32).reshape(module.weight.shape)
    (logits,) = InferenceSession(tmp_path / "quantized.onnx").run(None, {"images": inputs.numpy()})
    with torch.no_grad():
        wanted = by_hand(inputs).numpy()
    off = np.abs(logits - wanted).max(axis=1) / np.abs(wanted).max()
    assert np.median(off) < 1e-4  # 16 bits an activation
    assert off.max() < 0.05  # calibration saw the float weights: what exceeds its range is clipped
