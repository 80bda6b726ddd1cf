"""What can go wrong on the user's side: every message says what was found, what was expected and how to mend it."""


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
