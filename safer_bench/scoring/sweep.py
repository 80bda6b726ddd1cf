"""Runs criteria over networks: passes shared on one copy of the model, scores checked, costs recorded."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from safer_bench.criteria.criterion import Criterion
from safer_bench.criteria.loading import criteria
from safer_bench.criteria.passes.apart import hidden_taken_apart
from safer_bench.criteria.passes.changes import ComparesLogits, Comparison
from safer_bench.criteria.passes.cost import Meter
from safer_bench.criteria.passes.gradients import mean_gradients
from safer_bench.criteria.passes.layers import Batches, set_layers
from safer_bench.criteria.passes.shared import Shared
from safer_bench.errors import BadInput, text_of
from safer_bench.networks.network import Examples, Network
from safer_bench.perturbations.perturbation import LayerFacts, Perturbation
from safer_bench.registry import error_text
from safer_bench.scoring.checks import check_untouched, checked, count_hooks, torch_as_it_was
from safer_bench.scoring.suffixes import Suffixes
from safer_bench.stream import Stream
from safer_bench.truth.area import area_of

EXAMPLES = 512
SEEN = ("", "data", "gradients", "hessian")  # by the deepest pass
STREAM = "criteria"  # aware criteria draw from a stream of their own, never from the truth's
Levels = Sequence[tuple[Perturbation, tuple[float, ...]]]


@dataclass(frozen=True, slots=True)
class Scored:
    """What a criterion said of a network, as rows of ``scores`` without dataset and split, and what it cost.

    ``needs`` is what it was seen to take: ``data``, ``gradients`` or ``hessian``; empty where it ran no pass of the model.
    """

    rows: list[dict[str, Any]]
    cost: dict[str, Any]
    needs: str = ""


def average(each: Sequence[dict[str, float]], perturbation: Perturbation, levels: tuple[float, ...]) -> dict[str, float]:
    """Average an aware criterion over levels, as the area does."""
    averages = area_of(np.array([[scores[layer] for layer in each[0]] for scores in each]), levels, perturbation.scale)
    return dict(zip(each[0], averages.tolist(), strict=True))


class Sweep:
    """Criteria on one network, sharing the passes that several of them need.

    Built-in criteria work on one copy of the model; any other gets a copy of its own and shares nothing.

    Args:
        network: the network, with calibration examples unless ``own_examples`` is given.
        batch_size: examples a pass; scores do not depend on it.
        examples: number of calibration examples.
        own_examples: inputs and labels to use, all of them, instead of calibration examples.
        first: the first calibration example; disjoint sets of them tell how far scores depend on the choice.
        suffixes: of the same network, if another sweep has some.
        entries: criteria that it will be asked for, as far as they are known: those that compare logits do so side by side.
    """

    def __init__(
        self,
        network: Network,
        *,
        batch_size: int = 64,
        examples: int = EXAMPLES,
        own_examples: Examples | None = None,
        first: int = 0,
        suffixes: Suffixes | None = None,
        entries: Sequence[Criterion] = (),
    ) -> None:
        self.network, self.batch_size, self.examples, self._first = network, batch_size, examples, first
        self._entries = [entry for entry in entries if criteria().get(entry.name) is entry]
        self._names = [layer.name for layer in network.layers]  # found before any clock runs
        self._all_given = own_examples is not None
        self._inputs, self._labels = (each.to(network.device) for each in own_examples or network.calibration)
        self.suffixes = suffixes or Suffixes(network.model, self._inputs, self._labels)
        self._meter = Meter()
        self._start()

    def _start(self) -> None:
        """Begin with the network's own weights and nothing kept."""
        self._model = self._copy()
        self._batches: dict[int, Batches] = {}
        self._shared = Shared(self._meter, self.suffixes, self._side_by_side())
        self._perturbs: dict[tuple[str, int], Callable[[str, float], np.ndarray]] = {}

    def _side_by_side(self) -> dict[int, list[Comparison]]:
        """Return the comparisons of logits that are going to be asked for, by the ``id`` of the batches they see."""
        found: dict[int, dict[Comparison, None]] = defaultdict(dict)  # one of two tracks stands in it once
        for entry in self._entries:
            if isinstance(entry.function, ComparesLogits):
                found[id(self._take(self._limit(entry)))][entry.function.comparison] = None
        return {batches: list(comparisons) for batches, comparisons in found.items()}

    def _copy(self) -> nn.Module:
        try:
            model = deepcopy(self.network.model).requires_grad_(True)  # the caller's may be frozen
        except Exception as error:
            said = f"network {self.network.name!r}: copying its model raised {text_of(error, typed=True):.300}"
            raise BadInput(f"{said}; expected one that copy.deepcopy copies, since criteria work on a copy") from error
        clones = lambda _, given: tuple(part.clone() for part in given)  # noqa: E731  the model may work in place
        model.register_forward_pre_hook(clones, prepend=True)
        self._meter.watch(model)
        set_layers(model, self.network.layers)
        return model

    def scored(self, entry: Criterion, levels: Levels) -> Scored:
        """Score the network by one criterion, an aware one for each perturbation, and say what that costs by itself.

        Args:
            entry: the criterion.
            levels: the perturbations that aware criteria are asked about, with their levels.

        Raises:
            BadInput: as in ``score``.
        """
        rows: list[dict[str, Any]] = []
        self._meter.restart()
        with self._shared.billed() as bill:
            for perturbation, level, values in self._tasks(entry, levels):
                rows += [
                    {"criterion": entry.name, "track": entry.track, "network": self.network.name, "layer": layer}
                    | {"perturbation": perturbation, "level": level, "score": value}
                    for layer, value in values.items()
                ]
        cost = {
            "criterion": entry.name,
            "network": self.network.name,
            "dataset": self.network.dataset,
            "split": self.network.split,
            "seconds": bill.cost.seconds,
            "memory": bill.cost.memory,
            "forward_equivalents": bill.cost.forwards,
        }
        return Scored(rows, cost, SEEN[self._meter.deepest])

    def _tasks(self, entry: Criterion, levels: Levels) -> Iterator[tuple[str | None, float | None, dict[str, float]]]:
        if not entry.aware:
            yield None, None, self.scores(entry)
            return
        for perturbation, its_levels in levels:
            each = [self.scores(entry, perturbation, level) for level in its_levels]
            if entry.track == "level_aware":
                yield from ((perturbation.name, level, scores) for level, scores in zip(its_levels, each, strict=True))
            else:
                yield perturbation.name, None, average(each, perturbation, its_levels)

    def scores(self, entry: Criterion, perturbation: Perturbation | None = None, level: float = 0.0) -> dict[str, float]:
        """Run a criterion once and check what it returns.

        Args:
            entry: the criterion.
            perturbation, level: what an aware one is asked about.

        Raises:
            BadInput: as in ``score``.
        """
        under = f" under {perturbation.name} at level {level:g}" if perturbation else ""
        where = f"criterion {entry.name!r} on network {self.network.name!r}{under}"
        built_in = criteria().get(entry.name) is entry
        model = self._model if built_in else self._copy()
        n_hooks = count_hooks(model)
        try:
            returned = self._call(entry, model, perturbation, level, share=built_in, where=where)
            check_untouched(model, n_hooks, self.network.model, where)
            return checked(returned, self._names, where)
        except BaseException:
            if built_in:
                self._start()  # whatever it left behind
            raise

    def _call(
        self,
        entry: Criterion,
        model: nn.Module,
        perturbation: Perturbation | None,
        level: float,
        *,
        share: bool,
        where: str,
    ) -> Any:
        """Call a criterion; where it shares, take what its twin of another track has found."""
        limit = self._limit(entry)
        try:
            with torch_as_it_was(), hidden_taken_apart(model):
                aware = self._aware(perturbation, limit, level)
                if share:
                    key = (entry.function, limit, *aware)
                    with self._shared.active():
                        return self._shared.once(key, lambda: entry.function(model, self._take(limit), *aware))
                own = [(inputs.clone(), labels.clone()) for inputs, labels in self._take(limit)]
                return entry.function(model, own, *aware)
        except (Exception, SystemExit) as error:
            raise BadInput(f"{where}: raised {error_text(error)}") from error

    def _limit(self, entry: Criterion) -> int:
        """Return how many examples a criterion sees: to measure, as many as its name says; else no more than the sweep's."""
        if entry.examples is None:
            return self.examples
        return min(entry.examples, self.examples) if entry.of_examples else entry.examples

    def _take(self, limit: int) -> Batches:
        """Return the calibration examples a criterion sees, or all of the given ones, in batches on the model's device."""
        if limit not in self._batches:
            rows = slice(None) if self._all_given else slice(self._first, self._first + limit)
            parts = (each[rows].split(self.batch_size) for each in (self._inputs, self._labels))
            self._batches[limit] = list(zip(*parts, strict=True))
        return self._batches[limit]

    def _aware(self, perturbation: Perturbation | None, limit: int, level: float) -> tuple[Any, ...]:
        """Return the arguments that an aware criterion gets beyond model and batches."""
        if perturbation is None:
            return ()
        gradients: dict[str, Tensor] = {}
        if "gradient" in perturbation.needs:
            with self._shared.active():
                gradients = mean_gradients(self._model, self._take(limit))
        key = (perturbation.name, limit)
        if key not in self._perturbs:
            self._perturbs[key] = _perturb_function(self.network, perturbation, gradients)
        return self._perturbs[key], level


def _perturb_function(
    network: Network, perturbation: Perturbation, gradients: dict[str, Tensor]
) -> Callable[[str, float], np.ndarray]:
    """Return what aware criteria call: (layer, level) -> perturbed weight, float32."""

    def perturb(name: str, level: float) -> np.ndarray:
        layer = network.layer(name)
        stream = Stream(STREAM, network.name, name, perturbation.name, float(level))
        facts = LayerFacts(layer.kind, layer.output_axis, layer.fan_in)
        gradient = gradients[name].double().cpu().numpy() if gradients else None
        return perturbation.apply(network.weight(layer), level, stream, layer=facts, gradient=gradient).weight

    return perturb
