"""Evaluation and calibration examples: what is wrong with them, found before anything is measured."""

from collections import Counter
from hashlib import sha256
from math import lgamma, log, sqrt
from typing import Any

import torch

from safer_bench.errors import BadInput
from safer_bench.networks.tensors import images_as_tensor, labels_as_tensor, refuse_pairs

Examples = tuple[torch.Tensor, torch.Tensor]  # images (n, ...) float32, labels (n,) int64
NOT_COUNTED = -100  # a label that is no answer, as torch's losses ignore it
FEWEST_IN_ORDER = 20  # of fewer labels an order says little
BY_CHANCE = 1e-4  # rarer orders than this are taken for no chance
LONG_RUN = 5  # neighbours of one class, on average, from which probes of consecutive examples see few classes
SHARED = 0.01  # share of the calibration images that may be evaluation images too: exact duplicates of a data set


def checked_examples(images: Any, labels: Any, where: str) -> Examples:
    """Return images as float32 ``(n, ...)`` and labels as int64 ``(n,)``, in main memory.

    Args:
        images: see ``images_as_tensor``.
        labels: see ``labels_as_tensor``.
        where: network and part, for messages.

    Raises:
        BadInput: they are something else, do not match, or stand in the order of their classes.
    """
    for given in (images, labels):
        refuse_pairs(given, where)
    given, labels = labels, labels_as_tensor(labels, where)
    images = images_as_tensor(images, given, len(labels), where)
    if len(images) != len(labels) or len(labels) == 0:
        raise BadInput(f"network {where}: {len(images)} images and {len(labels)} labels; expected as many, at least one")
    if are_grouped(labels):
        raise BadInput(
            f"network {where}: the examples are in the order of their classes, so that a probe, which sees consecutive "
            "ones, would see a few classes only; shuffle images and labels alike: order = torch.randperm(len(labels))"
        )
    return images, labels


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
        BadInput: they are no pair of images and labels, of another shape, or evaluation examples.
    """
    where = f"{name}, calibration"
    if not isinstance(calibration, tuple | list) or len(calibration) != 2:
        refuse_pairs(calibration, where)
        raise BadInput(f"network {where}: a {type(calibration).__name__}; expected (images, labels)")
    images, labels = checked_examples(calibration[0], calibration[1], where)
    if images.shape[1:] != evaluation[0].shape[1:]:
        found, expected = tuple(images.shape[1:]), tuple(evaluation[0].shape[1:])
        raise BadInput(f"network {where}: images of shape {found}; expected {expected}, that of the evaluation images")
    n_shared, allowed = shared_images(images, evaluation[0])
    if n_shared > allowed:
        raise BadInput(
            f"network {where}: {n_shared} of {len(images)} are evaluation examples, so that criteria would see what they "
            "are judged by; give others of the same kind"
        )
    return images, labels


def shared_images(calibration: torch.Tensor, evaluation: torch.Tensor) -> tuple[int, int]:
    """Return how many calibration images are evaluation images too, and how many may be by accident (-1: none).

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


def _digests(images: torch.Tensor) -> list[bytes]:
    """Return a digest of each image; an empty one where all its values are alike."""
    rows = images.flatten(1).contiguous().numpy()
    blank = (rows == rows[:, :1]).all(1) if rows.shape[1] > 1 else [False] * len(rows)
    return [b"" if alike else sha256(row.data).digest() for row, alike in zip(rows, blank, strict=True)]


def unequal_classes(labels: torch.Tensor, n_classes: int) -> str:
    """Return what to say of classes so unequal that a constant answer keeps half of the accuracy above 1 / classes.

    Empty where they are not.
    """
    counts = torch.bincount(labels, minlength=n_classes)
    largest, share, even = int(counts.argmax()), float(counts.max()) / len(labels), 1 / n_classes
    if share - even < (1 - even) / 2:
        return ""
    return (
        f"class {largest} holds {share:.0%} of the {len(labels)} evaluation examples: answering it always is right on "
        f"{share:.0%}, while chance counts as {even:.0%} (1 / classes), so that a network which can no longer tell the "
        "classes apart loses little; choose examples of more equal classes to see it"
    )
