"""How the engine's time grows with examples, draws and layers, as a plot."""

from pathlib import Path

from benchmarks.timing import run

AXES = {"examples": (125, 250, 500, 1000), "draws": (1, 2, 4, 8), "layers": (3, 6, 11, 22)}
START = {"examples": 500, "draws": 4}


def plot(path: Path, network: str) -> None:
    """Measure the engine along each axis, the others as in the table, and write a plot."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(AXES), figsize=(9, 3), layout="constrained", sharey=True)
    for axis, (name, values) in zip(axes, AXES.items(), strict=True):
        for contestant in ("plain loop, tuned", "engine", "engine --fast"):
            seconds = [run(contestant, *_settings(network, name, value))["seconds"] for value in values]
            axis.loglog(values, seconds, marker="o", label=contestant)
        axis.set_xticks(values, list(map(str, values)))
        axis.minorticks_off()
        axis.set_xlabel({"examples": "examples", "draws": "draws", "layers": "layers perturbed"}[name])
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("seconds, without set-up")
    axes[-1].legend(frameon=False)
    figure.suptitle(f"{network}: {START['examples']} examples, {START['draws']} draws, all layers, but for the axis shown")
    figure.savefig(path, dpi=150)


def _settings(network: str, name: str, value: int) -> list[object]:
    chosen = START | {name: value}
    return ["--network", network, *(word for key, item in chosen.items() for word in (f"--{key}", item))]
