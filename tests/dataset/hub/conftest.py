"""A fake hub for each test, a cache of its own, and nothing that waits."""

import shutil

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from huggingface_hub import close_session, constants

from safer_bench.dataset.documents.render import render_documents
from safer_bench.dataset.hub import client
from safer_bench.dataset.hub.publishing import publish
from safer_bench.dataset.pinned import REPO_ID, REVISION
from safer_bench.dataset.release import read_release
from safer_bench.dataset.tree import load_tree, write_tree
from tests.conftest import COMMITTED
from tests.made_up.fake_hub import running
from tests.made_up.repos import TOKEN, FakeHub


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that huggingface_hub in this process talks to, logged in."""
    with running() as found:
        point_to(found.endpoint, monkeypatch, tmp_path)
        yield found
    close_session()


def point_to(endpoint, monkeypatch, tmp_path):
    cache = str(tmp_path / "hf" / "hub")
    for name, value in {
        "ENDPOINT": endpoint,
        "HUGGINGFACE_CO_URL_TEMPLATE": endpoint + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_CACHE": cache,
        "HF_HUB_ETAG_TIMEOUT": 5,
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(client, "WAITS", (0.0, 0.0, 0.0))
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    close_session()


@pytest.fixture(scope="session")
def little_tree(tmp_path_factory):
    """Two networks of the committed truth as a tree of their own: nothing need be measured to be published."""
    committed, keep = load_tree(COMMITTED), pa.array(["digits_mlp", "digits_resnet"])
    tables = {
        name: table.filter(pc.is_in(table["network"], keep)) if "network" in table.schema.names else table
        for name, table in committed.items()
    }
    out = tmp_path_factory.mktemp("little") / "tree"
    write_tree(out, tables, {"protocol": 1, "seed": committed.manifest["seed"]}, render_documents)
    return out


@pytest.fixture
def copy(little_tree, tmp_path):
    return shutil.copytree(little_tree, tmp_path / "tree")


@pytest.fixture
def published(hub, copy):
    """The hub with the little tree as the pinned truth."""
    publish(read_release(copy), REPO_ID, REVISION)
    return hub


@pytest.fixture
def repo_files():
    """Return what a revision of a repository holds, but for the Hub's own file."""

    def files(hub: FakeHub, repo_id="me/truth", revision="main", kind="dataset"):
        repo = hub.repo(repo_id, kind)
        return {name: data for name, data in repo.commits[repo.resolve(revision)].items() if name != ".gitattributes"}

    return files
