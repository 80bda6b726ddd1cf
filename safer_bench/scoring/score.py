"""Scores the layers of one network by one criterion."""

from collections.abc import Callable

from torch import Tensor

from safer_bench.criteria.criterion import Criterion
from safer_bench.criteria.loading import parse_criterion
from safer_bench.errors import BadInput
from safer_bench.networks.network import Network, require_network
from safer_bench.perturbations.loading import parse_perturbation
from safer_bench.perturbations.perturbation import Perturbation
from safer_bench.scoring.sweep import EXAMPLES, Sweep, average


def score(
    spec: str | Criterion | Callable[..., dict[str, float]],
    network: Network,
    images: Tensor | None = None,
    labels: Tensor | None = None,
    *,
    batch_size: int = 64,
    examples: int = EXAMPLES,
    perturbation: str | Perturbation | None = None,
) -> dict[str, float]:
    """Score the layers of a network by one criterion.

    Args:
        spec: name of a criterion, ``FILE.py:FUNC``, or the function itself.
        network: the network; its model is not changed.
        images, labels: examples to use instead of the network's calibration examples.
        batch_size: examples a pass; scores do not depend on it.
        examples: number of calibration examples.
        perturbation: ``NAME[:LEVEL,...]`` or the entry, for criteria that see the perturbation.

    Returns:
        ``{layer name: score}``, higher for more sensitive.

    Raises:
        UnknownName: no criterion or perturbation has that name.
        BadInput: the criterion failed, missed a layer, was not finite or changed the model; or it needs a perturbation.
    """
    require_network(network)
    entry = parse_criterion(spec)
    own_examples = None if images is None or labels is None else (images, labels)
    if (own_examples is None and images is not labels) or (own_examples and len(own_examples[0]) != len(own_examples[1])):
        raise BadInput("images and labels: expected both, as many of each, or neither")
    sweep = Sweep(network, batch_size=batch_size, examples=examples, own_examples=own_examples)
    if not entry.aware:
        return sweep.scores(entry)
    if perturbation is None:
        raise BadInput(f"criterion {entry.name!r} sees the perturbation; give perturbation=NAME")
    perturbation_entry, levels = parse_perturbation(perturbation)
    return average([sweep.scores(entry, perturbation_entry, level) for level in levels], perturbation_entry, levels)
