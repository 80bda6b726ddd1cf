"""Evaluation and calibration examples: what is wrong with them, found before anything is measured."""

from collections import Counter
from hashlib import sha256
from math import lgamma, log, sqrt
from typing import Any

import numpy as np
import torch

from safer_bench.errors import BadInput
from safer_bench.networks.inputs import Inputs, named_parts, parts_of
from safer_bench.networks.reading import is_reader, read_examples
from safer_bench.networks.tensors import inputs_as_tensors, labels_as_tensor, refuse_pairs

Examples = tuple[Any, torch.Tensor]  # inputs of n examples (a float32 tensor, or Inputs), labels (n, ...) int64
NOT_COUNTED = -100  # label of a position that has no answer
FEWEST_IN_ORDER = 20  # of fewer labels an order says little
BY_CHANCE = 1e-4  # rarer orders than this are taken for no chance
LONG_RUN = 5  # neighbours of one class, on average, from which probes of consecutive examples see few classes
SHARED = 0.01  # share of the calibration images that may be evaluation images too: exact duplicates of a data set


def counted(labels: torch.Tensor) -> np.ndarray:
    """Return the labels ``(n_answers,)`` of the answers that count, example by example, positions in their order."""
    return labels[labels != NOT_COUNTED].numpy()


def checked_examples(inputs: Any, labels: Any, where: str, *, in_any_order: bool = False) -> Examples:
    """Return inputs, floating point ones as float32, and labels as int64 ``(n, ...)``, in main memory.

    Args:
        inputs: see ``inputs_as_tensors``, or what holds inputs and labels together (``reading``), without labels.
        labels: see ``labels_as_tensor``.
        where: network and part, for messages.
        in_any_order: also in the order of their classes.

    Raises:
        BadInput: they are something else, do not match, or stand in the order of their classes.
    """
    if is_reader(inputs):
        if labels is not None:
            raise BadInput(f"network {where}: labels beside a {type(inputs).__name__}, which holds its own; give it alone")
        inputs, labels = read_examples(inputs, where)
    for given in (inputs, labels):
        refuse_pairs(given, where)
    if labels is None:
        raise BadInput(f"network {where}: no labels; expected as many as inputs, or a DataLoader or Dataset of both")
    given, labels = labels, labels_as_tensor(labels, where)
    inputs = inputs_as_tensors(inputs, given, len(labels), where)
    for name, part in named_parts(inputs):
        if len(part) != len(labels) or len(labels) == 0:
            what = "images" if isinstance(inputs, torch.Tensor) else f"examples of {name}"
            raise BadInput(f"network {where}: {len(part)} {what} and {len(labels)} labels; expected as many, at least one")
    if not bool((labels != NOT_COUNTED).any()):
        raise BadInput(
            f"network {where}: all labels are {NOT_COUNTED}, which is not counted; expected a class wherever the network's "
            "answer is judged"
        )
    if labels.ndim == 1 and bool((labels == NOT_COUNTED).any()):
        raise BadInput(
            f"network {where}: {int((labels == NOT_COUNTED).sum())} labels are {NOT_COUNTED}, which is not counted; "
            "expected a class of each example: leave the others out"
        )
    if labels.ndim == 1 and not in_any_order and are_grouped(labels):
        raise BadInput(
            f"network {where}: the examples are in the order of their classes, so that a probe, which sees consecutive "
            "ones, would see a few classes only; shuffle images and labels alike: order = torch.randperm(len(labels))"
        )
    return inputs, labels


def are_grouped(labels: torch.Tensor) -> bool:
    """Tell whether labels come class by class, in whichever order of classes, or in long stretches of one class each.

    Labels in random order are taken for grouped less than once in 10,000 times, whatever their classes' sizes: each class in
    one piece has an exact probability, n_classes! x product(n_c!) / n!; of fewer stretches of one class than chance makes,
    McDiarmid's inequality bounds it, exp(-missing^2 / (8 n)), as two labels that change places make or end four at most.
    """
    n, counts = len(labels), torch.unique(labels, return_counts=True)[1].tolist()
    if n < FEWEST_IN_ORDER or len(counts) == 1:
        return False
    runs = 1 + int((labels[1:] != labels[:-1]).sum())
    if runs == len(counts):
        return lgamma(len(counts) + 1) + sum(lgamma(count + 1) for count in counts) - lgamma(n + 1) < log(BY_CHANCE)
    missing = n + 1 - sum(count**2 for count in counts) / n - runs
    return runs * LONG_RUN <= n and missing > sqrt(8 * n * -log(BY_CHANCE))


def checked_calibration(calibration: Any, evaluation: Examples, name: str) -> Examples:
    """Return calibration examples, of the evaluation examples' shape, and others than these.

    Raises:
        BadInput: they are no pair of inputs and labels, of another shape, or evaluation examples.
    """
    where = f"{name}, calibration"
    if is_reader(calibration):
        calibration = (calibration, None)
    if not isinstance(calibration, tuple | list) or len(calibration) != 2:
        refuse_pairs(calibration, where)
        raise BadInput(f"network {where}: a {type(calibration).__name__}; expected (inputs, labels)")
    inputs, labels = checked_examples(calibration[0], calibration[1], where)
    check_alike(inputs, evaluation[0], where)
    n_shared, allowed = shared_inputs(inputs, evaluation[0])
    if n_shared > allowed:
        raise BadInput(
            f"network {where}: {n_shared} of {len(inputs)} are evaluation examples, so that criteria would see what they "
            "are judged by; give others of the same kind"
        )
    return inputs, labels


def check_alike(inputs: Any, others: Any, where: str) -> None:
    """Refuse inputs that differ from others in more than the number of examples.

    Raises:
        BadInput: they do.
    """
    found, expected = ({name: _form(part) for name, part in named_parts(each)} for each in (inputs, others))
    if found != expected and isinstance(inputs, torch.Tensor) and isinstance(others, torch.Tensor):
        shapes = tuple(inputs.shape[1:]), tuple(others.shape[1:])
        raise BadInput(f"network {where}: images of shape {shapes[0]}; expected {shapes[1]}, that of the evaluation images")
    if found != expected:
        raise BadInput(f"network {where}: {_told(found)}; expected {_told(expected)}, as the evaluation examples have them")


def _form(part: torch.Tensor) -> tuple[Any, ...]:
    return tuple(part.shape[1:]) if part.is_floating_point() else (*part.shape[1:], str(part.dtype))


def _told(forms: dict[str, tuple[Any, ...]]) -> str:
    return ", ".join(f"{name} of {form}" for name, form in forms.items())


def shared_inputs(calibration: Any, evaluation: Any) -> tuple[int, int]:
    """Return how many calibration examples are evaluation examples too, and how many may be by accident (-1: none).

    Data sets hold exact duplicates, and images of few values repeat: one in a hundred may be there, at least one, and as
    large a share as evaluation images repeat each other; but not all of them. Images of one value everywhere count as none.
    """
    mine, theirs = _digests(calibration), Counter(_digests(evaluation))
    n_shared = sum(each in theirs for each in mine if each)
    repeated = sum(count for each, count in theirs.items() if each and count > 1) / max(len(evaluation), 1)
    allowed = max(1, int(len(mine) * max(SHARED, repeated)))
    n_blank = mine.count(b"")
    whole = n_blank <= n_shared == len(mine) - n_blank and (repeated < 0.5 or Counter(mine) == theirs)
    return n_shared, -1 if whole else allowed


def _digests(inputs: torch.Tensor | Inputs) -> list[bytes]:
    """Return a digest of each example; an empty one where all values of each of its parts are alike."""
    rows = [part.flatten(1).contiguous().numpy() if part.ndim > 1 else part.numpy()[:, None] for part in parts_of(inputs)]
    blank = np.all([(part == part[:, :1]).all(1) & (part.shape[1] > 1) for part in rows], axis=0)
    whole = [b"".join(part[i].tobytes() for part in rows) for i in range(len(blank))]
    return [b"" if alike else sha256(each).digest() for each, alike in zip(whole, blank, strict=True)]


def largest_class(labels: torch.Tensor) -> float:
    """Return the share of counted labels that the most frequent class has: what always answering it gets right."""
    answers = labels[labels != NOT_COUNTED]
    return float(torch.bincount(answers).max()) / len(answers)
