"""Scores the layers of one network by one criterion."""

from collections.abc import Callable

from safer_bench.criteria.criterion import Criterion, check_sees_perturbation
from safer_bench.criteria.loading import parse_criterion
from safer_bench.errors import BadInput
from safer_bench.networks.examples import check_alike, checked_examples, counted
from safer_bench.networks.inputs import Given
from safer_bench.networks.network import Examples, Network, require_network
from safer_bench.perturbations.loading import parse_perturbation
from safer_bench.perturbations.perturbation import Perturbation
from safer_bench.scoring.sweep import EXAMPLES, Sweep, average


def score(
    spec: str | Criterion | Callable[..., dict[str, float]],
    network: Network,
    inputs: Given | None = None,
    labels: Given | None = None,
    *,
    batch_size: int = 64,
    examples: int = EXAMPLES,
    perturbation: str | Perturbation | None = None,
) -> dict[str, float]:
    """Score the layers of a network by one criterion.

    Args:
        spec: name of a criterion, ``FILE.py:FUNC``, or the function itself.
        network: the network; its model is not changed.
        inputs, labels: examples to use instead of the network's calibration examples, as ``Network`` takes them.
        batch_size: examples a pass; scores do not depend on it.
        examples: number of calibration examples.
        perturbation: ``NAME[:LEVEL,...]`` or the entry, for criteria that see the perturbation, and for no other.

    Returns:
        ``{layer name: score}``, higher for more sensitive.

    Raises:
        UnknownName: no criterion or perturbation has that name.
        BadInput: the criterion failed, missed a layer, was not finite or changed the model; or it needs a perturbation, or
            takes none; or inputs and labels are no examples of this network.
    """
    require_network(network)
    entry = parse_criterion(spec)
    own_examples = None if inputs is None and labels is None else _own_examples(network, inputs, labels)
    sweep = Sweep(network, batch_size=batch_size, examples=examples, own_examples=own_examples)
    if perturbation is not None:
        check_sees_perturbation([entry])
    if not entry.aware:
        return sweep.scores(entry)
    if perturbation is None:
        raise BadInput(f"criterion {entry.name!r} sees the perturbation; give perturbation=NAME")
    perturbation_entry, levels = parse_perturbation(perturbation)
    return average([sweep.scores(entry, perturbation_entry, level) for level in levels], perturbation_entry, levels)


def _own_examples(network: Network, inputs: Given | None, labels: Given | None) -> Examples:
    """Return examples as a network takes them.

    Raises:
        BadInput: they are none of this network.
    """
    if inputs is None or labels is None:
        raise BadInput("inputs and labels: expected both, as many of each, or neither")
    where = f"{network.name}, examples given to a criterion"
    given, classes = checked_examples(inputs, labels, where, in_any_order=True)
    check_alike(given, network.inputs, where)
    answers = counted(classes)
    if answers.min() < 0 or answers.max() >= network.n_classes:
        found = f"labels from {answers.min()} to {answers.max()}"
        raise BadInput(f"network {where}: {found}; expected 0 to {network.n_classes - 1}")
    return given, classes
