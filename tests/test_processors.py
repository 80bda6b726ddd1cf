"""The same bytes on any processor: what is compared byte for byte, under the instruction sets and libraries of others.

A setting takes instructions from numpy, has OpenBLAS (products and solutions of matrices) and torch take the kernels of other
processors, and gives them one thread or two. What a test compares with committed bytes is then made by another order of
sums and other logarithms.
"""

import os
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import ROOT

EVERY = np._core._multiarray_umath.__cpu_dispatch__  # groups of instructions that this numpy can do without
AVX512 = [name for name in EVERY if name.startswith(("AVX512", "X86_V4"))]
OLDEST = {
    "NPY_DISABLE_CPU_FEATURES": " ".join(EVERY),
    "OPENBLAS_CORETYPE": "Haswell",
    "ATEN_CPU_CAPABILITY": "default",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
SETTINGS = {
    "no AVX-512": {"NPY_DISABLE_CPU_FEATURES": " ".join(AVX512), "ATEN_CPU_CAPABILITY": "avx2"},
    "OpenBLAS of SkylakeX": {"OPENBLAS_CORETYPE": "SkylakeX"},
    "two threads": {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
    "the oldest": OLDEST,
}
BYTES = (  # what makes bytes that are compared with committed ones
    "tests/evaluation/leaderboard/test_leaderboard.py::test_the_committed_board_is_made_again_to_the_same_bytes",
    "tests/dataset/test_pack.py::test_a_small_tree_has_the_same_contents_on_any_processor",
    "tests/dataset/test_pack.py::test_the_committed_summaries_follow_from_the_committed_counts",
    "tests/test_stream.py",
    "tests/contracts/test_perturbations.py",
)


def run(tests, setting):
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    words = [sys.executable, "-m", "pytest", "-q", "-m", "long or not long", "-p", "no:cacheprovider", *tests]
    return subprocess.run(words, cwd=ROOT, env=alone | setting, capture_output=True, text=True, check=False)


def test_a_setting_reaches_the_libraries():
    """Else the other tests would compare a processor with itself."""
    words = (
        "import numpy as np, torch; from numpy._core._multiarray_umath import __cpu_features__ as found;"
        f"print(any(found[name] for name in {EVERY!r}), torch.backends.cpu.get_cpu_capability(), torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", words], env=os.environ | OLDEST, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "DEFAULT", "1"]


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SETTINGS)
def test_what_is_compared_byte_for_byte_is_the_same_on_any_processor(name):
    done = run(BYTES, SETTINGS[name])
    assert done.returncode == 0, done.stdout
