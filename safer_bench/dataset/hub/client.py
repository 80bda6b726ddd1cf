"""How the Hub is talked to: one client, patience with what fails on the way, and one message for what goes wrong."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from safer_bench.errors import BadInput, HubError, HubUnreachable, SaferBenchError, text_of

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")
WAITS = (1.0, 4.0, 10.0)  # seconds before each repetition of what failed on the way
SILENCE = 30.0  # seconds without a byte, after which the Hub is taken for unreachable


def open_api() -> "HfApi":
    """Return what makes the requests; it takes address and token from huggingface_hub's own settings."""
    from huggingface_hub import HfApi

    return HfApi(library_name="safer-bench")


def persist(doing: str, action: Callable[[], T]) -> T:
    """Run an action that may be repeated, again after each failure on the way, and at last raise what went wrong."""
    for wait in (*WAITS, None):
        try:
            with told(doing):
                return action()
        except HubUnreachable:
            if wait is None:
                raise
            time.sleep(wait)
    raise AssertionError("unreachable")


@contextmanager
def told(doing: str, mend: str = "try again later") -> Iterator[None]:
    """Turn what huggingface_hub raises within the block into one message, without a token or the chain behind it."""
    try:
        with _impatient():
            yield
    except SaferBenchError:
        raise
    except Exception as error:
        message = _explain(error, doing, mend)
        if message is None:
            raise
        raise message from None


@contextmanager
def _impatient() -> Iterator[None]:
    """Limit how long the Hub may be silent, for every request within the block.

    The client that huggingface_hub shares has no limit, and some of its calls ask for none: such a Hub would hang us.
    """
    from huggingface_hub import get_session

    client = get_session()
    before = client.event_hooks
    client.event_hooks = before | {"request": [*before["request"], _limit]}
    try:
        yield
    finally:
        client.event_hooks = before


def _limit(request: Any) -> None:
    """Set the limits that a request lacks: to connect, to read, to write, to get a connection."""
    limits = request.extensions.get("timeout", {})
    request.extensions["timeout"] = {name: SILENCE if limit is None else limit for name, limit in limits.items()}


ADVICE = {
    401: "it knows no valid token. Log in: hf auth login, or set HF_TOKEN; and check the name",
    403: "the token may not do that; use one that may write to this repository",
    404: "there is no such repository or revision, or the token may not see it; check --repo-id and --revision",
    409: "the repository has changed meanwhile; look with --dry-run and repeat the command",
    412: "the repository has changed meanwhile; look with --dry-run and repeat the command",
}


def _explain(error: BaseException, doing: str, mend: str) -> SaferBenchError | None:
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    chain = [error]
    while chain[-1].__cause__ or chain[-1].__context__:
        chain.append(chain[-1].__cause__ or chain[-1].__context__)  # type: ignore[arg-type]
    if isinstance(error, HFValidationError):
        return BadInput(f"no name of a repository ({text_of(error)}); expected ORG/NAME")
    status = next((found.response.status_code for found in chain if isinstance(found, HfHubHTTPError)), None)
    if status in ADVICE:
        return HubError(f"the Hub refused to {doing} ({status}): {ADVICE[status]}")
    if status is not None and status < 500 and status != 429:
        return HubError(f"the Hub refused to {doing} ({status}): {_brief(error)}")
    transport = HfHubHTTPError.__mro__[1]  # HTTPError of the client that this huggingface_hub uses
    lost = (transport, ConnectionError, TimeoutError, LocalEntryNotFoundError)
    if status is None and not any(isinstance(found, lost) for found in chain):
        return None
    what = f"it answers {status}" if status else _brief(chain[-1])
    return HubUnreachable(f"the Hub at {_host()} cannot be reached to {doing} ({what}); {mend}")


def _brief(error: BaseException) -> str:
    """Return the first line of a message, with anything like a token blotted out."""
    from huggingface_hub import get_token

    text = text_of(error, typed=True)
    token = get_token()
    return re.sub(r"hf_[A-Za-z0-9]{8,}", "hf_...", text.replace(token, "hf_...") if token else text)[:300]


def _host() -> str:
    return urlsplit(open_api().endpoint).hostname or "an unknown address"
