"""How far fast arithmetic is off with a layer perturbed, beside without: found once a layer and perturbation."""

from collections.abc import Iterator

import numpy as np

from safer_bench.measurement.answers.arithmetics import BFLOAT16, FLOAT32, GUARDED
from safer_bench.measurement.answers.ladders import Clean, Ladders
from safer_bench.measurement.answers.precision import exact_float32
from safer_bench.measurement.answers.replay import LayerReplay
from safer_bench.measurement.answers.replayed import ReplayedNetwork
from safer_bench.measurement.answers.settle import by_example, comparable, error_spreads
from safer_bench.measurement.design import Probe
from safer_bench.measurement.rows import Weights

N_CALIBRATED = 8  # examples of which each arithmetic is compared with the next one
N_NARROW = 64  # of bfloat16, whose errors are what its band has to tell

Excess = dict[str, float]  # arithmetic -> largest spread with perturbation / largest without


class CalibratedBands:
    """Bands as multiples of the spread that an arithmetic's error has without perturbation.

    The multiple is found on the first evaluation examples, by the first draw of a perturbation at its mildest, middle
    and severest level; of a level that the perturbation does not declare, at that level itself.

    Args:
        replayed: the network.
        weights: makes its perturbed weights.
    """

    def __init__(self, replayed: ReplayedNetwork, weights: Weights) -> None:
        self._ladders, self._weights = Ladders(replayed), weights
        wanted = N_NARROW if replayed.narrow else N_CALIBRATED
        self._n = min(wanted, len(replayed.network.labels))
        self._known: dict[tuple[str, str, float | None], Excess] = {}

    def widths(self, replay: LayerReplay, probe: Probe, clean: Clean) -> dict[str, float]:
        """Return the band of each arithmetic for a probe's layer, perturbation and level.

        Args:
            replay: of the layer.
            probe: its draw does not matter.
            clean: the unperturbed network on the probe's examples.
        """
        level = None if probe.level in probe.perturbation.levels else probe.level
        key = probe.layer.name, probe.perturbation.name, level
        if key not in self._known:
            self._known[key] = self._excess(replay, probe)
        calibrated, widths = self._ladders.clean(0, self._n), {}
        for trust in (FLOAT32, GUARDED, BFLOAT16):
            if trust.name in clean.spreads:
                spread = max(clean.spread(trust.name), calibrated.spread(trust.name))
                widths[trust.name] = max(trust.least, trust.factor * self._known[key].get(trust.name, 0.0)) * spread
        return widths

    def _excess(self, replay: LayerReplay, probe: Probe) -> Excess:
        clean, found = self._ladders.clean(0, self._n), Excess()
        for level in _levels(probe):
            chosen = Probe(probe.layer, probe.perturbation, level, 0, 0, self._n)
            for name, largest in self._largest(replay, chosen):
                ratio = largest / max(clean.spread(name), np.finfo(np.float64).tiny)
                found[name] = max(found.get(name, 0.0), ratio)
        return found

    def _largest(self, replay: LayerReplay, probe: Probe) -> Iterator[tuple[str, float]]:
        """Yield the largest spread of each arithmetic's error beside the next one's, where any logits are finite."""
        typical = self._ladders.replayed.typical
        weight, masked = self._weights.perturbed(probe).weight, self._ladders.clean(0, self._n).answers.masked
        with exact_float32():
            ladder, rows = self._ladders.ladder(replay, probe.layer, weight, 0, self._n), np.arange(self._n)
            logits = [rung.logits(rows) for rung in ladder[:-1]] + [ladder[-1].logits(rows[:N_CALIBRATED])]
        for rung, *both in zip(ladder, logits, logits[1:], strict=False):
            n = min(map(len, both))
            found, better = (comparable(each[:n], None if masked is None else masked[:n]) for each in both)
            usable = ~by_example(~(np.isfinite(found) & np.isfinite(better)))
            if usable.any():
                yield rung.trust.name, float(error_spreads(found[usable], better[usable], typical).max())


def _levels(probe: Probe) -> list[float]:
    declared = probe.perturbation.levels
    if probe.level not in declared:
        return [probe.level]
    return sorted({declared[0], declared[len(declared) // 2], declared[-1]})
