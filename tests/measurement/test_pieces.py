"""A slice that does not fit into memory at once is measured in pieces: what that costs."""

from safer_bench.measurement import fast_answers
from safer_bench.measurement.answers.replayed import ReplayedNetwork
from safer_bench.measurement.answers.tuning import Room
from safer_bench.measurement.engine import Engine
from tests.made_up.measured import probes_of
from tests.made_up.networks import small_network


def test_clean_passes_of_pieces_are_made_once_whatever_the_probes_are(monkeypatch):
    """They were made anew at every level, which took most of the time of large slices."""
    network = small_network()
    monkeypatch.setattr(fast_answers, "room_on", lambda _: Room(64e6, 8_000, 256))
    of_layer = [probe for probe in probes_of(network) if probe.layer is network.layers[0]]
    made, clean_pass = [], ReplayedNetwork.clean_pass
    monkeypatch.setattr(ReplayedNetwork, "clean_pass", lambda *args: made.append(0) or clean_pass(*args))
    times = []
    for probes in (of_layer[:1], of_layer):
        made.clear()
        assert len(list(Engine(network).measure(probes))) == len(probes)
        times.append(len(made))
    assert len({(probe.perturbation.name, probe.level) for probe in of_layer}) > 1
    assert times[0] == times[1] > 3
