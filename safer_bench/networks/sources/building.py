"""What sources of networks share: packages that have to be there, weights at random, and architectures filled by a file."""

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import nn

from safer_bench.errors import UnknownName, text_of
from safer_bench.networks.sources.checkpoint import State, fit, precision_note, read_checkpoint
from safer_bench.registry import suggestion

IMAGENET_CLASSES = 1000


def unknown(where: str, name: str, known: Iterable[str], listing: str) -> UnknownName:
    """Return the message of a name that a package does not know, with near ones."""
    return UnknownName(f"{where}: no network is called {name!r}.{suggestion(name, known)} All of them: {listing}")


def at_random(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Return what a function builds with weights drawn by a seed; the caller's random numbers go on as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def from_file(
    where: str, checkpoint: str, build: Callable[[int | None], nn.Module], classes: Callable[[State], int | None]
) -> tuple[nn.Module, tuple[str, ...]]:
    """Return an architecture filled by a checkpoint, with as many classes as its head has, and what to say of it.

    Args:
        where: the network, for messages.
        checkpoint: the file.
        build: makes the architecture with a number of classes, by default its own.
        classes: tells how many classes a checkpoint has; None for the architecture's own number.

    Raises:
        BadInput: the file is none, or of another architecture.
    """
    state = read_checkpoint(Path(checkpoint), where)
    model = build(classes(state))
    fit(model, state, where, checkpoint)
    return model, precision_note(state, where)


def said_of_weights(where: str, error: BaseException) -> str:
    """Return the message of pretrained weights that cannot be had."""
    return (
        f"{where}: its pretrained weights are not on this machine and could not be fetched ({text_of(error):.200}); give a "
        f"checkpoint, {where}@FILE, or for a trial random weights, {where}@random:0"
    )
