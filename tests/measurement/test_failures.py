"""Whatever fails in replay is a reason for whole passes; what whole passes cannot do either is named."""

import pytest

from safer_bench.errors import BadInput
from safer_bench.measurement import fast_answers
from safer_bench.measurement.answers import ladders, replayed
from safer_bench.measurement.answers.clean_pass import CleanPass
from safer_bench.measurement.answers.replay import Replay
from safer_bench.measurement.design import Probe, make_protocol
from safer_bench.measurement.engine import Engine
from safer_bench.measurement.forecast import forecast
from safer_bench.measurement.plain import PlainEngine
from safer_bench.perturbations.loading import parse_perturbation
from tests.made_up.measured import integers, network_of, own, probes_of
from tests.measurement.awkward_models import Convolutions, Vectors


@pytest.fixture(scope="module")
def network():
    return network_of(Convolutions)


def failing(monkeypatch, owner, name, n_before, error):
    """Let a function fail from some call on."""
    whole, calls = getattr(owner, name), []

    def fails(*args, **options):
        calls.append(name)
        if len(calls) > n_before:
            raise error
        return whole(*args, **options)

    monkeypatch.setattr(owner, name, fails)
    return calls


WHERE_IT_MAY_FAIL = [
    *((replayed, "trace", 0), (replayed, "fuse", 0), (Replay, "layer", 0), (Replay, "layer", 2), (Replay, "whole", 0)),
    *((CleanPass, "logits", 0), (CleanPass, "move_to", 1), (CleanPass, "move_to", 12), (Replay, "bridge", 5)),
    *((CleanPass, "run", 4), (CleanPass, "run", 9), (CleanPass, "run_some", 0), (CleanPass, "run_some", 3)),
    *((fast_answers, "settle", 0), (fast_answers, "settle", 7), (ladders, "error_ranges", 0)),
]


@pytest.mark.parametrize(("owner", "name", "n_before"), WHERE_IT_MAY_FAIL)
def test_whatever_fails_in_replay_is_a_reason_for_whole_passes(network, owner, name, n_before, monkeypatch, caplog):
    calls = failing(monkeypatch, owner, name, n_before, RuntimeError("on\npurpose"))
    probes = probes_of(network)
    expected, engine = list(PlainEngine(network).measure(probes)), Engine(network)
    assert integers(engine.measure(probes)) == integers(expected)
    assert len(calls) > n_before
    assert set(engine.reasons.values()) == {"replay raised RuntimeError: on purpose"}
    assert len(own(caplog)) == len(engine.reasons)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")])
def test_memory_that_runs_short_is_said_as_such(network, error, monkeypatch):
    failing(monkeypatch, CleanPass, "run", 9, error)
    with pytest.raises(type(error)):
        list(Engine(network).measure(probes_of(network)))


@pytest.mark.parametrize("name", ["move_to", "logits"])
def test_a_forecast_goes_on_where_replay_fails(network, name, monkeypatch):
    failing(monkeypatch, CleanPass, name, 1, RuntimeError("on purpose"))
    assert forecast(network, make_protocol(["random_zero:0.5"], 1)).seconds > 0


class ChecksItsValues(Vectors):
    def middle(self, h):
        h = super().middle(h)
        if float(h.abs().max()) > self.limit:
            raise OverflowError("out of range")
        return h


@pytest.mark.parametrize(("limit", "how"), [(30.0, "'a' perturbed by gaussian_noise:1000"), (1e-3, "unperturbed")])
def test_a_model_that_fails_under_perturbation_is_named(limit, how):
    ChecksItsValues.limit = 1e9
    network = network_of(ChecksItsValues)
    layer = network.layers[0]
    ChecksItsValues.limit = limit
    entry, _ = parse_perturbation("gaussian_noise:1000")
    for engine in (PlainEngine(network), Engine(network)):
        with pytest.raises(BadInput) as error:
            list(engine.measure([Probe(layer, entry, 1000.0, 0, 2, 30)]))
        assert str(error.value) == (
            f"network 'ChecksItsValues', {how}: forward raised OverflowError: out of range on some of the 30 examples from "
            "number 2 on; it must answer any of them with any weights, if need be by NaN: take checks of values out of forward"
        )
