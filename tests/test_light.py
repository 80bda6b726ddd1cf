"""The light half never needs torch, and importing the package is quick."""

import subprocess
import sys

import pytest

LIGHT = ["safer_bench", "safer_bench.cli"] + [
    f"safer_bench.{name}"
    for name in (
        "catalogue", "dataset.documents.card", "dataset.documents.render", "dataset.hub.publishing", "dataset.pack", "dataset.release",
        "dataset.submissions.submission", "dataset.tree", "dataset.verify", "errors", "evaluation.aggregation", "evaluation.boards",
        "evaluation.bootstrap", "evaluation.comparison", "evaluation.controls", "evaluation.evaluate", "evaluation.leaderboard.write",
        "evaluation.scope", "metrics", "perturbations.gradient_corruption", "perturbations.loading", "registry", "tables.files",
        "tables.schema", "tables.score_table", "truth.area", "truth.cells", "truth.fragile", "truth.reliability", "truth.run_folder",
    )
]  # fmt: skip


def loads_torch(module: str) -> bool:
    code = f"import {module}, sys; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return found.stdout.strip() == "True"


def test_the_light_half_does_not_import_torch():
    assert not loads_torch(", ".join(LIGHT))


def test_the_check_can_fail():
    assert loads_torch("safer_bench.networks.network")


def test_importing_the_package_is_quick():
    """Under 0.3 s, by the interpreter's own clock: the best of three, as the machine may be busy."""
    code = "import time; t = time.perf_counter(); import safer_bench; print(time.perf_counter() - t)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    assert min(float(run.stdout) for run in runs) < 0.3


@pytest.mark.parametrize("call", ["sb.load_network('digits_mlp')", "sb.measure", "sb.score", "sb.Network", "sb.criterion"])
def test_without_torch_a_message_names_the_extra(call):
    code = f"import sys; sys.modules['torch'] = None; import safer_bench as sb; {call}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.strip().splitlines()[-1] == (
        "safer_bench.errors.MissingExtra: torch is not installed: this needs the torch half; "
        'pip install "safer-bench[measure]"'
    )


def test_public_names_are_not_hidden_by_modules():
    """A submodule called like a public function would replace it as soon as anything imports it."""
    modules = [
        *("networks.loading", "measurement.measure", "scoring.score", "evaluation.evaluate", "criteria.loading"),
        *("perturbations.loading", "dataset.tree"),
    ]
    code = (
        f"import safer_bench as sb, {', '.join(f'safer_bench.{name}' for name in modules)}\n"
        "import types\n"
        "print([n for n in sb.__all__ if n != 'metrics' and isinstance(getattr(sb, n), types.ModuleType)])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_an_unknown_public_name_is_an_attribute_error():
    import safer_bench

    with pytest.raises(AttributeError, match="module 'safer_bench' has no attribute 'leaderbord'"):
        _ = safer_bench.leaderbord


def test_the_command_line_starts_without_what_takes_long_to_import():
    """scipy.stats alone costs more than half a second."""
    code = "import safer_bench.cli, sys; print(sorted({'scipy.stats', 'matplotlib', 'datasets'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
