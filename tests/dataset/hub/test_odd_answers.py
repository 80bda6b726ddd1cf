"""Every request that pull, publish and submit make meets every kind of fault: one message, nothing half done, mended by repeating."""

import json
import re
import shutil
import socket
import time
from hashlib import sha256
from types import SimpleNamespace

import pytest
from huggingface_hub import close_session, constants, get_session

from safer_bench.dataset import pinned, verify
from safer_bench.dataset.hub import client, submitting, watch
from safer_bench.dataset.hub.publishing import publish
from safer_bench.dataset.hub.pulling import pull
from safer_bench.dataset.pinned import REPO_ID, REVISION
from safer_bench.dataset.release import read_release
from safer_bench.dataset.tree import MANIFEST
from safer_bench.errors import BadInput, SaferBenchError
from safer_bench.tables import schema
from safer_bench.truth.run_folder import PROTOCOL
from tests.dataset.hub.conftest import point_to
from tests.made_up.hub_faults import COMMITS, EVERYWHERE, FILES, LISTINGS, UPLOADS
from tests.made_up.repos import TOKEN
from tests.made_up.trees import content

REQUESTS = {
    "publish": {
        "GET /revision/main$": {},
        "GET /refs$": {},
        "GET /tree/": LISTINGS,
        "POST /api/repos/create$": {},
        "POST /api/validate-yaml$": {},
        "POST /preupload/": {},
        "POST /objects/batch$": UPLOADS,
        "PUT /objects/": {},
        "POST /commit/": COMMITS,
        "POST /tag/": {},
        "HEAD /resolve/": FILES,
        "GET /resolve/": FILES,
    },
    "pull": {
        "GET /revision/": {},
        "GET /tree/": LISTINGS,
        "HEAD /resolve/.*manifest": FILES,
        "GET /resolve/.*manifest": FILES,
        "HEAD /resolve/.*README": FILES,
        "GET /resolve/.*README": FILES,
    },
    "submit": {
        "GET /tree/main": LISTINGS,
        "GET /tree/refs": LISTINGS,
        "POST /preupload/": {},
        "POST /objects/batch$": UPLOADS,
        "PUT /objects/": {},
        "POST /commit/": COMMITS,
    },
}
EACH = [(command, request) for command, requests in REQUESTS.items() for request in requests]
SAMPLE = [
    ("pull", "GET /revision/", "200 page"),
    ("pull", "GET /revision/", "null"),
    ("pull", "GET /revision/", "other types"),
    ("pull", "GET /revision/", "moved"),
    ("pull", "GET /tree/", "list"),
    ("pull", "GET /tree/", "up"),
    ("pull", "GET /tree/", "control"),
    ("pull", "GET /tree/", "case"),
    ("pull", "GET /tree/", "endless pages"),
    ("pull", "HEAD /resolve/.*README", "digest of another place"),
    ("pull", "HEAD /resolve/.*README", "other commit"),
    ("pull", "GET /resolve/.*README", "gzip garbage"),
    ("pull", "GET /resolve/.*README", "other content"),
    ("publish", "GET /revision/main$", "401"),
    ("publish", "GET /refs$", "other types"),
    ("publish", "GET /tree/", "429 wait a day"),
    ("publish", "POST /api/repos/create$", "lie"),
    ("publish", "POST /objects/batch$", "actions of text"),
    ("publish", "PUT /objects/", "lie"),
    ("publish", "POST /commit/", "no commit named"),
    ("publish", "POST /tag/", "lie"),
    ("publish", "POST /tag/", "loop"),
    ("submit", "POST /commit/", "lie"),
    ("submit", "POST /commit/", "odd pull request"),
    ("submit", "POST /commit/", "413"),
    ("submit", "GET /tree/refs", "invalid UTF-8"),
]


def kinds_of(command, request):
    return EVERYWHERE | REQUESTS[command][request]


def names_of_this_machine(host, *rest, really=socket.getaddrinfo, **more):
    """Know at once that there is no other machine: asking for its name takes seconds."""
    if host not in ("127.0.0.1", "localhost"):
        raise socket.gaierror(-2, "Name or service not known")
    return really(host, *rest, **more)


@pytest.fixture
def quick(monkeypatch):
    """Nothing waits: what is slow is told by a fraction of a second, which a busy machine's honest answers keep to."""
    monkeypatch.setattr(client, "WAITS", ())
    monkeypatch.setattr(watch, "SILENCE", 0.3)
    monkeypatch.setattr(watch, "MANY_PAGES", 40)
    for name in ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT"):
        monkeypatch.setattr(constants, name, 0.3)
    monkeypatch.setattr("huggingface_hub.file_download._ETAG_RETRY_TIMEOUT", 0.3)
    monkeypatch.setattr(socket, "getaddrinfo", names_of_this_machine)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The least of each kind of folder: a zoo of one network, a tree of a card, a submission."""
    root = tmp_path_factory.mktemp("least")
    weights, card = b"weights" * 50, "---\nlicense: mit\n---\n"
    digest = sha256(weights).hexdigest()
    texts = {"README.md": f"{card}| net | {digest[:16]} |", "parts.json": "{}"}
    accuracies = json.dumps({"net": {"n_correct": 1, "n_examples": 2, "weights_sha256": digest}})
    manifest = {"schema": schema.VERSION, "protocol": PROTOCOL, "seed": 0, "contents": {}, "files": {}}
    manifest["files"]["README.md"] = sha256(card.encode()).hexdigest()
    for folder, files in {
        "zoo": {**texts, "test_accuracy.json": accuracies, "net.safetensors": weights},
        "tree": {"README.md": card, MANIFEST: json.dumps(manifest)},
        "mine": {"submission.yaml": "name: mine", "scores.parquet": weights},
    }.items():
        (root / folder).mkdir()
        for name, data in files.items():
            (root / folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return root


@pytest.fixture
def commands(hub, folders, monkeypatch):
    """Each command and what it has to have done."""
    monkeypatch.setattr(verify, "NEEDED", ())  # a tree of one card is soon checked
    monkeypatch.setattr(
        submitting, "read_submission", lambda *_: SimpleNamespace(card=SimpleNamespace(name="mine", criteria=[]))
    )

    def published():
        repo = hub.repo("me/zoo", "model")
        for at in ("main", "v0.1.0"):
            assert repo.commits[repo.resolve(at)].items() >= content(folders / "zoo").items()

    def pulled():
        assert content(pinned.pulled_folder()) == content(folders / "tree")

    def offered():
        last = list(hub.repo("me/truth").pulls.values())[-1]
        files = hub.repo("me/truth").commits[last]
        assert files == {**files, **{f"submissions/mine/{name}": data for name, data in content(folders / "mine").items()}}

    return {
        "publish": (lambda: publish(read_release(folders / "zoo"), "me/zoo", "v0.1.0", into_existing=True), published),
        "pull": (lambda: pull(), pulled),
        "submit": (lambda: submitting.submit(folders / "mine", "me/truth", {}), offered),
    }


def start_again(hub, folders):
    """Return to a hub that holds a tree and somebody's older zoo, and to an empty cache."""
    hub.repos.clear()
    hub.objects.clear()
    hub.faults.clear()
    shutil.rmtree(constants.HF_HUB_CACHE, ignore_errors=True)
    tree = hub.make(REPO_ID, files=content(folders / "tree"))
    tree.tags[REVISION] = tree.branches["main"]
    hub.make("me/truth", files={"submissions/mine/scores.csv": b"old", "submissions/other/scores.csv": b"theirs"})


def meet(hub, folders, commands, command, request, kind):
    """Let a command meet a fault at every such request, then repeat it without; return what it said, None for nothing."""
    start_again(hub, folders)
    if "resolve" in request and command == "publish":  # it reads the marker of what it published before
        hub.make("me/zoo", "model", {**content(folders / "zoo"), "README.md": b"old"})
    act, check = commands[command]
    if "resolve" in request and command == "publish":
        act = lambda: publish(read_release(folders / "zoo"), "me/zoo", "v0.1.0")  # noqa: E731
    method, path = request.split()
    hub.fail(method, path, kinds_of(command, request)[kind], times=1 if kind == "moved" else 10**6)
    started, said = time.monotonic(), None
    try:
        act()
    except SaferBenchError as error:
        said = str(error)
        assert said.isprintable()
        assert 20 < len(said) < 700
        assert re.search(r"[;.] (and |to mend |)?[a-z`]", said), "it says what to do"
        assert TOKEN not in said
        if command == "pull":
            assert pinned.pulled_folder() is None
    else:
        if kind != "moved":
            check()
    assert time.monotonic() - started < 20
    assert hub.faults[0].times < (1 if kind == "moved" else 10**6), "the request was made"
    hub.faults.clear()
    close_session()  # a command that is repeated has connections of its own
    if kind == "moved":
        start_again(hub, folders)
    act()
    check()
    return said


@pytest.mark.parametrize(("command", "request_", "kind"), SAMPLE)
def test_an_odd_answer_is_one_message_and_repeating_mends_it(hub, quick, folders, commands, command, request_, kind):
    assert meet(hub, folders, commands, command, request_, kind) is not None


@pytest.mark.parametrize("words", [("pull",), ("publish", "TREE", "--repo-id", "me/truth"), ("submit", "MINE")])
@pytest.mark.parametrize(
    ("endpoint", "what"),
    [
        ("http://127.0.0.1:9", "ConnectionRefusedError: [Errno 111] Connection refused"),
        ("http://nowhere.invalid", "gaierror: [Errno -2] Name or service not known"),
    ],
)
def test_a_hub_that_is_not_there_is_one_message_and_exit_code_two(
    cli, copy, quick, folders, commands, monkeypatch, tmp_path, words, endpoint, what
):
    point_to(endpoint, monkeypatch, tmp_path)
    monkeypatch.setattr(client, "WAITS", ())
    monkeypatch.setattr(verify, "NEEDED", ("networks",))
    places = {"TREE": copy, "MINE": folders / "mine"}
    more = ("--truth", copy) if words[0] == "submit" else ()
    found = cli(*(places.get(word, word) for word in words), *more)
    assert found.code == 2
    told = [line for line in found.err.splitlines() if line.startswith("Error: ")]
    assert len(told) == 1
    assert f"cannot be reached to {DOING[words[0]]} ({what}); " in told[0]
    assert "Traceback" not in found.err


DOING = {
    "pull": f"pull {REPO_ID}",
    "publish": "publish to me/truth",
    "submit": f"open a pull request on {REPO_ID}",
}


@pytest.mark.parametrize(
    "words",
    [
        ("POST /commit/", "200 page", "publish", "TREE", "--repo-id", "me/new"),
        ("GET /tree/", "null", "submit", "MINE", "--repo-id", "me/truth"),
        ("GET /revision/", "deep", "pull"),
    ],
)
def test_an_answer_that_cannot_be_read_is_exit_code_two(hub, cli, copy, quick, folders, commands, words):
    start_again(hub, folders)
    method, path = words[0].split()
    hub.fail(method, path, EVERYWHERE[words[1]], times=10**6)
    places = {"TREE": copy, "MINE": folders / "mine"}
    more = ("--truth", copy) if words[2] == "submit" else ()
    found = cli(*(places.get(word, word) for word in words[2:]), *more)
    assert found.code == 2
    told = found.err.splitlines()[-1]
    assert told.startswith("Error: the Hub at 127.0.0.1 gave no answer that can be read, to ")
    assert "Traceback" not in found.err


@pytest.mark.parametrize("token", ["hf_with space1234", "hf_wíth1234567", "hf_new\x01line1234"])
def test_a_token_that_no_request_can_carry_is_told_and_not_shown(hub, folders, commands, monkeypatch, token):
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(BadInput) as error:
        commands["pull"][0]()
    assert str(error.value) == (
        "the token of HF_TOKEN or of `hf auth login` holds spaces or other odd characters; set it anew"
    )


def test_a_client_that_is_opened_after_a_refused_connection_is_watched_too(hub, quick):
    with watch.watched():
        close_session()
        assert len(get_session().event_hooks["response"]) == 1
        inside = get_session()
    assert inside.event_hooks["response"] == []


@pytest.mark.long
@pytest.mark.parametrize(("command", "request_"), EACH)
def test_every_request_meets_every_kind_of_fault(hub, quick, folders, commands, command, request_):
    kinds = kinds_of(command, request_)
    assert len(kinds) >= 20
    wrong = {}
    for kind in kinds:
        try:
            meet(hub, folders, commands, command, request_, kind)
        except Exception as error:
            wrong[kind] = f"{type(error).__name__}: {error}"
    assert wrong == {}
