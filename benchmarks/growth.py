"""How the engine's time grows with examples, draws and layers, as a plot."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.timing import contest, run_round, total
from benchmarks.work import Work

AXES = {"n_examples": (125, 250, 500, 1000), "n_draws": (1, 2, 4, 8), "n_layers": (3, 6, 11, 22)}
NAMES = {"n_examples": "examples", "n_draws": "draws", "n_layers": "layers perturbed"}
START = Work("noise", 500, 4, 11)
SHOWN = ("plain loop, tuned", "engine", "engine --fast")


def plot(path: Path, network: str, say: Callable[..., None]) -> None:
    """Measure along each axis, the others as at the start, contestants in turn, and write a plot."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    seconds = grown(network, say)
    figure, axes = pyplot.subplots(1, len(AXES), figsize=(9, 3), layout="constrained", sharey=True)
    for axis, (name, values) in zip(axes, AXES.items(), strict=True):
        for shown in SHOWN:
            axis.loglog(values, [seconds[shown, _work(name, value)] for value in values], marker="o", label=shown)
        axis.set_xticks(values, list(map(str, values)))
        axis.minorticks_off()
        axis.set_xlabel(NAMES[name])
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("CPU seconds, without set-up")
    axes[-1].legend(frameon=False)
    start = f"{START.n_examples} examples, {START.n_draws} draws, {START.n_layers} layers"
    figure.suptitle(f"{network}: {start}, but for the axis shown; one thread")
    figure.savefig(path, dpi=150)


def grown(network: str, say: Callable[..., None]) -> dict[tuple[str, Work], float]:
    """Return CPU seconds by contestant and work, without set-up."""
    works = dict.fromkeys(_work(name, value) for name, values in AXES.items() for value in values)
    found: dict[tuple[str, Work], float] = {}
    with contest(network, {name: (name, None) for name in SHOWN}) as contestants:
        for work in works:
            of_round = run_round(contestants, dict.fromkeys(SHOWN, work), 0)
            found |= {(name, work): total(of_round, name, "all").seconds for name in SHOWN}
            say(f"{network}, {work.n_examples} examples, {work.n_draws} draws, {work.n_layers} layers")
    return found


def _work(name: str, value: int) -> Work:
    return replace(START, **{name: value})  # type: ignore[arg-type]
