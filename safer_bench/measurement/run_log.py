"""The log of a run folder: when, where and how it was measured, so that a result can be explained a year later."""

import logging
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from safer_bench.errors import SaferBenchError, text_of
from safer_bench.measurement.work import Measured

PACKAGES = ("safer-bench", "torch", "numpy", "scipy", "pyarrow")
DRIVER = Path("/sys/module/nvidia/version")
VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "MALLOC_MMAP_THRESHOLD_",
)


class RunLog(logging.LoggerAdapter[logging.Logger]):
    """Writes to the log of a run folder."""

    def measured(self, measured: Measured, layer: str) -> None:
        """Write the line of a finished unit, and why something was measured by whole passes."""
        where = f"{measured.unit.network} {layer}, {measured.unit.n_examples} examples from {measured.unit.example_start}"
        for of_layer, reason in measured.reasons.items():
            self.info("%s: by whole passes: %s", f"{measured.unit.network} {of_layer}".strip(), reason)
        settled = ", ".join(f"{name} {count}" for name, count in sorted(measured.settled.items()))
        self.info("%s: %.2f s, %d bytes; settled: %s", where, measured.seconds, len(measured.part), settled or "-")


class _Lines(logging.Handler):
    """Appends each line by itself, as a log grows, so that it is not written by ``tables/files.py`` like all else.

    One that cannot be written is left out, since of a full disk the parts tell.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def emit(self, record: logging.LogRecord) -> None:
        """Append a line."""
        with suppress(OSError), open(self.path, "a", encoding="utf-8") as file:
            file.write(self.format(record) + "\n")


@contextmanager
def logging_to(path: Path) -> Iterator[RunLog]:
    """Append to a log within the block: first the environment, at last how it ended."""
    handler = _Lines(path)
    formatter = logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logger = logging.getLogger(f"{__name__}.{id(handler)}")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    log = RunLog(logger, {})
    try:
        for line in environment():
            log.info(line)
        yield log
    except KeyboardInterrupt:
        log.info("interrupted")
        raise
    except SaferBenchError as error:
        log.info("stopped: %s", error)
        raise
    except Exception as error:
        log.info("failed: %s", text_of(error, typed=True))
        raise
    else:
        log.info("finished")
    finally:
        logger.removeHandler(handler)


def environment() -> list[str]:
    """Return lines that tell of the command, the packages, the machine and the settings that can change times."""
    packages = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    variables = ", ".join(f"{name}={os.environ[name]}" for name in VARIABLES if name in os.environ)
    return [
        f"command: {' '.join(sys.argv)}",
        f"python {platform.python_version()}, {packages}",
        f"{platform.platform()}, {processor()}, {os.cpu_count()} processors, {torch.get_num_threads()} threads, "
        f"{torch.backends.cpu.get_cpu_capability()}",
        f"environment: {variables or 'nothing set'}",
        *cards(),
    ]


def cards() -> list[str]:
    """Return a line for each card, and one for what drives them; a line that says so where there is none."""
    if not torch.cuda.is_available():
        return ["CUDA absent"]
    named = []
    for number in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(number)
        named.append(f"cuda:{number}: {card.name}, {card.total_memory} bytes, compute capability {card.major}.{card.minor}")
    drivers = f"driver {_driver()}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    return [*named, drivers]


def _driver() -> str:
    """Return the version of NVIDIA's kernel module; torch does not know it."""
    try:
        return DRIVER.read_text(encoding="utf-8").strip()
    except OSError:
        return "unknown"


def processor() -> str:
    """Return the processor's name."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
