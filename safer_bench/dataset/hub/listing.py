"""What a repository on the Hub holds: commits that are commits, and names that a folder can hold."""

import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from safer_bench.dataset.pinned import NOT_OF_THE_TREE
from safer_bench.errors import HubError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MANY_FILES = 10_000  # a tree has some dozens


def of_the_tree(name: str) -> bool:
    """Tell whether a file of a repository belongs to what was published there."""
    return not any(fnmatch(name, pattern) for pattern in NOT_OF_THE_TREE)


def commit_at(api: "HfApi", repo_id: str, repo_type: str, revision: str) -> str:
    """Return the commit that a revision names now."""
    return as_commit(api.repo_info(repo_id, repo_type=repo_type, revision=revision).sha, f"{repo_id} at {revision}")


def as_commit(value: Any, where: str) -> str:
    """Return what the Hub calls a commit.

    Raises:
        HubError: it is none; a path would be made of it.
    """
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-f]{40}", value):
        raise HubError(f"{where}: the Hub names no commit (40 hex digits) but {value!r:.80}; try again later")
    return value


def files_at(
    api: "HfApi", repo_id: str, repo_type: str, revision: str, belongs: Callable[[str], bool] = of_the_tree
) -> dict[str, str]:
    """Return of each file at a revision what the Hub names its content by.

    Args:
        api: what makes the requests.
        repo_id: ``ORG/NAME``.
        repo_type: ``dataset`` or ``model``.
        revision: a commit or the name of one.
        belongs: which names to look at.

    Raises:
        HubError: a name that leads out of the folder, that not every system can hold, or that is there twice.
    """
    from huggingface_hub.hf_api import RepoFile

    entries = api.list_repo_tree(repo_id, repo_type=repo_type, revision=revision, recursive=True)
    found = [item for item in islice(entries, 10 * MANY_FILES) if isinstance(item, RepoFile) and belongs(str(item.path))]
    odd = next(_odd_names([item.path for item in found]), None)
    if odd is not None:
        raise HubError(f"{repo_id}: the Hub lists {odd}; remove or rename it there, or name another repository")
    return {item.path: str(item.lfs.sha256 if item.lfs else item.blob_id) for item in found}


def _odd_names(names: list[Any]) -> Iterator[str]:
    """Yield which names no tree has: more of them than one has, unsafe ones, and two for one file."""
    if len(names) > MANY_FILES:
        yield f"more than {MANY_FILES} files"
    taken: dict[str, str] = {}
    for name in names:
        safe = isinstance(name, str) and name.isprintable() and not re.search(r'[\\:*?"<>|]', name) and len(name) < 1000
        if not safe or str(PurePosixPath(name)) != name or name.startswith(("/", ".git/")) or ".." in name.split("/"):
            yield f"a file called {name!r:.200}"
            continue
        if name.casefold() in taken:
            yield f"both {taken[name.casefold()]} and {name}: one file on many systems"
        taken[name.casefold()] = name
