"""What no request to the Hub may do: wait without end, go on without end, or lead astray."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from safer_bench.errors import HubError, HubUnreachable

SILENCE = 30.0  # seconds without a byte, after which the Hub is taken for unreachable
PATIENCE = 180.0  # seconds without an answer but for refusals and failures, after which it is too
LONGEST_WAIT = 60.0  # seconds that the Hub may ask us to wait before the next request
MANY_PAGES = 200  # of one address: a listing whose pages lead on and on would never end
MANY_REQUESTS = 50_000  # of one action


class _Watch:
    """Looks at every request and answer of one action."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.answered = time.monotonic()

    def before(self, request: Any) -> None:
        """Set the limits that a request lacks (to connect, to read, to write, to get a connection), and count it."""
        limits = request.extensions.get("timeout", {})
        request.extensions["timeout"] = {name: SILENCE if limit is None else limit for name, limit in limits.items()}
        self.requests[request.url.path if request.method == "GET" else ""] += 1
        if self.requests[request.url.path] > MANY_PAGES or self.requests.total() > MANY_REQUESTS:
            raise HubError("the Hub's answers lead to request after request without end; name another repository")
        if time.monotonic() - self.answered > PATIENCE:
            raise HubUnreachable(f"the Hub has given no answer for {PATIENCE:.0f} s; try again later")
        if request.url.scheme == "http" and _endpoint().startswith("https:"):
            raise HubError(f"the Hub leads to {request.url.host} without encryption; check HF_ENDPOINT, and try again later")

    def after(self, response: Any) -> None:
        """Refuse an answer that would have us wait for long, or that names a place in the cache outside it."""
        if response.status_code < 500 and response.status_code not in (408, 429):
            self.answered = time.monotonic()
        elif _asked_to_wait(response.headers) > LONGEST_WAIT:
            raise HubError(
                f"the Hub answers {response.status_code} and asks to wait {_asked_to_wait(response.headers):.0f} s; "
                "repeat the command then"
            )
        for name, pattern in NAMES.items():
            if name in response.headers and not re.fullmatch(pattern, response.headers[name]):
                raise HubError(f"the Hub's answer has an odd header {name}; check HF_ENDPOINT, and try again later")


NAMES = {  # headers that huggingface_hub makes paths of; an empty one names a folder of its cache
    "etag": r'(W/)?"?[\w:.-]{1,200}"?',
    "x-linked-etag": r'(W/)?"?[\w:.-]{1,200}"?',
    "x-repo-commit": r"[0-9a-f]{1,64}",
}


def _asked_to_wait(headers: Any) -> float:
    """Return for how many seconds a refusal asks to wait; 0 where it does not say."""
    found = re.fullmatch(r"([0-9]{1,9})[0-9]*", headers.get("retry-after", "").strip())
    limited = re.search(r";\s*t\s*=\s*([0-9]{1,9})", headers.get("ratelimit", ""))
    return max((float(match[1]) for match in (found, limited) if match), default=0.0)


def _endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


@contextmanager
def watched() -> Iterator[None]:
    """Watch every request within the block.

    The client that huggingface_hub shares has no limits, and some of its calls ask for none: a silent Hub would hang us.
    Where a connection is refused it opens another client, which has to be watched as well.
    """
    from huggingface_hub import get_session
    from huggingface_hub.utils import _http

    watch, before = _Watch(), []

    def join(client: Any) -> Any:
        hooks = client.event_hooks
        before.append((client, hooks))
        client.event_hooks = {
            "request": [*hooks["request"], watch.before],
            "response": [*hooks["response"], watch.after],
        }
        return client

    factory: Callable[[], Any] | None = getattr(_http, "_GLOBAL_CLIENT_FACTORY", None)  # no public name gives it back
    join(get_session())
    if factory is not None:
        _http._GLOBAL_CLIENT_FACTORY = lambda: join(factory())
    try:
        yield
    finally:
        if factory is not None:
            _http._GLOBAL_CLIENT_FACTORY = factory
        for client, hooks in before:
            client.event_hooks = hooks
