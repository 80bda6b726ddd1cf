"""What a dry run says, against what the run then takes."""

import time

import pytest

from safer_bench.measurement import forecast as module
from safer_bench.measurement.design import make_protocol
from safer_bench.measurement.forecast import forecast
from safer_bench.measurement.run import measure_into
from safer_bench.networks.loading import load_network
from tests.made_up.networks import tiny_network


@pytest.mark.parametrize(("draws", "examples"), [(1, None), (4, 15), (6, 30)])
def test_probes_are_counted_exactly_and_the_disk_within_a_quarter(tmp_path, draws, examples):
    protocol = make_protocol(["gaussian_noise:0.5,2", "quantize:2"], draws, examples)
    found = forecast(tiny_network(), protocol)
    assert found.n_probes == measure_into(tmp_path, [tiny_network()], protocol)
    on_disk = sum(path.stat().st_size for path in (tmp_path / "parts").rglob("*.parquet"))
    assert on_disk / 1.25 < found.disk_bytes < on_disk * 1.25
    assert 2e8 < found.memory_bytes < 2e10
    assert found.seconds > 0
    assert list(found.seconds_by_draws) == [1, 2, 4, 8, 16, 32]
    assert sorted(found.seconds_by_draws.values()) == list(found.seconds_by_draws.values())
    assert found.seconds == found.seconds_by_draws.get(draws, found.seconds)


@pytest.mark.long
def test_the_time_is_foretold(tmp_path, monkeypatch):
    """Other work on the machine disturbs it, hence a factor of 2.5 here; docs/runs.md has undisturbed figures."""
    monkeypatch.setattr(module, "SAMPLED_SECONDS", 5.0)
    network, protocol = load_network("digits_resnet"), make_protocol(["gaussian_noise", "int8_bit_flip", "quantize"], 4)
    found = forecast(network, protocol)
    started = time.perf_counter()
    measure_into(tmp_path, [network], protocol)
    taken = time.perf_counter() - started
    assert taken / 2.5 < found.seconds < taken * 2.5
