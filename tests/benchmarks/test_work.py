"""What rounds of the benchmark measure, and how their ratios are taken."""

from collections import Counter

import pytest

from benchmarks.contestants import Measuring
from benchmarks.timing import Timed, n_unlike, ratios, run_round, run_rounds, spread, total
from benchmarks.work import Work, chosen, pieces
from safer_bench.measurement.bands import CalibratedBands
from safer_bench.perturbations.loading import perturbations
from tests.made_up.networks import tiny_network


@pytest.fixture(scope="module")
def network():
    return tiny_network()


def probes_of(network, work, number):
    return [probe for piece in pieces(network, work, number) for probe in piece.probes]


def conditions(network, work, number):
    return Counter((probe.perturbation.name, probe.level) for probe in probes_of(network, work, number))


def test_a_round_of_the_truth_meets_every_level_of_every_perturbation_once(network):
    every = Counter((entry.name, level) for entry in perturbations().values() for level in entry.levels)
    random = Counter({key: n for key, n in every.items() if not perturbations()[key[0]].deterministic})
    for number in range(3):
        assert conditions(network, Work("truth", 5), number) == every
        assert conditions(network, Work("random", 5), number) == random


def test_rounds_give_every_layer_every_condition_in_turn(network):
    n_layers = len(network.layers)
    conditions = sum(len(entry.levels) for entry in perturbations().values())
    seen = Counter(
        (probe.layer.name, probe.perturbation.name, probe.level)
        for number in range(n_layers)
        for probe in probes_of(network, Work("truth", 5), number)
    )
    assert len(seen) == conditions * n_layers
    assert set(seen.values()) == {1}


def test_faults_are_pieces_of_their_own(network):
    for piece in pieces(network, Work("truth", 5), 0):
        assert {probe.perturbation.faulty for probe in piece.probes} == {piece.faults}
        assert len({probe.layer.name for probe in piece.probes}) == 1
    assert {piece.faults for piece in pieces(network, Work("exponent flips", 5), 0)} == {True}


def test_rounds_of_the_truth_see_other_slices_and_noise_other_draws(network):
    n_slices = len(network.labels) // 5
    starts = [{probe.example_start for probe in probes_of(network, Work("truth", 5), number)} for number in range(9)]
    assert all(len(found) == 1 for found in starts)
    assert len(set.union(*starts)) == min(9, n_slices)
    noise = [probe for number in range(3) for probe in probes_of(network, Work("noise", 5, 4, 1), number)]
    assert [probe.draw for probe in noise] == list(range(12))
    assert {probe.example_start for probe in noise} == {0}


def test_chosen_layers_have_as_many_after_them_as_the_mean():
    layers = tuple(range(22))
    assert chosen(layers, 22) == list(layers)
    assert chosen(layers, 50) == list(layers)
    assert sum(chosen(layers, 6)) / 6 == pytest.approx(sum(layers) / 22, abs=0.5)


def timed(seconds, counts=((1, 0, 1),)):
    return Timed(seconds, len(counts), [list(found) for found in counts], 100)


ROUNDS = [
    {("old", False): timed(6.0), ("old", True): timed(4.0), ("new", False): timed(3.0), ("new", True): timed(1.0)},
    {
        ("old", False): timed(8.0),
        ("old", True): timed(4.0),
        ("new", False): timed(2.0, ((1, 0, 2),)),
        ("new", True): timed(1.0),
    },
    {("old", False): timed(1.0), ("old", True): timed(4.0), ("new", False): timed(1.0), ("new", True): timed(1.0)},
]


def test_ratios_are_taken_within_rounds():
    assert ratios(ROUNDS, "old", "new", "ordinary") == [2.0, 4.0, 1.0]
    assert ratios(ROUNDS, "old", "new", "all") == [2.5, 4.0, 2.5]
    assert ratios(ROUNDS, "old", "old", "all", without="new") == [10 / 6, 12 / 9, 5 / 3]
    assert spread([2.0, 4.0, 1.0]) == "2.00 (1.00 to 4.00)"
    assert total(ROUNDS[0], "old", "all") == Timed(10.0, 2, [[1, 0, 1], [1, 0, 1]], 100)


def test_integers_that_differ_are_counted():
    assert n_unlike(ROUNDS, "old", "new", "all") == (1, 6)
    assert n_unlike(ROUNDS, "old", "new", "faults") == (0, 3)


@pytest.mark.parametrize("kind", ["truth", "noise"])
def test_what_a_run_does_once_a_layer_and_perturbation_is_prepared(network, monkeypatch, kind):
    engine, calibrated = Measuring(network, fast=False), []
    excess = CalibratedBands._excess
    noted = lambda self, replay, probe: calibrated.append(probe) or excess(self, replay, probe)  # noqa: E731
    monkeypatch.setattr(CalibratedBands, "_excess", noted)
    for number in range(2):
        probes = probes_of(network, Work(kind, 5), number)
        engine.prepare(probes)
        n_prepared = len(calibrated)
        assert len(engine.measure(probes)) == len(probes)
        assert len(calibrated) == n_prepared > 0


class Fake:
    """A contestant that notes when it was asked."""

    def __init__(self, name, log):
        self.name, self.log = name, log

    def tell(self, **message):
        self.message = message
        self.log.append((self.name, message.get("round"), message.get("piece")))

    def prepared(self):
        return [(False, 2), (True, 1)]

    def answer(self):
        return {"seconds": 1.0, "counts": [[self.message["piece"]]], "peak_bytes": 5}


def test_contestants_take_turns_piece_by_piece():
    log = []
    found = run_round({name: Fake(name, log) for name in "ab"}, dict.fromkeys("ab", Work("truth", 5)), 3)
    assert log == [("a", 3, None), ("b", 3, None), *((name, None, piece) for piece in (0, 1) for name in "ab")]
    assert found["b", False] == Timed(1.0, 2, [[0]], 5)
    assert found["b", True] == Timed(1.0, 1, [[1]], 5)


def test_rounds_end_in_time_but_two_are_run(monkeypatch):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr("benchmarks.timing.time.monotonic", lambda: next(clock))
    works, said = {"a": Work("truth", 5)}, []
    assert len(run_rounds({"a": Fake("a", [])}, works, 0.0, said.append)) == 2
    assert 3 < len(run_rounds({"a": Fake("a", [])}, works, 300.0, said.append)) < 30
    assert said[0].startswith("round 1: ")
