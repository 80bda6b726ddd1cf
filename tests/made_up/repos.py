"""What a small Hugging Face Hub holds: repositories in memory, and the faults that its requests are to meet."""

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from typing import Any

TOKEN = "hf_dummyTokenOfTheTests"
LARGE = (".parquet", ".safetensors")


What = int | str | Callable[[Any, int, dict[str, str], bytes], tuple[int, dict[str, str], bytes]]


@dataclass
class Fault:
    """What goes wrong with the next ``times`` requests that match.

    ``what`` is a status code; "cut" (the connection ends without an answer); "half" (it ends within the answer's body);
    "lost" (the request is carried out, its answer never arrives); "slow" (the answer takes half a second); "silent" (it
    never comes, and the connection stays open); "lie" (the answer says that all was done, and nothing was); or a function
    that makes another answer of (handler, status, headers, data).
    """

    method: str
    path: str
    what: What
    times: int = 1


@dataclass
class Repo:
    """Commits are whole listings {path: content}; refs name commits."""

    kind: str
    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    titles: list[str] = field(default_factory=list)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pulls: dict[str, str] = field(default_factory=dict)

    def resolve(self, revision: str) -> str | None:
        named = self.branches | self.tags | self.pulls
        return named.get(revision, revision if revision in self.commits else None)

    def add(self, files: dict[str, bytes], title: str) -> str:
        oid = sha1(f"{len(self.commits)} {title} {sorted(files)}".encode()).hexdigest()
        self.commits[oid] = files
        self.titles.append(title)
        return oid


class Refused(Exception):
    """An answer that is no success: status, message, and X-Error-Code or None."""


class FakeHub:
    """The state behind the server, for tests to look at and to change."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.objects: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.endpoint = ""
        self.over = threading.Event()

    def repo(self, repo_id: str, kind: str = "dataset") -> Repo:
        return self.repos[f"{kind}s/{repo_id}"]

    def make(self, repo_id: str, kind: str = "dataset", files: dict[str, bytes] | None = None) -> Repo:
        """Create a repository as the Hub does, or one that holds ``files`` as well."""
        repo = self.repos[f"{kind}s/{repo_id}"] = Repo(kind)
        repo.branches["main"] = repo.add({".gitattributes": b"*.parquet filter=lfs\n", **(files or {})}, "initial commit")
        return repo

    def fail(self, method: str, path: str, what: What, times: int = 1) -> None:
        self.faults.append(Fault(method, path, what, times))

    def fault_of(self, method: str, path: str) -> What | None:
        for fault in self.faults:
            if fault.times and fault.method == method and re.search(fault.path, path):
                fault.times -= 1
                return fault.what
        return None


def ok(value: Any, status: int = 200) -> tuple[int, dict[str, str], bytes]:
    return status, {}, json.dumps(value).encode()


def etag(path: str, data: bytes) -> str:
    """Return what names a file's content: SHA-256 of a large file, git's blob hash of any other."""
    return sha256(data).hexdigest() if path.endswith(LARGE) else sha1(b"blob %d\0" % len(data) + data).hexdigest()


def entry(path: str, data: bytes) -> dict[str, Any]:
    row = {"type": "file", "path": path, "oid": sha1(b"blob %d\0" % len(data) + data).hexdigest(), "size": len(data)}
    if path.endswith(LARGE):
        row |= {"lfs": {"oid": sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}, "oid": "1" * 40}
    return row
