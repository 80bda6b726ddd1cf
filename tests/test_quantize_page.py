"""The page that quantizes a network for torchao: its blocks run one after the other, and torchao keeps what the plan says."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

import safer_bench as sb
from safer_bench.budget.plans.plan import read_plan
from safer_bench.errors import MissingData
from safer_bench.networks.data.fashion_mnist import read_part
from tests.conftest import ROOT
from tests.made_up.quantized import EXACT, by_channel, differences, torchao_steps

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "docs" / "quantize-a-network.md").read_text(), re.MULTILINE | re.DOTALL)
PROGRAMS = {"python": "", "safer-bench": "-c 'from safer_bench.cli import main; main()'"}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Run the page as somebody who copies it; return the folder, and what each shell block printed beside what is shown."""
    try:
        read_part("evaluation")
    except MissingData as error:
        pytest.skip(str(error))
    folder, printed = tmp_path_factory.mktemp("page"), []
    for name, code in PROGRAMS.items():
        (folder / name).write_text(f'#!/bin/sh\nexec {sys.executable} {code} "$@"\n')
        (folder / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    for language, text in BLOCKS:
        if language == "python":
            (folder / re.match(r"# (\w+\.py)\n", text)[1]).write_text(text)
        elif language == "text":
            printed[-1] = (printed[-1][0], text)
        else:
            ran = subprocess.run(
                ["sh", "-e"], input=text, cwd=folder, env=environment, capture_output=True, text=True, check=False
            )
            assert ran.returncode == 0, f"{text}\n{ran.stderr}"
            printed.append((ran.stdout, ""))
    return folder, printed


def test_each_block_prints_what_is_shown_but_for_numbers(page):
    """Weights are trained on the spot, so numbers are those of the machine."""
    shown = [(set(words(out)), words(text)) for out, text in page[1] if text]
    assert len(shown) == 2
    for out, lines in shown:
        assert len(lines) > 4
        assert [line for line in lines if line not in out] == []


def words(text):
    return [re.sub(r"-?\d[\d.]*", "N", " ".join(line.split())) for line in text.splitlines() if line != "..."]


def test_the_plan_was_measured_with_its_weights_and_torchao_keeps_to_its_interval(page):
    folder, printed = page
    measured = read_plan(folder / "plans" / "photos").measured
    told = dict(re.findall(r"^(\w+): ([\d.]+) % of", printed[-1][0], re.MULTILINE))
    assert told["unchanged"] == f"{100 * measured.unchanged.value:.1f}"
    assert told["plan"] == f"{100 * measured.plan.accuracy.value:.1f}"
    assert measured.plan.accuracy.low <= float(told["torchao"]) / 100 <= measured.plan.accuracy.high


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_each_of_torchaos_weights_has_the_bits_of_the_plan_and_is_within_a_step_of_its_weight(page):
    from torchao.quantization import IntxUnpackedToInt8Tensor

    folder, _ = page
    spec, data = f"timm:test_resnet@{folder / 'checkpoint.safetensors'}", f"imagefolder:{folder / 'photos' / 'val'}"
    model = sb.load_network(spec, data=data).model
    plan = read_plan(folder / "plans" / "photos")
    planned = sb.apply_plan(model, plan).state_dict()
    quantized = torch.load(folder / "quantized.pt")
    assert {layer.amount for layer in plan.layers} == {4.0, 8.0}
    for layer in plan.layers:
        bits, found, weight = int(layer.amount), quantized[layer.parameter], model.get_parameter(layer.parameter)
        assert isinstance(found, IntxUnpackedToInt8Tensor)
        assert found.target_dtype == getattr(torch, f"int{bits}")
        assert found.qdata.unique().numel() <= 2**bits
        off = differences(found.dequantize(), planned[layer.parameter], weight, bits)
        assert off.max() <= 1.0 + EXACT * 2**bits
        if layer.kind == "Linear":  # of a convolution torchao has a scale for each place of the kernel
            step = torchao_steps(weight, bits)
            expected = np.rint(by_channel(weight) / step) * step
            assert np.abs(by_channel(found.dequantize()) - expected).max() < EXACT * np.abs(expected).max()
    model.load_state_dict(quantized, assign=True)
    assert isinstance(model.fc.weight, IntxUnpackedToInt8Tensor)
