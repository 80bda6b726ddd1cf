"""What sources of networks share: weights at random, of a file, or pretrained."""

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import nn

from safer_bench.errors import MissingData, UnknownName, text_of
from safer_bench.networks.sources.checkpoint import State, fit, precision_note, read_checkpoint
from safer_bench.networks.sources.named import random_seed
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


def built(
    checkpoint: str | None,
    where: str,
    build: Callable[[int | None], nn.Module],
    n_classes_of_data: Callable[[], int | None],
    classes_in: Callable[[State, nn.Module], int | None],
    pretrained: Callable[[], nn.Module],
) -> tuple[nn.Module, tuple[str, ...]]:
    """Return a network with its weights, float32 and in evaluation mode, and what to say of them.

    Args:
        checkpoint: a file, ``random:SEED``, or None for pretrained weights.
        where: the network, for messages.
        build: makes the architecture with a number of classes, by default its own.
        n_classes_of_data: how many classes a head at random gets.
        classes_in: tells how many classes a checkpoint has, from its state and the architecture with its own number;
            None for that number.
        pretrained: makes the network with pretrained weights.

    Raises:
        BadInput: the checkpoint is none, or of another architecture.
        MissingData: the pretrained weights are not to be had.
    """
    notes: tuple[str, ...] = ()
    if checkpoint is None:
        try:
            model = pretrained()
        except Exception as error:  # offline, no route, not found, a broken file
            raise MissingData(said_of_weights(where, error)) from error
        notes = precision_note(model.state_dict(), where)
    elif (seed := random_seed(checkpoint, where)) is not None:
        model = at_random(lambda: build(n_classes_of_data()), seed)
    else:
        state = read_checkpoint(Path(checkpoint), where)
        model = build(classes_in(state, build(None)))
        fit(model, state, where, checkpoint)
        notes = precision_note(state, where)
    return model.float().eval(), notes


def said_of_weights(where: str, error: BaseException) -> str:
    """Return the message of pretrained weights that cannot be had."""
    return (
        f"{where}: its pretrained weights are not on this machine and could not be fetched ({text_of(error):.200}); give a "
        f"checkpoint, {where}@FILE, or for a trial random weights, {where}@random:0"
    )
