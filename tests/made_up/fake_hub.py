"""A small Hugging Face Hub on 127.0.0.1: the requests that publishing and loading make, answered from memory, and faults.

It stores what real clients send over real HTTP. It knows neither Xet nor the real Hub's own validation of files.
"""

import base64
import copy
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.made_up.repos import LARGE, TOKEN, FakeHub, Refused, Repo, entry, etag, ok


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits 40 ms between its headers and its body
    hub: FakeHub
    half = False

    def log_message(self, *_: Any) -> None:
        """Stay silent."""

    def do_GET(self) -> None:
        self.answer("GET")

    def do_HEAD(self) -> None:
        self.answer("HEAD")

    def do_POST(self) -> None:
        self.answer("POST")

    def do_PUT(self) -> None:
        self.answer("PUT")

    def answer(self, method: str) -> None:
        url = urlsplit(self.path)
        path, query = url.path, parse_qs(url.query)
        self.hub.requests.append(f"{method} {unquote(path)}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.hub.fault_of(method, unquote(path))
        if fault == "cut":
            return self.hang_up()
        if fault == "silent":
            self.hub.over.wait(30)
            return self.hang_up()
        if fault == "slow":
            time.sleep(0.5)
        self.half = fault == "half"
        before = (copy.deepcopy(self.hub.repos), dict(self.hub.objects)) if fault == "lie" else ({}, {})
        status, headers, data = self.carried_out(method, path, query, body, fault)
        if fault == "lie":
            self.hub.repos, self.hub.objects = before
        if fault == "lost":
            return self.hang_up()
        if callable(fault):
            status, headers, data = fault(self, status, headers, data)
        return self.send(method, status, headers, data)

    def carried_out(self, method: str, path: str, query: Any, body: bytes, fault: Any) -> tuple[int, dict[str, str], bytes]:
        try:
            if isinstance(fault, int):  # an unkind server that repeats the credentials it was given
                raise Refused(fault, f"fault {fault} for {self.headers.get('Authorization')}", None)
            for verb, pattern, act in ROUTES:
                match = re.fullmatch(pattern, path)
                if verb == method.replace("HEAD", "GET") and match:
                    return act(self, body, query, *(part and unquote(part) for part in match.groups()))
            raise Refused(404, f"no route {method} {path}", None)
        except Refused as refusal:
            status, message, code = refusal.args
            return status, {"X-Error-Code": code} if code else {}, json.dumps({"error": message}).encode()

    def send(self, method: str, status: int, headers: dict[str, str], data: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if method != "HEAD":
            self.wfile.write(data[: len(data) // 2] if self.half else data)
        if self.half and method != "HEAD":
            self.wfile.flush()
            self.hang_up()

    def hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):  # the client has left already
            self.connection.shutdown(socket.SHUT_RDWR)

    # What the routes do: each takes the body, the query and the parts of the path, and returns status, headers and data.

    def found(self, kind: str, repo_id: str) -> Repo:
        repo = self.hub.repos.get(f"{kind}/{repo_id}")
        if repo is None:
            raise Refused(404, "Repository not found", "RepoNotFound")
        if repo.private:
            self.need_token()
        return repo

    def commit_of(self, repo: Repo, revision: str) -> str:
        oid = repo.resolve(revision)
        if oid is None:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return oid

    def need_token(self) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Refused(401, "Invalid username or password.", None)

    def create(self, body: bytes, query: Any) -> tuple[int, dict[str, str], bytes]:
        self.need_token()
        wanted = json.loads(body)
        kind = wanted.get("type", "model")
        repo_id = f"{wanted['organization']}/{wanted['name']}" if wanted.get("organization") else f"me/{wanted['name']}"
        url = f"{self.hub.endpoint}/{'' if kind == 'model' else kind + 's/'}{repo_id}"
        if f"{kind}s/{repo_id}" in self.hub.repos:
            return ok({"error": "You already created this repo", "url": url}, 409)
        if kind == "space" and wanted.get("sdk") != "static":
            raise Refused(400, "a Space names its sdk", None)
        self.hub.make(repo_id, kind, BEGUN if kind == "space" else None).private = (
            bool(wanted.get("private")) or wanted.get("visibility") == "private"
        )
        return ok({"url": url, "name": repo_id, "id": repo_id})

    def info(self, body: bytes, query: Any, kind: str, repo_id: str, revision: str = "main") -> Any:
        repo = self.found(kind, repo_id)
        oid = self.commit_of(repo, revision)
        siblings = [{"rfilename": path} for path in sorted(repo.commits[oid])]
        facts = {"id": repo_id, "sha": oid, "private": repo.private, "siblings": siblings, "tags": [], "downloads": 0}
        return ok(facts | {"gated": False, "disabled": False, "likes": 0, "lastModified": "2026-01-01T00:00:00.000Z"})

    def refs(self, body: bytes, query: Any, kind: str, repo_id: str) -> Any:
        repo = self.found(kind, repo_id)
        listing = lambda prefix, refs: [  # noqa: E731
            {"name": name, "ref": f"{prefix}{name}", "targetCommit": oid} for name, oid in refs.items()
        ]
        branches, tags = listing("refs/heads/", repo.branches), listing("refs/tags/", repo.tags)
        return ok({"branches": branches, "tags": tags, "converts": [], "pullRequests": listing("", repo.pulls)})

    def tree(self, body: bytes, query: Any, kind: str, repo_id: str, revision: str, folder: str | None) -> Any:
        repo = self.found(kind, repo_id)
        files = repo.commits[self.commit_of(repo, revision)]
        prefix = f"{(folder or '').strip('/')}/".lstrip("/")
        inside = {path: data for path, data in files.items() if path.startswith(prefix)}
        if prefix and not inside:
            raise Refused(404, f"{prefix} does not exist", "EntryNotFound")
        deep = query.get("recursive", ["false"])[0].lower() in {"true", "1"}
        folders = {prefix + path[len(prefix) :].split("/")[0] for path in inside if "/" in path[len(prefix) :]}
        rows = [{"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in sorted(folders)]
        shown = {path: data for path, data in inside.items() if deep or "/" not in path[len(prefix) :]}
        return ok(rows + [entry(path, data) for path, data in sorted(shown.items())])

    def paths_info(self, body: bytes, query: Any, kind: str, repo_id: str, revision: str) -> Any:
        repo = self.found(kind, repo_id)
        files = repo.commits[self.commit_of(repo, revision)]
        try:
            wanted = json.loads(body)["paths"]
        except ValueError:
            wanted = parse_qs(body.decode())["paths"]
        return ok([entry(path, files[path]) for path in ([wanted] if isinstance(wanted, str) else wanted) if path in files])

    def valid_yaml(self, body: bytes, query: Any) -> Any:
        return ok({"errors": [], "warnings": []})

    def who(self, body: bytes, query: Any) -> Any:
        self.need_token()
        return ok({"name": "me", "type": "user", "orgs": [], "auth": {"type": "access_token"}})

    def preupload(self, body: bytes, query: Any, kind: str, repo_id: str, revision: str) -> Any:
        self.need_token()
        self.commit_of(self.found(kind, repo_id), revision)
        mode = lambda path: "lfs" if path.endswith(LARGE) else "regular"  # noqa: E731
        paths = [item["path"] for item in json.loads(body)["files"]]
        return ok({"files": [{"path": path, "uploadMode": mode(path), "shouldIgnore": False} for path in paths]})

    def batch(self, body: bytes, query: Any, repo_id: str) -> Any:
        self.need_token()
        rows: list[dict[str, Any]] = []
        for wanted in json.loads(body)["objects"]:
            row = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.hub.objects:
                row["actions"] = {"upload": {"href": f"{self.hub.endpoint}/objects/{wanted['oid']}"}}
            rows.append(row)
        return ok({"transfer": "basic", "objects": rows})

    def put(self, body: bytes, query: Any, oid: str) -> Any:
        if sha256(body).hexdigest() != oid:
            raise Refused(400, "the content is not that of the address", None)
        self.hub.objects[oid] = body
        return 200, {}, b""

    def commit(self, body: bytes, query: Any, kind: str, repo_id: str, revision: str) -> Any:
        self.need_token()
        repo = self.found(kind, repo_id)
        parent = self.commit_of(repo, revision)
        header, *operations = [json.loads(line) for line in body.splitlines()]
        expected = header["value"].get("parentCommit")
        if expected and expected != parent:
            raise Refused(412, "A commit has happened since. Please refresh and try again.", None)
        files = dict(repo.commits[parent])
        for operation in operations:
            path = operation["value"]["path"]
            if operation["key"] == "file":
                files[path] = base64.b64decode(operation["value"]["content"])
            elif operation["key"] == "lfsFile":
                if operation["value"]["oid"] not in self.hub.objects:
                    raise Refused(400, f"the content of {path} was never uploaded", None)
                files[path] = self.hub.objects[operation["value"]["oid"]]
            else:
                del files[path]
        oid = repo.add(files, header["value"]["summary"])
        url = f"{self.hub.endpoint}/{'' if kind == 'models' else kind + '/'}{repo_id}"
        facts = {"success": True, "commitOid": oid, "commitUrl": f"{url}/commit/{oid}"}
        if "create_pr" in query:
            number = len(repo.pulls) + 1
            repo.pulls[f"refs/pr/{number}"] = oid
            return ok(facts | {"pullRequestUrl": f"{url}/discussions/{number}"})
        repo.branches[revision] = oid
        return ok(facts)

    def tag(self, body: bytes, query: Any, kind: str, repo_id: str, revision: str) -> Any:
        self.need_token()
        repo = self.found(kind, repo_id)
        name = json.loads(body)["tag"]
        if name in repo.tags:
            raise Refused(409, "Tag reference exists already", None)
        repo.tags[name] = self.commit_of(repo, revision)
        return 200, {}, b""

    def resolve(self, body: bytes, query: Any, kind: str | None, repo_id: str, revision: str, path: str) -> Any:
        repo = self.found(kind or "models", repo_id)
        oid = self.commit_of(repo, revision)
        if path not in repo.commits[oid]:
            raise Refused(404, "Entry not found", "EntryNotFound")
        data = repo.commits[oid][path]
        headers = {"X-Repo-Commit": oid, "ETag": f'"{etag(path, data)}"', "Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if wanted is None:
            return 200, headers, data
        first, last = int(wanted[1]), int(wanted[2] or len(data) - 1)
        return 206, headers | {"Content-Range": f"bytes {first}-{last}/{len(data)}"}, data[first : last + 1]


BEGUN = {"README.md": b"---\ntitle: Board\nsdk: static\n---\n", "index.html": b"<h1>Welcome</h1>", "style.css": b"h1 {}"}
API = r"/api/(datasets|models|spaces)/([^/]+/[^/]+)"
ROUTES = (
    ("POST", r"/api/repos/create", Handler.create),
    ("POST", r"/api/validate-yaml", Handler.valid_yaml),
    ("GET", r"/api/whoami-v2", Handler.who),
    ("GET", API, Handler.info),
    ("GET", rf"{API}/revision/([^/]+)", Handler.info),
    ("GET", rf"{API}/refs", Handler.refs),
    ("GET", rf"{API}/tree/([^/]+)(/.*)?", Handler.tree),
    ("POST", rf"{API}/paths-info/([^/]+)", Handler.paths_info),
    ("POST", rf"{API}/preupload/([^/]+)", Handler.preupload),
    ("POST", rf"{API}/commit/([^/]+)", Handler.commit),
    ("POST", rf"{API}/tag/([^/]+)", Handler.tag),
    ("POST", r"/(?:(?:datasets|spaces)/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch", Handler.batch),
    ("PUT", r"/objects/(\w+)", Handler.put),
    ("GET", r"(?:/(datasets|spaces))?/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", Handler.resolve),
)


@contextmanager
def running() -> Iterator[FakeHub]:
    """Serve a hub of its own in a thread; it ends with the block."""
    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.over.set()
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
