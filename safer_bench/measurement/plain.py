"""The right answer, slowly: set the weight, run the whole network in canonical arithmetic, count, restore."""

from collections.abc import Iterable, Iterator

import torch

from safer_bench.errors import BadInput, text_of
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
            BadInput: a perturbation failed, or the model did with a perturbed weight.
        """
        for probe in probes:
            perturbed, clean = self.weights.perturbed(probe), self.clean(probe.example_start, probe.n_examples)
            with self.model.weight_set(probe.layer, perturbed.weight):
                after = self._answers(probe.example_start, probe.n_examples, clean, probe)
            yield make_row(self.network, probe, perturbed, clean, after)

    def clean(self, start: int, n_examples: int) -> Answers:
        """Return the unperturbed network's answers on a slice of the evaluation examples; computed once.

        Raises:
            BadInput: the model fails on one of them.
        """
        if (start, n_examples) not in self._clean:
            self._clean[start, n_examples] = self._answers(start, n_examples)
        return self._clean[start, n_examples]

    def _answers(self, start: int, n: int, clean: Answers | None = None, probe: Probe | None = None) -> Answers:
        try:
            return self.model.answers(*self.network.examples(start, n), clean)
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            how = f"{probe.layer.name!r} perturbed by {probe.perturbation.name}:{probe.level:g}" if probe else "unperturbed"
            raise BadInput(
                f"network {self.network.name!r}, {how}: forward raised {text_of(error, typed=True):.300} on some of the {n} "
                f"examples from number {start} on; it must answer any of them with any weights, if need be by NaN: take "
                "checks of values out of forward"
            ) from error
