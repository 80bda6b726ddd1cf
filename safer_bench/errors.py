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


def text_of(error: BaseException, *, typed: bool = False) -> str:
    r"""Return what an exception says, on one line: its text, or its type where it has none; ``typed``: its type before it.

    Without the type, an error of the system says why alone, since who catches it names the file.

    >>> text_of(ValueError("a\n  b")), text_of(ValueError("a"), typed=True), text_of(KeyboardInterrupt())
    ('a b', 'ValueError: a', 'KeyboardInterrupt')
    >>> text_of(FileNotFoundError(2, "No such file or directory", "gone"))
    'No such file or directory'
    """
    reason = error.strerror if isinstance(error, OSError) and not typed else None
    text = " ".join((reason or str(error)).split())
    name = type(error).__name__
    return ": ".join(filter(None, (name, text))) if typed else text or name


def has_torch() -> bool:
    """Tell whether the torch half is installed."""
    return find_spec("torch") is not None


@contextmanager
def needs_torch() -> Iterator[None]:
    """Turn a missing torch within the block into a message that names the extra.

    Raises:
        MissingExtra: torch, safetensors, scikit-learn, matplotlib or cloudpickle is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in {"torch", "safetensors", "sklearn", "matplotlib", "cloudpickle"}:
            raise
        raise MissingExtra(
            f'{error.name} is not installed: this needs the torch half; pip install "safer-bench[measure]"'
        ) from error


@contextmanager
def needs_package(package: str, extra: str) -> Iterator[None]:
    """Turn a missing package within the block into a message that names the extra.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != package:
            raise
        raise MissingExtra(f'{package} is not installed: this needs it; pip install "safer-bench[{extra}]"') from error
