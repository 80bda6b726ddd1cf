"""Pull a published truth of one revision, and never take an older copy or a damaged cache for it."""

from pathlib import Path

from safer_bench.dataset.hub.client import open_api, persist
from safer_bench.dataset.pinned import NOT_OF_THE_TREE, REPO_ID, REVISION
from safer_bench.dataset.tree import MANIFEST, Tree, load_tree
from safer_bench.dataset.verify import problems
from safer_bench.errors import BadInput, HubError, HubUnreachable


def pull(repo_id: str = REPO_ID, revision: str = REVISION) -> Tree:
    """Fetch a published truth into the Hugging Face cache and check it whole.

    Args:
        repo_id: ``ORG/NAME``.
        revision: a tag, a commit or a branch.

    Returns:
        The tree, of the revision as the Hub has it now: a copy of an earlier one is never taken for it.

    Raises:
        HubUnreachable: the Hub does not answer to the end.
        HubError: it has no such repository or revision, or refuses.
        BadInput: what was fetched is not what its manifest says.
    """
    tree = persist(f"pull {repo_id}", lambda: _fetch(repo_id, revision))
    if list(problems(tree)):  # a damaged cache looks complete to huggingface_hub
        tree = persist(f"pull {repo_id}", lambda: _fetch(repo_id, revision, force=True))
    wrong = list(problems(tree))
    if wrong:
        raise BadInput(f"{repo_id} at {revision}: not what its manifest says: {wrong[0]}; pull another revision")
    return tree


def _fetch(repo_id: str, revision: str, *, force: bool = False) -> Tree:
    api = open_api()
    commit = api.repo_info(repo_id, repo_type="dataset", revision=revision).sha
    folder = api.snapshot_download(
        repo_id, repo_type="dataset", revision=revision, ignore_patterns=list(NOT_OF_THE_TREE), force_download=force
    )
    if Path(folder).name != commit:  # huggingface_hub falls back on its cache without a word
        raise HubUnreachable(f"{repo_id}: {revision} changed while it was fetched; pull again")
    if not (Path(folder) / MANIFEST).is_file():
        raise HubError(
            f"{repo_id} at {revision}: no dataset tree (it has no {MANIFEST}); name a repository made by `publish`"
        )
    return load_tree(folder)
