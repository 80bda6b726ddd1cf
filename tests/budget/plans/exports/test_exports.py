"""What each tool is told of a plan, in its own words, and what it is told aloud that it cannot do."""

import json
import re

import pytest
import torch
import yaml
from torch import nn

from safer_bench.budget.plans.exports.exporter import TORCH_KINDS, export
from safer_bench.budget.plans.exports.loading import exporter_called, exporters
from safer_bench.budget.plans.plan import Plan
from safer_bench.errors import BadInput, UnknownName
from safer_bench.networks.network import Network
from tests.made_up.networks import normed_network, tiny_network
from tests.made_up.plans import made_up_plan

BITS = {"conv": 8, "hidden": 5, "head": 2}


def told(tool, bits=BITS, **words):
    return export(made_up_plan(tiny_network(), bits, **words), exporter_called(tool))


def test_torchao_gets_the_bits_of_each_weight_but_of_a_convolution_of_one_channel():
    found = told("torchao")
    config = json.loads(found.text)
    assert (config["_type"], config["_version"]) == ("FqnToConfig", 1)
    of_weights = config["_data"]["fqn_to_config"]
    bits = {name: each["_data"]["weight_dtype"]["_data"] for name, each in of_weights.items()}
    assert bits == {"hidden.weight": "int5", "head.weight": "int2"}
    assert found.notes == (
        "layer conv stays in float32: torchao quantizes none like it (Conv2d, 3x1x3x3)",
        "torchao spends 6.51 mean bits of weights, the plan 5.02",  # (27 * 32 + 384 * 5 + 24 * 2) / 435
    )


def test_onnxruntime_gets_a_type_for_each_initializer_rounded_up():
    found = told("onnxruntime")
    arguments = json.loads(found.text)
    assert arguments["per_channel"] is True
    assert arguments["extra_options"]["TensorQuantOverrides"] == {
        "conv.weight": [{"quant_type": "QInt8", "symmetric": True, "axis": 0}],
        "hidden.weight": [{"quant_type": "QInt8", "symmetric": True, "axis": 0}],
        "head.weight": [{"quant_type": "QInt4", "symmetric": True, "axis": 0}],
    }
    assert found.notes == (
        "layer hidden gets 8 bits: onnxruntime does not have 5 for it",
        "layer head gets 4 bits: onnxruntime does not have 2 for it",
        "onnxruntime spends 7.78 mean bits of weights, the plan 5.02",
    )


def test_nncf_gets_one_call_for_each_number_of_bits_that_ignores_all_other_functions():
    found = told("nncf")
    four, eight = json.loads(found.text)
    assert (four["mode"], four["group_size"], eight["mode"]) == ("int4_sym", -1, "int8_sym")
    nodes = ("conv.weight", "conv/conv2d/0", "/relu/0", "hidden/linear/0", "head/linear/0")
    for call, kept in ((four, {"head/linear/0"}), (eight, {"conv/conv2d/0", "hidden/linear/0"})):
        (pattern,) = call["ignored_scope"]["patterns"]
        assert {node for node in nodes if not re.search(pattern, node)} == {"conv.weight"} | kept
    assert found.notes == (
        "layer hidden gets 8 bits: nncf does not have 5 for it",
        "layer head gets 4 bits: nncf does not have 2 for it",
        "nncf spends 7.78 mean bits of weights, the plan 5.02",
    )


def test_modelopt_gets_the_bits_of_each_weight_and_nothing_else_is_quantized():
    found = told("modelopt")
    off, *of_weights = json.loads(found.text)["quant_cfg"]
    assert off == {"quantizer_name": "*", "enable": False}
    assert of_weights == [
        {"quantizer_name": f"{name}.weight_quantizer", "cfg": {"num_bits": bits, "axis": 0, "narrow_range": True}}
        for name, bits in BITS.items()
    ]
    assert found.notes == ()


def test_llmcompressor_gets_groups_of_linear_layers_by_bits_and_ignores_the_others():
    found = told("llmcompressor")
    modifier = yaml.safe_load(found.text)["quantization_stage"]["quantization_modifiers"]["QuantizationModifier"]
    weights = {"type": "int", "symmetric": True, "strategy": "channel"}
    assert modifier == {
        "config_groups": {
            "bits_2": {"targets": ["head"], "weights": {"num_bits": 2, **weights}},
            "bits_5": {"targets": ["hidden"], "weights": {"num_bits": 5, **weights}},
        },
        "ignore": ["conv"],
    }
    assert found.notes == (
        "layer conv stays in float32: llmcompressor quantizes none like it (Conv2d, 3x1x3x3)",
        "llmcompressor spends 6.51 mean bits of weights, the plan 5.02",
    )


def test_a_plan_of_which_a_tool_quantizes_no_layer_is_refused_with_the_next_step():
    plan = made_up_plan(tiny_network(), BITS)
    convolution = plan.model_copy(update={"layers": [layer for layer in plan.layers if layer.kind == "Conv2d"]})
    with pytest.raises(BadInput) as error:
        export(convolution, exporter_called("llmcompressor"))
    assert str(error.value) == (
        "llmcompressor quantizes no layer of this plan (layer conv: llmcompressor quantizes none like it (Conv2d, 3x1x3x3)); "
        "export --to another tool, or take the weights: safer_bench.apply_plan"
    )


@pytest.mark.parametrize("tool", sorted(exporters()))
def test_a_plan_of_a_folded_network_says_what_has_to_be_folded_first(tool):
    plan = made_up_plan(normed_network(fold=True), {"0": 8, "4": 8})
    assert export(plan, exporter_called(tool)).notes[0] == (
        "fold 1 batch norm first, those that 'folded' names in plan.json: the plan is of Network(..., fold=True).model"
    )
    pruned = made_up_plan(normed_network(fold=True), {"0": 0.5, "4": 0.5}, "prune")
    assert tool != "json" or export(pruned, exporter_called(tool)).notes == export(plan, exporter_called(tool)).notes


def test_json_is_the_plan_itself_of_any_task():
    for task, amounts in (("quantize", BITS), ("prune", dict.fromkeys(BITS, 0.5)), ("protect", dict.fromkeys(BITS, 1))):
        plan = made_up_plan(tiny_network(), amounts, task)
        found = export(plan, exporter_called("json"))
        assert (Plan.model_validate_json(found.text), found.notes) == (plan, ())


@pytest.mark.parametrize("tool", sorted(set(exporters()) - {"json"}))
def test_a_tool_of_bits_is_not_told_what_is_pruned_or_protected(tool):
    with pytest.raises(BadInput) as error:
        told(tool, dict.fromkeys(BITS, 0.5), task="prune")
    assert str(error.value) == (
        f"{tool} cannot be told a plan of task 'prune': it reads bits a layer, not which weights are pruned or protected. "
        "Export --to json, or take the weights themselves: safer_bench.apply_plan"
    )
    with pytest.raises(BadInput, match="cannot be told a plan of task 'protect'"):
        told(tool, dict.fromkeys(BITS, 1), task="protect")


def test_a_plan_with_a_grid_for_each_tensor_says_so_or_is_told_aloud():
    words = {"perturbation": "quantize"}
    assert json.loads(told("modelopt", **words).text)["quant_cfg"][1]["cfg"]["axis"] is None
    arguments = json.loads(told("onnxruntime", **words).text)
    assert arguments["per_channel"] is False
    assert not any("axis" in tensor for (tensor,) in arguments["extra_options"]["TensorQuantOverrides"].values())
    assert "strategy: tensor" in told("llmcompressor", **words).text
    for tool in ("torchao", "nncf"):
        note = f"{tool} has a grid for each output channel; the plan was measured with one for each tensor"
        assert told(tool, **words).notes[0] == note


def test_bits_beyond_what_a_tool_has_keep_a_layer_in_float32():
    bits = {"conv": 16, "hidden": 9, "head": 8}
    assert told("nncf", bits).notes == (
        "layer conv stays in float32: nncf quantizes none like it (Conv2d, 3x1x3x3) in 16 bits or more",
        "layer hidden stays in float32: nncf quantizes none like it (Linear, 8x48) in 9 bits or more",
        "nncf spends 30.7 mean bits of weights, the plan 9.38",
    )
    assert told("onnxruntime", bits).notes == (
        "layer hidden gets 16 bits: onnxruntime does not have 9 for it",
        "onnxruntime spends 15.6 mean bits of weights, the plan 9.38",
    )


def test_an_unknown_tool_is_named_with_those_there_are():
    with pytest.raises(UnknownName) as error:
        exporter_called("onnxrun")
    assert str(error.value) == (
        "no export to 'onnxrun'. Did you mean 'onnxruntime'? There are: json, llmcompressor, modelopt, nncf, onnxruntime, torchao"
    )


class Shared(nn.Module):
    """Two linear layers of one weight, and a head of a class of its own."""

    def __init__(self):
        super().__init__()
        self.there, self.again, self.head = nn.Linear(6, 6), nn.Linear(6, 6), Scaled(6, 3)
        self.again.weight = self.there.weight

    def forward(self, x):
        return self.head(torch.relu(self.again(torch.relu(self.there(x)))))


class Scaled(nn.Linear):
    """A linear layer whose forward no export can know."""

    def forward(self, x):
        return 2 * super().forward(x)


def shared_plan():
    torch.manual_seed(7)
    network = Network(Shared().eval(), torch.randn(60, 6), torch.arange(60) * 7 % 3, name="shared")
    return made_up_plan(network, {"there": 4, "head": 8})


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        ("torchao", ['"there.weight"', '"again.weight"']),
        ("modelopt", ['"there.weight_quantizer"', '"again.weight_quantizer"']),
        ("nncf", ["(?:there|again)"]),
        ("llmcompressor", ["- there\n", "- again\n"]),
        ("onnxruntime", ['"again.weight"']),
    ],
)
def test_a_tied_weight_gets_its_bits_in_all_modules_and_a_class_that_no_export_knows_none(tool, words):
    found = export(shared_plan(), exporter_called(tool))
    assert [word for word in words if word not in found.text] == []
    if tool == "onnxruntime":
        assert "there" not in found.text, "torch.onnx.export keeps the last name alone"
    unties = ("layer there shares its weight with again.weight: torchao makes a copy for each",) * (tool == "torchao")
    unknown = f"layer head stays in float32: class Scaled is not known to the export to {tool}"
    assert found.notes[: len(unties) + 1] == (*unties, unknown)


def test_a_tied_weight_stays_as_it_is_everywhere_where_one_of_its_modules_is_none_that_the_tool_quantizes():
    plan = made_up_plan(tiny_network(), BITS)
    hidden = plan.layers[1].model_copy(update={"tied": {"table.weight": "Embedding"}})
    found = export(plan.model_copy(update={"layers": [plan.layers[0], hidden, plan.layers[2]]}), exporter_called("torchao"))
    assert "hidden" not in found.text
    assert found.notes[1] == (
        "layer hidden stays in float32: it shares its weight with table.weight, and torchao quantizes none like it "
        "(Embedding, 8x48)"
    )


def test_the_classes_of_torch_are_those_that_own_a_weight():
    assert {name for name in TORCH_KINDS if issubclass(_torch_class(name), nn.Module)} == TORCH_KINDS


def _torch_class(name):
    return getattr(nn, name, None) or getattr(nn.modules.linear, name)
