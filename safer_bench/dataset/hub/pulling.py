"""Pull a published truth of one revision, and never take an older copy or a damaged cache for it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from safer_bench.dataset.hub.client import open_api, persist
from safer_bench.dataset.hub.listing import commit_at, files_at
from safer_bench.dataset.pinned import REPO_ID, REVISION
from safer_bench.dataset.tree import MANIFEST, Tree, load_tree
from safer_bench.dataset.verify import problems
from safer_bench.errors import BadInput, HubError, HubUnreachable

if TYPE_CHECKING:
    from huggingface_hub import HfApi

AT_ONCE = 8  # files on the way


def pull(repo_id: str = REPO_ID, revision: str = REVISION) -> Tree:
    """Fetch a published truth into the Hugging Face cache and check it whole.

    Args:
        repo_id: ``ORG/NAME``.
        revision: a tag, a commit or a branch.

    Returns:
        The tree, of the revision as the Hub has it now: a copy of an earlier one is never taken for it.

    Raises:
        HubUnreachable: the Hub does not answer to the end.
        HubError: it has no such repository or revision, refuses, or answers what cannot be read.
        BadInput: what was fetched is not what its manifest says.
    """
    doing = f"pull {repo_id}"
    commit = persist(doing, lambda: commit_at(open_api(), repo_id, "dataset", revision))
    folder = persist(doing, lambda: _fetch(repo_id, revision, commit))
    wrong = _first_problem(folder)
    if wrong:  # a damaged cache looks complete to huggingface_hub
        folder = persist(doing, lambda: _fetch(repo_id, revision, commit, force=True))
        wrong = _first_problem(folder)
    if wrong:
        raise BadInput(f"{repo_id} at {revision}: not what its manifest says: {wrong}; pull another revision")
    persist(doing, lambda: _name(repo_id, revision, commit))
    return load_tree(folder)


def _fetch(repo_id: str, revision: str, commit: str, *, force: bool = False) -> Path:
    """Download every file of a commit, and return their folder in the cache.

    The list of files is asked for each time: the one that ``snapshot_download`` keeps may be of a damaged answer.
    """
    api = open_api()
    names = sorted(files_at(api, repo_id, "dataset", commit))
    if MANIFEST not in names:
        raise HubError(
            f"{repo_id} at {revision}: is not a dataset tree (it has no {MANIFEST}); name a repository made by `publish`"
        )
    with ThreadPoolExecutor(AT_ONCE) as workers:
        places = list(workers.map(lambda name: _download(api, repo_id, name, commit, force=force), names))
    folder = places[names.index(MANIFEST)].parent
    if folder.name != commit or any(place != folder / name for place, name in zip(places, names, strict=True)):
        raise HubUnreachable(f"{repo_id}: {revision} changed while it was fetched; pull again")
    return folder


def _download(api: "HfApi", repo_id: str, name: str, revision: str, *, force: bool = False) -> Path:
    return Path(api.hf_hub_download(repo_id, name, repo_type="dataset", revision=revision, force_download=force))


def _first_problem(folder: Path) -> str | None:
    try:
        return next(iter(problems(load_tree(folder))), None)
    except BadInput as error:
        return str(error)


def _name(repo_id: str, revision: str, commit: str) -> None:
    """Let the cache know which commit the revision names, as what is loaded without the Hub is found by it.

    Raises:
        HubUnreachable: it names another one now.
    """
    if _download(open_api(), repo_id, MANIFEST, revision).parent.name != commit:
        raise HubUnreachable(f"{repo_id}: {revision} changed while it was fetched; pull again")
