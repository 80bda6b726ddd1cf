"""What fails on the way to the Hub is tried again or told in one message, within a time limit, and nothing is done twice."""

import logging
import time

import pytest
from huggingface_hub import constants, get_session

from safer_bench.dataset.hub import watch
from safer_bench.dataset.hub.publishing import publish
from safer_bench.dataset.hub.pulling import pull
from safer_bench.dataset.release import read_release
from safer_bench.dataset.tree import load_tree
from safer_bench.errors import HubUnreachable
from tests.made_up.repos import TOKEN
from tests.made_up.trees import content, other_card


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "it knows no valid token. Log in: hf auth login, or set HF_TOKEN; and check the name"),
        (403, "the token may not do that; use one that may write to this repository"),
        (404, "there is no such repository or revision, or the token may not see it; check --repo-id and --revision"),
        (409, "the repository has changed meanwhile; look with --dry-run and repeat the command"),
    ],
)
def test_a_refusal_of_the_hub_is_one_message(hub, cli, copy, status, message):
    hub.fail("POST", "/commit/main", status)
    found = cli("publish", copy, "--repo-id", "me/truth", "--tag", "v1.0.0")
    assert (found.code, found.err.splitlines()[-1]) == (
        2,
        f"Error: the Hub refused to publish to me/truth ({status}): {message}",
    )
    assert hub.repo("me/truth").tags == {}


@pytest.mark.parametrize(
    ("what", "method", "path"),
    [
        (429, "GET", "/refs"),
        (500, "POST", "/api/repos/create"),
        (500, "POST", "/preupload/"),
        (500, "PUT", "/objects/"),
        (500, "POST", "/commit/"),
        (500, "POST", "/tag/"),
        ("cut", "PUT", "/objects/"),
        ("cut", "POST", "/commit/"),
        ("half", "GET", "/tree/"),
        ("lost", "POST", "/api/repos/create"),
        ("lost", "POST", "/commit/"),
        ("lost", "POST", "/tag/"),
        ("slow", "POST", "/commit/"),
    ],
)
def test_what_fails_on_the_way_is_tried_again_and_nothing_is_done_twice(hub, copy, repo_files, what, method, path):
    hub.fail(method, path, what)
    publish(read_release(copy), "me/truth", "v0.1.0")
    assert [fault.times for fault in hub.faults] == [0]
    assert repo_files(hub, revision="v0.1.0") == content(copy)
    assert len(hub.repo("me/truth").commits) == 2


def test_an_interrupted_upload_leaves_the_repository_as_it_was_and_is_repeated(hub, copy, repo_files):
    publish(read_release(copy), "me/truth", "v0.1.0")
    before = repo_files(hub)
    hub.fail("POST", "/commit/", "cut", times=99)
    with pytest.raises(HubUnreachable, match="cannot be reached to publish to me/truth"):
        publish(read_release(other_card(copy)), "me/truth", "v0.2.0")
    assert repo_files(hub) == before
    assert set(hub.repo("me/truth").tags) == {"v0.1.0"}
    hub.faults.clear()
    publish(read_release(copy), "me/truth", "v0.2.0")
    assert repo_files(hub, revision="v0.2.0") == content(copy)


@pytest.mark.parametrize(("status", "times"), [(401, 1), (418, 1), (500, 99)])
def test_the_token_reaches_no_message_and_no_log(hub, cli, copy, caplog, status, times):
    """The fake repeats the credentials it was given in the message of every fault."""
    caplog.set_level(logging.DEBUG)
    hub.fail("POST", "/commit/main", status, times)
    found = cli("publish", copy, "--repo-id", "me/truth")
    assert found.code == 2
    assert f"({status})" in found.err or f"answers {status}" in found.err
    assert TOKEN not in found.out + found.err + caplog.text
    if status == 418:
        assert "fault 418 for Bearer hf_..." in found.err


@pytest.mark.parametrize("what", [500, "cut", "half", "slow"])
def test_a_download_that_fails_on_the_way_is_tried_again(published, copy, what):
    published.fail("GET", "/resolve/.*layer_drops/test", what)
    tree = pull()
    assert [fault.times for fault in published.faults] == [0]
    assert tree["layer_drops"].equals(load_tree(copy)["layer_drops"])


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(watch, "SILENCE", 1.0)
    for name in ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT"):
        monkeypatch.setattr(constants, name, 1.0)


@pytest.mark.parametrize(
    "paths",
    [
        pytest.param(["GET /revision/main", "GET /refs", "GET /tree/"], marks=pytest.mark.long),
        pytest.param(["POST /api/repos/create", "POST /preupload/", "POST /objects/batch"], marks=pytest.mark.long),
        ["PUT /objects/", "POST /commit/", "POST /tag/"],
    ],
    ids=["looking", "preparing", "writing"],
)
def test_a_hub_that_falls_silent_is_asked_again(hub, copy, repo_files, impatient, paths):
    """huggingface_hub's own client waits for ever."""
    for path in paths:
        hub.fail(*path.split(), "silent")
    started = time.monotonic()
    publish(read_release(copy), "me/truth", "v0.1.0")
    assert time.monotonic() - started < 28
    assert [fault.times for fault in hub.faults] == [0, 0, 0]
    assert repo_files(hub, revision="v0.1.0") == content(copy)


def test_a_download_that_falls_silent_is_tried_again(published, copy, impatient):
    for path in ("/revision/", "/tree/", "/resolve/.*README", "/resolve/.*layer_drops/test"):
        published.fail("GET", path, "silent")
    tree = pull()
    assert [fault.times for fault in published.faults] == [0] * 4
    assert tree["layer_drops"].equals(load_tree(copy)["layer_drops"])


def test_a_hub_that_stays_silent_is_told_and_the_callers_client_is_left_as_it_was(hub, copy, impatient):
    client_of_the_caller = get_session()
    hooks = client_of_the_caller.event_hooks
    hub.fail("GET", "/revision/main", "silent", times=99)
    with pytest.raises(HubUnreachable) as error:
        publish(read_release(copy), "me/truth")
    assert str(error.value) == (
        "the Hub at 127.0.0.1 cannot be reached to publish to me/truth (TimeoutError: timed out); try again later"
    )
    assert get_session() is client_of_the_caller
    assert client_of_the_caller.event_hooks == hooks
