"""``--fast`` says, before anything is measured, what it comes to."""

import pytest
import torch

from safer_bench.measurement import forecast as forecasting
from safer_bench.measurement import run
from safer_bench.measurement.answers import replayed
from safer_bench.measurement.design import make_protocol
from safer_bench.measurement.engine import Engine
from safer_bench.measurement.fast_choice import first_arithmetic
from safer_bench.measurement.run import measure_into
from safer_bench.networks.network import Network


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (0.9, "float32 alone: bfloat16 is no faster on this processor"),
        (0.0, "float32 alone: bfloat16 is no faster on this processor"),
        (1.84, "bfloat16 first: 1.8 times as fast as float32 here on a clean batch; probes of few examples may take longer"),
        (1.01, "bfloat16 first: about as fast as float32 here on a clean batch; probes of few examples may take longer"),
    ],
)
def test_the_arithmetic_and_the_reason_are_said(tiny, times, said):
    engine = Engine(tiny, fast=True)
    engine.fast_answers.replayed.speedup = times
    assert first_arithmetic(engine) == said


class ReadsValues(torch.nn.Linear):
    """Cannot be traced."""

    def forward(self, x):
        return super().forward(x if float(x.sum()) > 0 else 2 * x)


def test_a_network_that_is_not_replayed_is_told_of():
    torch.manual_seed(0)
    given = Network(ReadsValues(4, 3).eval(), torch.randn(9, 4), torch.arange(9) % 3, name="mine")
    said = first_arithmetic(Engine(given, fast=True))
    assert said.startswith("float64 alone, by whole forward passes: torch.export: ")


def test_the_speed_is_measured(monkeypatch):
    """Of a linear network: not every processor convolves in bfloat16, and there the speed is 0."""
    passes = []
    network = Network(torch.nn.Linear(4, 3).eval(), torch.randn(60, 4), torch.arange(60) % 3, name="linear")

    def seconds(run, device):
        (logits,) = run()
        assert (logits.shape, device.type) == ((60, 3), "cpu")
        passes.append(logits.dtype)
        return len(passes)

    monkeypatch.setattr(replayed, "seconds", seconds)
    assert Engine(network, fast=True).fast_answers.replayed.speedup == 1 / 2
    assert passes == [torch.float32, torch.bfloat16]
    assert Engine(network).fast_answers.replayed.speedup == 0.0


def test_a_run_tells_and_logs_it_before_the_first_unit_and_not_where_nothing_is_left(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "first_arithmetic", lambda engine: f"{engine.network.name} in this or that")
    protocol, told, done = make_protocol(["gaussian_noise:1"], 2, 30), [], []
    report = lambda what, so_far, total: done.append(so_far)  # noqa: E731
    tell = lambda line: told.append((line, max(done)))  # noqa: E731
    measure_into(tmp_path, [tiny], protocol, report, fast=True, tell=tell)
    line = "tiny: tiny in this or that"
    assert told == [(line, 0)]
    log = (tmp_path / "log.txt").read_text()
    assert log.index(line) < log.index("tiny conv, 30 examples from 0")
    assert "1 network, 1 worker (process); cpu: worker 1" in log
    measure_into(tmp_path, [tiny], protocol, fast=True, tell=told.append)
    assert len(told) == 1


@pytest.mark.parametrize("fast", [False, True])
def test_a_dry_run_tells_it_too_before_it_measures_its_sample(tiny, monkeypatch, fast):
    told, sampled = [], []
    sample_of = lambda *given, **kind: sampled.append(list(told)) or real(*given, **kind)  # noqa: E731
    real = forecasting.sample_of
    monkeypatch.setattr(forecasting, "sample_of", sample_of)
    monkeypatch.setattr(forecasting, "first_arithmetic", lambda engine: f"{engine.network.name} in this or that")
    forecasting.forecast(tiny, make_protocol(["quantize:3"], 2, 30), fast=fast, tell=told.append)
    assert told == ["tiny: tiny in this or that"] * fast
    assert sampled == [told]


def test_a_run_that_is_not_fast_has_nothing_to_tell(tiny, tmp_path):
    told = []
    measure_into(tmp_path, [tiny], make_protocol(["quantize:3"]), tell=told.append)
    assert told == []
