"""Scores the layers of one network by one criterion."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from safer_bench.criteria.criterion import Criterion
from safer_bench.criteria.loading import parse_criterion
from safer_bench.errors import BadInput, text_of
from safer_bench.networks.network import Examples, Network, require_network
from safer_bench.perturbations.loading import parse_perturbation
from safer_bench.perturbations.perturbation import Perturbation
from safer_bench.scoring.sweep import EXAMPLES, Sweep, average


def score(
    spec: str | Criterion | Callable[..., dict[str, float]],
    network: Network,
    images: Tensor | np.ndarray | None = None,
    labels: Tensor | np.ndarray | None = None,
    *,
    batch_size: int = 64,
    examples: int = EXAMPLES,
    perturbation: str | Perturbation | None = None,
) -> dict[str, float]:
    """Score the layers of a network by one criterion.

    Args:
        spec: name of a criterion, ``FILE.py:FUNC``, or the function itself.
        network: the network; its model is not changed.
        images, labels: examples to use instead of the network's calibration examples; tensors or arrays.
        batch_size: examples a pass; scores do not depend on it.
        examples: number of calibration examples.
        perturbation: ``NAME[:LEVEL,...]`` or the entry, for criteria that see the perturbation.

    Returns:
        ``{layer name: score}``, higher for more sensitive.

    Raises:
        UnknownName: no criterion or perturbation has that name.
        BadInput: the criterion failed, missed a layer, was not finite or changed the model; or it needs a perturbation; or
            images and labels are no examples of this network.
    """
    require_network(network)
    entry = parse_criterion(spec)
    own_examples = None if images is None and labels is None else _own_examples(network, images, labels)
    sweep = Sweep(network, batch_size=batch_size, examples=examples, own_examples=own_examples)
    if not entry.aware:
        return sweep.scores(entry)
    if perturbation is None:
        raise BadInput(f"criterion {entry.name!r} sees the perturbation; give perturbation=NAME")
    perturbation_entry, levels = parse_perturbation(perturbation)
    return average([sweep.scores(entry, perturbation_entry, level) for level in levels], perturbation_entry, levels)


def _own_examples(network: Network, images: Tensor | np.ndarray | None, labels: Tensor | np.ndarray | None) -> Examples:
    """Return examples as a network takes them.

    Raises:
        BadInput: they are none of this network.
    """
    if images is None or labels is None:
        raise BadInput("images and labels: expected both, as many of each, or neither")
    try:
        given, classes = torch.as_tensor(images).detach(), torch.as_tensor(labels).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"images and labels: expected a tensor or array each ({text_of(error)})") from error
    if classes.ndim != 1 or classes.is_floating_point() or classes.is_complex() or classes.dtype == torch.bool:
        raise BadInput(f"labels: {classes.dtype} {tuple(classes.shape)}; expected whole numbers (n,)")
    if given.ndim == 0 or len(given) != len(classes) or len(classes) == 0:
        n = len(given) if given.ndim else 0
        raise BadInput(f"images and labels: expected both, as many of each, or neither; found {n} and {len(classes)}")
    if not given.is_floating_point() or given.shape[1:] != network.images.shape[1:]:
        shape = ", ".join(map(str, ("n", *network.images.shape[1:])))
        raise BadInput(f"images: {given.dtype} {tuple(given.shape)}; expected floating point ({shape})")
    if not bool(torch.isfinite(given).all()):
        raise BadInput("images: NaN or infinite values; expected finite ones")
    low, high = int(classes.min()), int(classes.max())
    if low < 0 or high >= network.n_classes:
        raise BadInput(f"labels: from {low} to {high}; expected 0 to {network.n_classes - 1}")
    return given.float(), classes.long()
