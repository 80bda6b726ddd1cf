"""What a Hub, or what stands before it, may answer: kinds of fault by name, for ``FakeHub.fail``."""

import json
from typing import Any

from tests.made_up.repos import TOKEN, What

Answer = tuple[int, dict[str, str], bytes]
HTML = b"<html><body><h1>Welcome to the hotel's network</h1></body></html>"


def refused(status: int, code: str | None = None, **more: str) -> What:
    """Refuse with a status, an error code of the Hub and headers."""
    headers = ({"X-Error-Code": code} if code else {}) | {name.replace("_", "-"): value for name, value in more.items()}
    data = json.dumps({"error": f"no, not for Bearer {TOKEN}"}).encode()
    return lambda *_: (status, headers, data)


def page(status: int) -> What:
    """Answer with a page for people."""
    return lambda *_: (status, {"Content-Type": "text/html"}, HTML)


def body(data: bytes, **more: str) -> What:
    """Answer that all went well, with another body and the right headers."""
    return lambda _, __, headers, ___: (200, headers | {name.replace("_", "-"): v for name, v in more.items()}, data)


def changed(change: Any) -> What:
    """Answer with the JSON of the right answer changed; with other bytes where it is no JSON."""

    def answer(_: Any, status: int, headers: dict[str, str], data: bytes) -> Answer:
        try:
            return status, headers, json.dumps(change(json.loads(data))).encode()
        except ValueError:
            return status, headers, data[::-1] + b"x"

    return answer


def headed(**more: str) -> What:
    """Answer right, but for some headers."""
    return lambda _, status, headers, data: (status, headers | {n.replace("_", "-"): v for n, v in more.items()}, data)


def sent_on(to: str, status: int = 302) -> What:
    """Send on to another address, in which HOST and PATH stand for those of the request."""

    def answer(handler: Any, *_: Any) -> Answer:
        host = handler.headers.get("Host", "")
        return status, {"Location": to.replace("HOST", host).replace("PATH", handler.path)}, b""

    return answer


def of_other_types(value: Any) -> Any:
    """Return JSON in which every value of a name is of another type."""
    if isinstance(value, dict):
        return {name: of_other_types(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [of_other_types(inner) for inner in value]
    return {"odd": True} if isinstance(value, str) else "odd"


def without_names(value: Any) -> Any:
    """Return JSON in which every second name of the innermost objects is missing."""
    if isinstance(value, list):
        return [without_names(inner) for inner in value]
    if isinstance(value, dict):
        return {name: without_names(inner) for i, (name, inner) in enumerate(sorted(value.items())) if i % 2}
    return value


def listed(*names: str) -> What:
    """List files beside those that are there."""
    row = {"type": "file", "oid": "1" * 40, "size": 1}
    return changed(lambda rows: [*rows, *({**row, "path": name} for name in names)])


def actions(value: Any) -> What:
    """Answer the request for addresses to upload to with other actions."""
    return changed(lambda answer: {**answer, "objects": [{**row, "actions": value} for row in answer["objects"]]})


def moved(handler: Any, status: int, headers: dict[str, str], data: bytes) -> Answer:
    """Answer right, and let somebody else change every branch and tag at once."""
    for repo in handler.hub.repos.values():
        other = repo.add({"theirs.txt": b"x"}, f"somebody else {len(repo.commits)}")
        repo.branches = dict.fromkeys(repo.branches, other)
        repo.tags = dict.fromkeys(repo.tags, other)
    return status, headers, data


EVERYWHERE: dict[str, What] = {
    "cut": "cut",
    "half": "half",
    "silent": "silent",
    "lost": "lost",
    "lie": "lie",
    "moved": moved,
    **{str(status): refused(status) for status in (400, 401, 403, 404, 408, 409, 412, 413, 418, 422)},
    **{f"404 {code}": refused(404, code) for code in ("RepoNotFound", "RevisionNotFound", "EntryNotFound", "Odd")},
    "403 GatedRepo": refused(403, "GatedRepo"),
    "429 wait a second": refused(429, Retry_After="1"),
    "429 wait a day": refused(429, Retry_After="86400"),
    "429 wait for ever": refused(429, Retry_After="9" * 400),
    "429 limited": refused(429, RateLimit='"api";r=0;t=4000'),
    "429 odd": refused(429, Retry_After="\u00b2"),
    **{str(status): refused(status) for status in (500, 507)},
    **{f"{status} page": page(status) for status in (200, 404, 502, 503)},
    "204": lambda *_: (204, {}, b""),
    "304": lambda *_: (304, {}, b""),
    "302 nowhere": lambda *_: (302, {}, b""),
    "loop": sent_on("http://HOSTPATH"),
    "other host": sent_on("http://localhost:9/elsewhere"),
    "no host": sent_on("http://nowhere.invalid/PATH"),
    "other scheme": sent_on("ftp://HOSTPATH"),
    "local file": sent_on("file:///etc/hostname"),
    "odd address": sent_on("http://[::1"),
    "empty": body(b""),
    "null": body(b"null"),
    "number": body(b"17"),
    "text": body(b'"all well"'),
    "list": body(b"[]"),
    "list of null": body(b"[null]"),
    "object": body(b"{}"),
    "not a number": body(b"NaN"),
    "deep": body(b"[" * 100_000),
    "cut JSON": changed(lambda value: "cut"),
    "invalid UTF-8": body(b'{"sha": "\xff\xfe\xfa"}'),
    "other types": changed(of_other_types),
    "missing names": changed(without_names),
    "gzip garbage": headed(Content_Encoding="gzip"),
    "unknown encoding": headed(Content_Encoding="zstd, snail"),
    "too long": headed(Content_Length="1000000000"),
    "too short": headed(Content_Length="3"),
    "negative length": headed(Content_Length="-1"),
    "odd header": headed(X_Error_Message="\x1b[31mred", Link='<http://[>; rel="next"'),
    "endless pages": lambda handler, status, headers, data: (
        status,
        {"Link": f'<{handler.hub.endpoint}{handler.path}>; rel="next"'},
        data,
    ),
}
LISTINGS: dict[str, What] = {
    "up": listed("../../evil"),
    "up inside": listed("a/../../../evil"),
    "absolute": listed("/etc/evil"),
    "backslash": listed("..\\evil"),
    "control": listed("evil\x1b[31m\n"),
    "null character": listed("evil\0"),
    "bidirectional": listed("evil\u202etxt"),
    "empty name": listed(""),
    "dot": listed("."),
    "double slash": listed("a//b"),
    "drive": listed("C:evil"),
    "stream": listed("README.md:evil"),
    "git": listed(".git/config"),
    "twice": listed("README.md"),
    "case": listed("readme.MD"),
    "very long": listed("x" * 5000),
    "no text": listed(17),  # type: ignore[arg-type]
    "many": listed(*(f"f{i}" for i in range(12_000))),
    "odd type": changed(lambda rows: [{**row, "type": "portal"} for row in rows]),
    "odd size": changed(lambda rows: [{**row, "size": -1} for row in rows]),
    "odd digest": changed(lambda rows: [{**row, "oid": "../../evil", "lfs": None} for row in rows]),
    "one less": changed(lambda rows: rows[:-1]),
}
FILES: dict[str, What] = {
    "no digest": headed(ETag=""),
    "quoted nothing": headed(ETag='""'),
    "other digest": headed(ETag='"' + "0" * 64 + '"'),
    "digest of another place": headed(ETag='"../../../../evil"'),
    "linked digest of another place": headed(X_Linked_ETag='"../../evil"'),
    "other commit": headed(X_Repo_Commit="0" * 40),
    "commit of another place": headed(X_Repo_Commit="../../evil"),
    "no commit": headed(X_Repo_Commit=""),
    "other size": headed(X_Linked_Size="5"),
    "other content": lambda _, status, headers, data: (status, headers, data[::-1]),
}
UPLOADS: dict[str, What] = {
    "no actions": actions(None),
    "empty actions": actions({}),
    "actions of text": actions("upload"),
    "no address": actions({"upload": {}}),
    "odd address of upload": actions({"upload": {"href": "file:///etc/evil"}}),
    "address of nowhere": actions({"upload": {"href": "http://nowhere.invalid/"}}),
    "odd headers": actions({"upload": {"href": "http://127.0.0.1:9/", "header": {"chunk_size": "x", "1": "y"}}}),
    "odd check": actions({"upload": {"href": "http://127.0.0.1:9/"}, "verify": {"href": 17}}),
    "other objects": changed(lambda answer: {**answer, "objects": [{"oid": "0" * 64, "size": 1, "actions": None}]}),
    "no objects": changed(lambda answer: {**answer, "objects": []}),
    "errors": changed(
        lambda answer: {**answer, "objects": [{"oid": "0" * 64, "size": 1, "error": {"code": 1, "message": "no"}}]}
    ),
    "odd errors": changed(lambda answer: {**answer, "objects": [{"oid": "0" * 64, "size": 1, "error": "no"}]}),
    "another way": changed(lambda answer: {**answer, "transfer": "snail"}),
}
COMMITS: dict[str, What] = {
    "no commit named": changed(lambda answer: {name: value for name, value in answer.items() if name != "commitOid"}),
    "no address named": changed(lambda answer: {name: value for name, value in answer.items() if "Url" not in name}),
    "not done": changed(lambda answer: {**answer, "success": False}),
    "odd commit": changed(lambda answer: {**answer, "commitOid": "\x1b[31m"}),
    "odd pull request": changed(lambda answer: {**answer, "pullRequestUrl": "\x1b[31mhello"}),
    "pull request elsewhere": changed(lambda answer: {**answer, "pullRequestUrl": "http://x/discussions/99"}),
}
