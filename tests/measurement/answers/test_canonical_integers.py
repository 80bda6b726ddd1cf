"""The same integers on any machine: threads, batches, memory formats, instruction sets, overflow, and last bits."""

import os
import subprocess
import sys
from copy import deepcopy
from hashlib import sha256

import pytest
import torch
from torch import nn

from safer_bench.measurement.answers.replayed import ReplayedNetwork
from safer_bench.measurement.answers.tuning import Pace
from safer_bench.measurement.design import Probe
from safer_bench.measurement.engine import Engine
from safer_bench.measurement.plain import PlainEngine
from safer_bench.measurement.rows import Weights
from safer_bench.networks.loading import load_network
from safer_bench.networks.network import Network
from safer_bench.perturbations.loading import parse_perturbation
from tests.made_up.cases import first_by_default

NARROW = "bfloat16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "float32"
N_EXAMPLES = 300
SPECS = ("gaussian_noise:1", "gaussian_noise:1", "sign_flip:0.3", "quantize:2")
INTEGERS = ("correct_clean", "broken", "fixed", "predictions_changed", "changed_entries", "weight_digest", "flips")
FORMATS = (torch.contiguous_format, torch.channels_last)


def probes_of(network, specs=SPECS, n=N_EXAMPLES):
    chosen = [parse_perturbation(spec) for spec in specs]
    return [
        Probe(layer, entry, level, draw, 0, n)
        for layer in network.layers
        for draw, (entry, levels) in enumerate(chosen)
        for level in levels
    ]


def digest(rows):
    return sha256(repr([[row[key] for key in INTEGERS] for row in rows]).encode()).hexdigest()


def digest_of(network, probes, **options):
    engine = Engine(network, **options)
    found = digest(engine.measure(probes))
    assert engine.reasons == {}
    return found


@pytest.fixture(scope="module")
def digits():
    return load_network("digits_cnn")


@pytest.fixture(scope="module")
def rows(digits):
    return list(PlainEngine(digits).measure(probes_of(digits)))


@pytest.fixture
def bfloat16_is_faster(monkeypatch):
    """Float32 seems to take forever; where the machine has no bfloat16, timing it still fails."""
    seconds = ReplayedNetwork._time
    taken = lambda self, dtype: seconds(self, dtype) if dtype == torch.bfloat16 else float("inf")  # noqa: E731
    monkeypatch.setattr(ReplayedNetwork, "_time", taken)


@pytest.fixture
def threads():
    """Set the number of threads; afterwards it is what it was."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_the_perturbations_move_counts(rows):
    assert sum(row["broken"] > 0 for row in rows) > len(rows) / 2
    assert sum(row["fixed"] > 0 for row in rows) > 0


@pytest.mark.long
def test_the_plain_loop_does_not_depend_on_the_number_of_threads(digits, rows, threads):
    threads(2)
    assert digest(PlainEngine(digits).measure(probes_of(digits)[::8])) == digest(rows[::8])


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("batch_size", first_by_default([37, 256, 1]))
@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
def test_integers_do_not_depend_on_batches_and_memory_format(
    digits, rows, memory_format, batch_size, fast, bfloat16_is_faster
):
    pace, step = Pace(memory_format=memory_format, batch_size=batch_size), 4 if batch_size == 1 else 1
    assert digest_of(digits, probes_of(digits)[::step], fast=fast, pace=pace) == digest(rows[::step])


@pytest.mark.long
@pytest.mark.parametrize(
    ("memory_format", "batch_size", "fast"), [(FORMATS[0], 256, False), (FORMATS[1], 37, True)], ids=str
)
def test_integers_do_not_depend_on_the_number_of_threads(
    digits, rows, threads, memory_format, batch_size, fast, bfloat16_is_faster
):
    """On few probes: two threads on a busy machine mostly wait for each other."""
    threads(2)
    pace = Pace(memory_format=memory_format, batch_size=batch_size)
    assert digest_of(digits, probes_of(digits)[::8], fast=fast, pace=pace) == digest(rows[::8])


def in_a_new_process(**settings):
    """Measure this file's probes with settings that torch reads when it is imported; return the lines of output."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | settings
    ran = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, check=True)
    return ran.stdout.splitlines()


@pytest.mark.long
@pytest.mark.parametrize("capability", ["default", "avx2", "avx512"])
def test_integers_do_not_depend_on_torchs_instruction_set(rows, capability):
    *_, used, plain, engine, fast = in_a_new_process(ATEN_CPU_CAPABILITY=capability)
    if capability != "avx512":  # which this machine may not have
        assert used.lower() == capability
    assert {plain, engine, fast} == {digest(rows)}


@pytest.fixture(scope="module")
def without_bfloat16():
    """Lines of a process in which oneDNN may use no instruction beyond AVX2: it has no bfloat16 then."""
    return in_a_new_process(ONEDNN_MAX_CPU_ISA="AVX2", ONEDNN_VERBOSE="1")


@pytest.mark.long
def test_integers_do_not_depend_on_onednns_instruction_set(rows, without_bfloat16):
    *verbose, _, plain, engine, _ = without_bfloat16
    assert any("isa:Intel AVX2" in line for line in verbose)
    assert {plain, engine} == {digest(rows)}


@pytest.mark.long
def test_fast_does_without_bfloat16_where_the_machine_has_none(rows, without_bfloat16):
    assert without_bfloat16[-1] == digest(rows)


@pytest.mark.long
@pytest.mark.parametrize("fast", [False, True])
def test_exponent_bits_that_make_most_logits_overflow(digits, fast, bfloat16_is_faster):
    """Some draws are settled fast, some overflow for every image (made bright, so that flipped weights reach the limit)."""
    digits = Network(digits.model, 1000 * digits.inputs[:N_EXAMPLES], digits.labels[:N_EXAMPLES], name="bright")
    probes = probes_of(digits, ["float32_bit_flip_exponent:0.0001,0.01"] * 2)
    expected, engine = list(PlainEngine(digits).measure(probes)), Engine(digits, fast=fast)
    assert digest(engine.measure(probes)) == digest(expected)
    assert engine.reasons == {}
    lost = [row["predictions_changed"] == N_EXAMPLES and row["broken"] == row["correct_clean"] for row in expected]
    assert sum(lost) > len(probes) / 4
    assert engine.settled[NARROW if fast else "float32"] > 0


class LastBit(nn.Module):
    """The logits of the first two classes differ by the last bit of a float32 or less."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = nn.Linear(6, 16), nn.Linear(16, 16), nn.Linear(16, 3)
        with torch.no_grad():
            self.head.weight[1] = self.head.weight[0] * (1 + 1e-7 * torch.randn(16))
            self.head.bias.copy_(torch.tensor([0.5, 0.5, 0.0]))

    def forward(self, x):
        return self.head(torch.relu(self.b(torch.relu(self.a(x)))))


@pytest.mark.parametrize("fast", [False, True])
def test_where_classes_differ_by_the_last_bit_float32_fails_and_the_engine_does_not(fast, bfloat16_is_faster):
    torch.manual_seed(0)
    model, images = LastBit().eval(), torch.randn(N_EXAMPLES, 6)
    with torch.no_grad():
        labels = deepcopy(model).double()(images.double()).argmax(1)
    network = Network(model, images, labels, name="lastbit")
    probes = [probe for probe in probes_of(network, ["gaussian_noise:0.1"] * 4) if probe.layer.name != "head"]
    expected = list(PlainEngine(network).measure(probes))
    engine = Engine(network, fast=fast)
    assert digest(engine.measure(probes)) == digest(expected)
    assert engine.reasons == {}
    weights = Weights(network, 0)
    wrong = [count_in_float32(network, probe, weights) != row["broken"] for probe, row in zip(probes, expected, strict=True)]
    assert sum(wrong) > len(probes) / 2


@torch.no_grad()
def count_in_float32(network, probe, weights):
    """Return the number of broken examples as a loop in float32 counts it."""
    before = network.model(network.inputs).argmax(1) == network.labels
    model = deepcopy(network.model)
    model.get_parameter(probe.layer.parameter).copy_(torch.from_numpy(weights.perturbed(probe).weight))
    return int((before & (model(network.inputs).argmax(1) != network.labels)).sum())


def report():
    """Print torch's instruction set and the digests of the plain loop and both engines, or why there is none."""
    seconds, own = ReplayedNetwork._time, load_network("digits_cnn")
    ReplayedNetwork._time = lambda self, dtype: seconds(self, dtype) if dtype == torch.bfloat16 else float("inf")
    found = [torch.backends.cpu.get_cpu_capability(), digest(PlainEngine(own).measure(probes_of(own)))]
    for fast in (False, True):
        try:
            found.append(digest_of(own, probes_of(own), fast=fast))
        except RuntimeError as error:
            found.append(" ".join(str(error).split()))
    sys.stdout.write("\n".join(["", *found, ""]))


if __name__ == "__main__":
    report()
