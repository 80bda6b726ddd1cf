"""What ``--fast`` comes to on this machine: in which arithmetic a network's answers are sought first, and why."""

import torch

from safer_bench.measurement.answers.arithmetics import BFLOAT16
from safer_bench.measurement.answers.precision import exact_float32
from safer_bench.measurement.answers.replay import cast
from safer_bench.measurement.answers.replayed import ReplayedNetwork
from safer_bench.measurement.answers.tuning import seconds
from safer_bench.measurement.engine import Engine

IN_BOTH = BFLOAT16.n_sample + BFLOAT16.n_suspects  # examples of a level that are run in float32 as well, for its band
FEW = 2 * IN_BOTH


def first_arithmetic(engine: Engine, n_examples: int) -> str:
    """Say which arithmetic comes first for a network, before it is measured; the engine is made ready for that.

    Args:
        engine: a fast one.
        n_examples: that a probe sees.
    """
    answers = engine.fast_answers
    if answers is None:
        return f"float64 alone, by whole forward passes: {engine.reasons['']}"
    if not answers.replayed.narrow:
        card = engine.network.device.type != "cpu"
        return f"float32 alone: bfloat16 is no faster on this {'card' if card else 'processor'}"
    times = speedup(answers.replayed)
    found = f"bfloat16 first: {f'{times:.1f} times' if times >= 1.05 else 'about'} as fast as float32 here on a clean batch"
    if n_examples > FEW:
        return found
    return (
        f"{found}; with {n_examples} examples a probe it rarely pays, as {min(IN_BOTH, n_examples)} are run in float32 too"
    )


def speedup(replayed: ReplayedNetwork) -> float:
    """Return how many times as fast as in float32 a batch runs in bfloat16."""
    batch = replayed.on_device(replayed.network.images[: replayed.batch_size])

    def time_of(dtype: torch.dtype) -> float:
        whole = replayed.replay.whole(dtype)
        return seconds(lambda images: whole([images], len(images)), cast(batch, dtype))

    with exact_float32():
        return time_of(torch.float32) / time_of(torch.bfloat16)
