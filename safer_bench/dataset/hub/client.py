"""How the Hub is talked to: one client, patience with what fails on the way, and one message for what goes wrong."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from safer_bench.dataset.hub.watch import watched
from safer_bench.errors import BadInput, HubError, HubUnreachable, SaferBenchError, text_of

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")
WAITS = (1.0, 4.0, 10.0)  # seconds before each repetition of what failed on the way


def open_api() -> "HfApi":
    """Return what makes the requests; it takes address and token from huggingface_hub's own settings.

    Raises:
        BadInput: the token holds characters that no request can carry.
    """
    from huggingface_hub import HfApi, get_token

    if not re.fullmatch(r"[\x21-\x7e]*", get_token() or ""):
        raise BadInput("the token of HF_TOKEN or of `hf auth login` holds spaces or other odd characters; set it anew")
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
    """Turn whatever huggingface_hub raises within the block into one message, without a token or the chain behind it.

    What it makes of an answer that it does not expect is any exception: a KeyError, an AssertionError, one of its parsers.
    """
    try:
        with watched():
            yield
    except Exception as error:
        raise _explain(error, doing, mend) from None


ADVICE = {
    401: "it knows no valid token. Log in: hf auth login, or set HF_TOKEN; and check the name",
    403: "the token may not do that; use one that may write to this repository",
    404: "there is no such repository or revision, or the token may not see it; check --repo-id and --revision",
    409: "the repository has changed meanwhile; look with --dry-run and repeat the command",
    412: "the repository has changed meanwhile; look with --dry-run and repeat the command",
}


def _explain(error: BaseException, doing: str, mend: str) -> SaferBenchError:
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    chain = [error]
    while chain[-1].__cause__ or chain[-1].__context__:
        chain.append(chain[-1].__cause__ or chain[-1].__context__)  # type: ignore[arg-type]
    for cause in chain:
        if isinstance(cause, SaferBenchError):
            return cause
    if isinstance(error, HFValidationError):
        return BadInput(f"not a repository name ({text_of(error)}); expected ORG/NAME")
    status = next((cause.response.status_code for cause in chain if isinstance(cause, HfHubHTTPError)), None)
    if status in ADVICE:
        return HubError(f"the Hub refused to {doing} ({status}): {ADVICE[status]}")
    if status is not None and 400 <= status < 500 and status not in (408, 429):
        return HubError(f"the Hub refused to {doing} ({status}): {_brief(error)}; mend what it names, and {mend}")
    if any("xet" in str(cause).lower() for cause in chain):
        mend = "HF_HUB_DISABLE_XET=1 uploads the ordinary way: set it, and repeat the command"
    transport = HfHubHTTPError.__mro__[1]  # HTTPError of the client that this huggingface_hub uses
    lost = (transport, ConnectionError, TimeoutError, LocalEntryNotFoundError)
    if status is not None or any(isinstance(cause, lost) for cause in chain):
        what = f"it answers {status}" if status else _brief(chain[-1])
        return HubUnreachable(f"the Hub at {_host()} cannot be reached to {doing} ({what}); {mend}")
    full = next((cause for cause in chain if isinstance(cause, OSError) and cause.errno is not None), None)
    if full is not None:
        where = f": {full.filename}" if full.filename else ""
        return BadInput(
            f"cannot {doing}: {text_of(full)}{where}; mend that (HF_HOME names the cache), and repeat the command"
        )
    return HubError(f"the Hub at {_host()} gave no answer that can be read, to {doing} ({_brief(error)}); {mend}")


def _brief(error: BaseException) -> str:
    """Return the beginning of a message on one line, with anything like a token blotted out."""
    from huggingface_hub import get_token

    text = text_of(error, typed=True)
    for secret in filter(None, (get_token(), repr(get_token() or "")[1:-1])):
        text = text.replace(secret, "hf_...")
    text = re.sub(r"hf_[A-Za-z0-9]{8,}", "hf_...", re.sub(r"Bearer [^\s'\"]+", "Bearer hf_...", text))
    return "".join(character if character.isprintable() else "?" for character in text)[:300]


def _host() -> str:
    from huggingface_hub import constants

    try:
        return urlsplit(constants.ENDPOINT).hostname or "an unknown address"
    except ValueError:
        return "an unknown address"
