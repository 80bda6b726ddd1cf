"""What can go wrong on the user's side: every message says what was found, what was expected and how to mend it."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec


class SaferBenchError(Exception):
    """Bad usage or bad input; the command line prints the message alone and exits with 2."""


class UnknownName(SaferBenchError):
    """A name that no entry carries; the message lists the nearest ones."""


class BadInput(SaferBenchError):
    """A file, table, network or value that breaks its contract."""


class MissingData(SaferBenchError):
    """Images, weights or a dataset tree that are not on this machine."""


class MissingExtra(SaferBenchError):
    """An optional dependency that is not installed."""


class HubError(SaferBenchError):
    """The Hugging Face Hub refuses, or holds something else than expected."""


class HubUnreachable(HubError):
    """The Hugging Face Hub does not answer, or not to the end."""


def has_torch() -> bool:
    """Tell whether the torch half is installed."""
    return find_spec("torch") is not None


@contextmanager
def needs_torch() -> Iterator[None]:
    """Turn a missing torch within the block into a message that names the extra.

    Raises:
        MissingExtra: torch, safetensors, scikit-learn or matplotlib is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in {"torch", "safetensors", "sklearn", "matplotlib"}:
            raise
        raise MissingExtra(
            f'{error.name} is not installed: this needs the torch half; pip install "safer-bench[measure]"'
        ) from error
