"""What ``--fast`` comes to on this machine: in which arithmetic a network's answers are sought first, and why."""

from safer_bench.measurement.engine import Engine


def first_arithmetic(engine: Engine) -> str:
    """Say which arithmetic comes first for a network, before it is measured; the engine is made ready for that.

    Args:
        engine: a fast one.
    """
    answers = engine.fast_answers
    if answers is None:
        return f"float64 alone, by whole forward passes: {engine.reasons['']}"
    times = answers.replayed.speedup
    if not answers.replayed.narrow:
        card = engine.network.device.type != "cpu"
        return f"float32 alone: bfloat16 is no faster on this {'card' if card else 'processor'}"
    as_fast = f"{times:.1f} times as fast as" if times >= 1.05 else "about as fast as"
    return f"bfloat16 first: {as_fast} float32 here on a clean batch; probes of few examples may take longer"
