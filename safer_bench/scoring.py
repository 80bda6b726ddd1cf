"""Runs criteria over networks: a copy of the model for each, scores checked, costs recorded."""

import math
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from safer_bench import schema
from safer_bench.area import area_weights
from safer_bench.criteria import Criterion, parse_criterion
from safer_bench.criteria.entry import Batches, mean_gradients
from safer_bench.errors import BadInput
from safer_bench.files import check_writable
from safer_bench.networks import Network
from safer_bench.perturbations import Perturbation, parse_perturbation
from safer_bench.perturbations.entry import LayerFacts
from safer_bench.perturbations.stream import Stream
from safer_bench.submission import SubmissionCard, write_submission

EXAMPLES = 512
STREAM = "criteria"  # aware criteria draw from a stream of their own, never from the truth's
Levels = Sequence[tuple[Perturbation, tuple[float, ...]]]


@dataclass(frozen=True, slots=True)
class Scored:
    """What a criterion said of a network, as rows of ``scores`` without dataset and split, and what it cost."""

    rows: list[dict[str, Any]]
    cost: dict[str, Any]


def score(
    spec: str,
    network: Network,
    images: Tensor | None = None,
    labels: Tensor | None = None,
    *,
    batch_size: int = 64,
    examples: int = EXAMPLES,
    perturbation: str | None = None,
) -> dict[str, float]:
    """Score the layers of a network by one criterion.

    Args:
        spec: name of a criterion, or ``FILE.py:FUNC``.
        network: the network; its model is not changed.
        images, labels: examples to use instead of the network's probe examples.
        batch_size: examples a pass; scores do not depend on it.
        examples: number of probe examples.
        perturbation: ``NAME``, for criteria that see the perturbation.

    Returns:
        ``{layer name: score}``, higher for more sensitive.

    Raises:
        UnknownName: no criterion or perturbation has that name.
        BadInput: the criterion failed, missed a layer, was not finite or changed the model; or it needs a perturbation.
    """
    entry = parse_criterion(spec)
    part = None if images is None or labels is None else (images, labels)
    if (part is None and images is not labels) or (part and len(part[0]) != len(part[1])):
        raise BadInput("images and labels: expected both, as many of each, or neither")
    batches = _batches(network, entry, examples, batch_size, part)
    if not entry.aware:
        return _run(entry, network, batches)
    if perturbation is None:
        raise BadInput(f"criterion {entry.name!r} sees the perturbation; give perturbation=NAME")
    return _aware_scores(entry, network, batches, *parse_perturbation(perturbation))


def score_network(
    entry: Criterion, network: Network, levels: Levels, *, batch_size: int = 64, examples: int = EXAMPLES
) -> Scored:
    """Score a network by one criterion, an aware one for each perturbation.

    Args:
        entry: the criterion.
        network: the network, with probe examples.
        levels: the perturbations that aware criteria are asked about, with their levels.
        batch_size, examples: as in ``score``.

    Raises:
        BadInput: as in ``score``.
    """
    started, counter = time.perf_counter(), _ForwardCounter()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    batches = _batches(network, entry, examples, batch_size, None)
    rows: list[dict[str, Any]] = []
    for perturbation, values in _tasks(entry, network, batches, levels, counter):
        rows += [
            {"criterion": entry.name, "track": entry.track, "network": network.name, "layer": layer, "score": value}
            | {"perturbation": perturbation, "level": None}
            for layer, value in values.items()
        ]
    cost = {
        "criterion": entry.name,
        "network": network.name,
        "dataset": network.dataset,
        "split": network.split,
        "seconds": time.perf_counter() - started,
        "memory": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024,
        "forward_equivalents": counter.total,
    }
    return Scored(rows, cost)


def _tasks(
    entry: Criterion, network: Network, batches: Batches, levels: Levels, counter: "_ForwardCounter"
) -> Iterator[tuple[str | None, dict[str, float]]]:
    if not entry.aware:
        yield None, _run(entry, network, batches, counter=counter)
        return
    for perturbation, chosen in levels:
        yield perturbation.name, _aware_scores(entry, network, batches, perturbation, chosen, counter)


def _batches(network: Network, entry: Criterion, examples: int, batch_size: int, part: Any) -> Batches:
    """Return the probe examples that a criterion sees, or all of the given ones, in batches on the model's device."""
    images, labels = (tensor.to(network.device) for tensor in (network.probe if part is None else part))
    if part is None:
        images, labels = images[: entry.examples or examples], labels[: entry.examples or examples]
    return list(zip(images.split(batch_size), labels.split(batch_size), strict=True))


def _aware_scores(
    entry: Criterion,
    network: Network,
    batches: Batches,
    perturbation: Perturbation,
    levels: tuple[float, ...],
    counter: "_ForwardCounter | None" = None,
) -> dict[str, float]:
    """Average an aware criterion over levels, as the area does."""
    perturb = _perturb_function(network, perturbation, batches, counter)
    each = [_run(entry, network, batches, perturb, level, counter=counter) for level in levels]
    weights = area_weights(np.array(levels), perturbation.scale)
    return {layer: float(sum(w * found[layer] for w, found in zip(weights, each, strict=True))) for layer in each[0]}


def _perturb_function(
    network: Network, perturbation: Perturbation, batches: Batches, counter: "_ForwardCounter | None"
) -> Callable[[str, float], np.ndarray]:
    gradients: dict[str, np.ndarray] = {}
    if "gradient" in perturbation.needs:
        model = deepcopy(network.model)
        if counter:
            counter.watch(model)
        found = mean_gradients(model, batches)
        gradients = {name: gradient.double().cpu().numpy() for name, gradient in found.items()}

    def perturb(name: str, level: float) -> np.ndarray:
        layer = network.layer(name)
        stream = Stream(STREAM, network.name, name, perturbation.name, float(level))
        facts = LayerFacts(layer.kind, layer.output_axis, layer.fan_in)
        return perturbation.apply(network.weight(layer), level, stream, layer=facts, gradient=gradients.get(name)).weight

    return perturb


def _run(
    entry: Criterion, network: Network, batches: Batches, *aware: Any, counter: "_ForwardCounter | None" = None
) -> dict[str, float]:
    """Run a criterion on a copy of the model and check what it returns."""
    model = deepcopy(network.model)
    where = f"criterion {entry.name!r} on network {network.name!r}"
    handles = counter.watch(model) if counter else []
    try:
        found = entry.function(model, batches, *aware)
    except Exception as error:
        raise BadInput(f"{where}: raised {type(error).__name__}: {error}") from error
    finally:
        for handle in handles:
            handle.remove()
    _check_unchanged(model, network.model, where)
    return _checked(found, network, where)


def _checked(found: Any, network: Network, where: str) -> dict[str, float]:
    names = [layer.name for layer in network.layers]
    if not isinstance(found, dict) or set(found) != set(names):
        given = set(found) if isinstance(found, dict) else set()
        detail = f"; missing {sorted(set(names) - given)[:3]}, unknown {sorted(map(str, given - set(names)))[:3]}"
        raise BadInput(f"{where}: expected one score for each of the {len(names)} layers{detail}")
    try:
        scores = {name: float(found[name]) for name in names}
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"{where}: a score is no number ({error})") from error
    bad = [name for name, value in scores.items() if not math.isfinite(value)]
    if bad:
        raise BadInput(f"{where}: the score of layer {bad[0]!r} is {scores[bad[0]]}; expected a finite number")
    return scores


def _check_unchanged(model: nn.Module, original: nn.Module, where: str) -> None:
    before, after = original.state_dict(), model.state_dict()
    changed = [key for key in before if key not in after or not torch.equal(before[key], after[key])]
    if changed:
        raise BadInput(f"{where}: changed the model ({changed[0]}); restore every weight before returning")


class _ForwardCounter:
    """Counts passes in units of one example's forward pass; a backward pass counts as two."""

    def __init__(self) -> None:
        self.total = 0.0

    def watch(self, model: nn.Module) -> list[Any]:
        """Count this model's passes until the returned handles are removed."""

        def count(_: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
            self.total += len(args[0])
            if output.requires_grad:
                output.register_hook(lambda gradient: self._count_backward(len(gradient)))

        return [model.register_forward_hook(count)]

    def _count_backward(self, n_examples: int) -> None:
        self.total += 2.0 * n_examples


def write_scores(
    out: Path,
    specs: Sequence[str],
    networks: Sequence[Network],
    levels: Levels,
    report: Callable[[str, int, int], None] = lambda *_: None,
) -> None:
    """Score networks by criteria and write a submission: scores, costs and card.

    Args:
        out: its folder; its last part is the submission's name.
        specs: names of criteria, or ``FILE.py:FUNC``.
        networks: networks with probe examples.
        levels: the perturbations that aware criteria are asked about.
        report: called with (step, done, total).

    Raises:
        UnknownName: no criterion has that name.
        BadInput: a criterion failed, or the folder cannot be written to; nothing was written.
    """
    entries = [parse_criterion(spec) for spec in specs]
    card = _card(out.resolve().name, entries, networks)
    check_writable(out)
    rows, costs, total = [], [], len(entries) * len(networks)
    for i, (network, entry) in enumerate((network, entry) for network in networks for entry in entries):
        report(f"scoring {network.name} {entry.name}", i, total)
        found = score_network(entry, network, levels)
        rows += [row | {"dataset": network.dataset, "split": network.split} for row in found.rows]
        costs.append(found.cost)
    write_submission(out, card, schema.build("scores", rows), schema.build("costs", costs))


def _card(name: str, entries: Sequence[Criterion], networks: Sequence[Network]) -> SubmissionCard:
    facts = ("name", "track", "needs", "formula", "source")
    criteria = [{fact: getattr(entry, fact) for fact in facts} for entry in entries]
    weights = {network.name: network.weights_sha256 for network in networks}
    try:
        return SubmissionCard.model_validate({"name": name, "criteria": criteria, "weights": weights})
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(f"{'.'.join(map(str, first['loc']))} {first['input']!r}: {first['msg']}") from error
