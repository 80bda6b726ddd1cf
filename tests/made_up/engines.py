"""An engine whose times are known: what it does moves a clock of its own."""

from safer_bench.measurement.sample import shares


class TimedEngine:
    """Takes a while for whatever a real one does, once a network, a layer, a slice, a layer on a slice, and a probe.

    Attributes:
        now: seconds, of all engines.
    """

    now = 0.0

    def __init__(self, network, seed=0, *, fast=False):
        self.network, self._shares = network, shares(network)
        self._known, self._at = set(), None

    def _once(self, what, seconds):
        if what not in self._known:
            self._known.add(what)
            TimedEngine.now += seconds

    def replay(self, layer):
        self._once("trace", 8.0)
        self._once(("admission", layer.name), 0.3)

    def clean(self, start, n_examples):
        self._once((start, n_examples), 0.01 + 0.004 * n_examples)

    def measure(self, probes):
        for probe in probes:
            self.clean(probe.example_start, probe.n_examples)
            self.replay(probe.layer)
            place = (probe.example_start, probe.n_examples)
            if self._at is None or self._at[0] != place:
                TimedEngine.now += 0.05 + 0.003 * probe.n_examples
                self._at = (place, None)
            if self._at[1] != probe.layer.name:
                TimedEngine.now += 0.02 + 0.0005 * probe.n_examples
                self._at = (place, probe.layer.name)
            share = self._shares[probe.layer.index]
            self._once(("calibration", probe.layer.name, probe.perturbation.name), 0.2 + 0.4 * share)
            TimedEngine.now += 0.004 + probe.n_examples * (0.00001 + 0.0002 * share)
            yield {}
