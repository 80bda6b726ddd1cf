"""The right answer, slowly: set the weight, run the whole network in canonical arithmetic, count, restore."""

from collections.abc import Iterable, Iterator

from safer_bench.measurement.answers.canonical import Answers, CanonicalModel
from safer_bench.measurement.design import Probe
from safer_bench.measurement.rows import Row, Weights, make_row
from safer_bench.networks.network import Network


class PlainEngine:
    """Measures probes of one network by whole forward passes: the definition of the truth, and the engine's oracle."""

    def __init__(self, network: Network, seed: int = 0) -> None:
        self.network = network
        self.weights = Weights(network, seed)
        self.model = CanonicalModel(network)
        self._clean: dict[tuple[int, int], Answers] = {}

    def measure(self, probes: Iterable[Probe]) -> Iterator[Row]:
        """Yield one row a probe, with the columns of layer_drops, losses and outcomes.

        Raises:
            BadInput: a perturbation failed.
        """
        for probe in probes:
            perturbed = self.weights.perturbed(probe)
            with self.model.weight_set(probe.layer, perturbed.weight):
                after = self.model.answers(*self.network.examples(probe.example_start, probe.n_examples))
            yield make_row(self.network, probe, perturbed, self.clean(probe.example_start, probe.n_examples), after)

    def clean(self, start: int, n_examples: int) -> Answers:
        """Return the unperturbed network's answers on a slice of the evaluation examples; computed once."""
        if (start, n_examples) not in self._clean:
            self._clean[start, n_examples] = self.model.answers(*self.network.examples(start, n_examples))
        return self._clean[start, n_examples]
