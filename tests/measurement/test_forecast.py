"""What a dry run says, against what the run then takes."""

import time

import pytest
import torch

from safer_bench.measurement import forecast as module
from safer_bench.measurement import sample
from safer_bench.measurement.design import Design, make_protocol
from safer_bench.measurement.forecast import forecast
from safer_bench.measurement.run import measure_into
from safer_bench.networks.loading import load_network
from tests.made_up.cases import first_by_default
from tests.made_up.engines import TimedEngine
from tests.made_up.networks import tiny_network

SPECS = ["gaussian_noise", "int8_bit_flip:0.001,0.1", "quantize"]


@pytest.mark.parametrize(("draws", "examples"), first_by_default([(4, 15), (1, None), (6, 30), (None, 20)]))
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
    assert found.seconds == found.seconds_by_draws.get(draws or 32, found.seconds)


@pytest.fixture
def timed(monkeypatch):
    """Have forecasts measured by an engine whose times are known; its parts weigh nothing."""
    monkeypatch.setattr(TimedEngine, "now", 0.0)
    monkeypatch.setattr(module, "Engine", TimedEngine)
    monkeypatch.setattr(module, "_row_and_part", lambda *_: (0.0, 0.0))
    for clock in ("perf_counter", "process_time"):
        monkeypatch.setattr(sample.time, clock, lambda: TimedEngine.now)


def taken(network, protocol):
    """Return the seconds of a run by the engine whose times are known."""
    engine, started = TimedEngine(network), TimedEngine.now
    engine.clean(0, len(network.labels))
    for unit in Design(network, protocol).units():
        list(engine.measure(unit.probes))
    return TimedEngine.now - started


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"draws": 1},
        {"draws": 7, "n_examples": 100},
        {"draws": 8, "n_examples": None},
        {"draws": 4, "n_examples": 300, "deterministic_examples": 60},
        {"draws": 2, "n_examples": 13, "first_draw": 4},
    ],
)
def test_whatever_is_done_once_is_counted_as_often_as_it_is_done(timed, asked):
    """From one number of examples fixed costs once grew with the examples: 79.6 s were foretold as 205.8."""
    network, protocol = load_network("digits_resnet"), make_protocol(SPECS, **asked)
    assert forecast(network, protocol).seconds == pytest.approx(taken(network, protocol), rel=0.02)


def test_fewer_examples_and_levels_are_sampled_where_time_is_short_and_the_forecast_holds(timed, monkeypatch):
    network, protocol = load_network("digits_resnet"), make_protocol(SPECS, n_examples=None)
    for seconds in (30.0, 15.0):
        monkeypatch.setattr(module, "SAMPLED_SECONDS", seconds)
        TimedEngine.now = 0.0
        found = forecast(network, protocol).seconds
        looked = TimedEngine.now - 8.0 - 11 * 0.3
        assert seconds / 4 < looked < 1.5 * seconds
        assert found == pytest.approx(taken(network, protocol), rel=0.02)


def test_what_a_slice_takes_once_in_its_second_draw_is_not_multiplied(timed, monkeypatch):
    """The first probe of a slice that float64 decides once made every further draw five times as long as the first."""

    class Recomputing(TimedEngine):
        def measure(self, probes):
            for probe in probes:
                if probe.draw == 1:
                    self._once(("float64", probe.example_start, probe.n_examples), 0.2)
                yield from super().measure([probe])

    monkeypatch.setattr(module, "Engine", Recomputing)
    network, protocol = load_network("digits_resnet"), make_protocol(SPECS, 8, None)
    assert forecast(network, protocol).seconds == pytest.approx(taken(network, protocol), rel=0.05)


def test_other_numbers_of_draws_take_what_they_take(timed):
    network = load_network("digits_resnet")
    found = forecast(network, make_protocol(SPECS))
    for draws, seconds in found.seconds_by_draws.items():
        assert seconds == pytest.approx(taken(network, make_protocol(SPECS, draws)), rel=0.02)
    assert list(forecast(network, make_protocol(["gradient_corruption_l2"])).seconds_by_draws) == [1, 2, 4, 8, 16]


def test_workers_share_the_probes_and_trace_each(timed):
    network, protocol = load_network("digits_resnet"), make_protocol(SPECS)
    one, four = (forecast(network, protocol, workers=workers).seconds for workers in (1, 4))
    by_each = 8.0 + 11 * 0.3 + 3 * 11 * 0.2 + 0.01 + 600 * 0.004  # tracing, admission, calibration, clean answers
    assert by_each + (one - by_each) / 4 < four < 1.2 * (by_each + (one - by_each) / 4)


@pytest.fixture
def one_thread():
    """Compute by one thread: two that wait for each other on a busy machine take up to six times as much of the processor."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.long
@pytest.mark.parametrize("asked", [{}, {"draws": 4, "n_examples": None}])
def test_the_time_is_foretold(tmp_path, monkeypatch, one_thread, asked):
    """Of the processor by one thread, both: other work disturbs it less; docs/runs.md has undisturbed figures."""
    monkeypatch.setattr(module, "SAMPLED_SECONDS", 5.0)
    network, protocol = (
        load_network("digits_resnet"),
        make_protocol(["gaussian_noise", "int8_bit_flip", "quantize"], **asked),
    )
    found = forecast(network, protocol)
    started = time.process_time()
    measure_into(tmp_path, [network], protocol)
    taken = time.process_time() - started
    assert taken / 2 < found.seconds < taken * 2
