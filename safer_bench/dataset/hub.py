"""The Hugging Face Hub: publish a tree in one commit, pull a pinned truth, offer a submission in a pull request.

No function takes a token: huggingface_hub finds it where ``hf auth login`` or ``HF_TOKEN`` left it, and no message shows it.
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import pyarrow as pa

from safer_bench.dataset.pinned import NOT_OF_THE_TREE, REPO_ID, REVISION
from safer_bench.dataset.release import Release
from safer_bench.dataset.tree import MANIFEST, Tree, load_tree
from safer_bench.dataset.verify import problems
from safer_bench.errors import BadInput, HubError, HubUnreachable, SaferBenchError
from safer_bench.submission import read_submission

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")
Names = tuple[str, ...]
WAITS = (1.0, 4.0, 10.0)  # seconds before each repetition of what failed on the way
SUBMISSION_FILES = ("submission.yaml", "scores.parquet", "scores.csv", "costs.parquet")


@dataclass(frozen=True)
class Plan:
    """What publishing would change: ``head`` is the last commit of a repository that is there, ``tagged`` the tag's."""

    head: str | None
    added: Names
    changed: Names = ()
    removed: Names = ()
    tagged: str | None = None

    @property
    def clean(self) -> bool:
        """Whether the repository holds the very files already."""
        return self.head is not None and not (self.added or self.changed or self.removed)


def make_plan(release: Release, repo_id: str, tag: str | None = None, *, into_existing: bool = False) -> Plan:
    """Compare a checked folder with a repository; nothing is written.

    Args:
        release: what is to be published.
        repo_id: ``ORG/NAME``.
        tag: ``vX.Y.Z``; the repository may have it already if it names the very files.
        into_existing: whether a repository that holds something else may be replaced.

    Raises:
        HubUnreachable: the Hub does not answer.
        HubError: it refuses, the tag names other files, or the repository holds what publishing did not put there.
        BadInput: ``repo_id`` is no name of a repository.
    """
    with _told(f"look at {repo_id}"):
        return _make_plan(_api(), release, repo_id, tag, into_existing=into_existing)


def _make_plan(api: "HfApi", release: Release, repo_id: str, tag: str | None, *, into_existing: bool) -> Plan:
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        head = api.repo_info(repo_id, repo_type=release.repo_type, revision="main").sha
        refs = api.list_repo_refs(repo_id, repo_type=release.repo_type)
    except RepositoryNotFoundError:
        return Plan(None, release.names)
    ours = release.digests()
    tagged = next((ref.target_commit for ref in refs.tags if ref.name == tag), None)
    if tagged and _differences(ours, _listing(api, repo_id, release.repo_type, tagged)) != ((), (), ()):
        raise HubError(
            f"{repo_id}: tag {tag} is there and names other files than {release.folder}; a tag never moves: publish it as "
            "another"
        )
    theirs = _listing(api, repo_id, release.repo_type, str(head))
    if theirs and not into_existing and not _is_ours(api, release, repo_id, str(head), theirs):
        raise HubError(
            f"{repo_id}: holds {min(theirs)}, which `publish` did not put there; name another repository, or replace what "
            "it holds with --into-existing (with --dry-run first: it lists what would be removed)"
        )
    return Plan(head, *_differences(ours, theirs), tagged)


def _listing(api: "HfApi", repo_id: str, repo_type: str, revision: str) -> dict[str, str]:
    """Return of each file of the tree at a revision what the Hub names its content by."""
    from huggingface_hub.hf_api import RepoFile

    entries = api.list_repo_tree(repo_id, repo_type=repo_type, revision=revision, recursive=True)
    return {
        item.path: item.lfs.sha256 if item.lfs else item.blob_id
        for item in entries
        if isinstance(item, RepoFile) and not any(fnmatch(item.path, pattern) for pattern in NOT_OF_THE_TREE)
    }


def _differences(ours: Mapping[str, set[str]], theirs: Mapping[str, str]) -> tuple[Names, Names, Names]:
    """Return the names of files to add, to change and to remove."""
    changed = (name for name in set(ours) & set(theirs) if theirs[name] not in ours[name])
    added, removed = set(ours) - set(theirs), set(theirs) - set(ours)
    return tuple(sorted(added)), tuple(sorted(changed)), tuple(sorted(removed))


def _is_ours(api: "HfApi", release: Release, repo_id: str, head: str, theirs: Mapping[str, str]) -> bool:
    """Tell whether a repository holds what `publish` put there: its marker, and no file that the marker does not know."""
    if release.marker not in theirs:
        return False
    path = api.hf_hub_download(repo_id, release.marker, repo_type=release.repo_type, revision=head)
    try:
        found = json.loads(Path(path).read_text())
        known = set(found["files"]) if release.repo_type == "dataset" else {f"{name}.safetensors" for name in found}
    except (ValueError, TypeError, KeyError):
        return False
    return set(theirs) <= known | {release.marker} | ({"README.md", "parts.json"} if release.repo_type == "model" else set())


def publish(
    release: Release, repo_id: str, tag: str | None = None, *, private: bool = False, into_existing: bool = False
) -> str:
    """Make a repository hold a checked folder, by one commit, and tag it; what fails on the way is tried again.

    Nothing is seen of it before the commit. Each trial compares anew, so that none repeats what the Hub did before its
    answer was lost; a command that was interrupted is simply repeated.

    Args:
        release: what to publish.
        repo_id: ``ORG/NAME``; created where it is not there.
        tag: ``vX.Y.Z``.
        private: whether a repository that is created is private.
        into_existing: whether a repository that holds something else may be replaced.

    Returns:
        The commit that holds the files.

    Raises:
        HubUnreachable, HubError, BadInput: as ``make_plan``; the Hub did not take the files, or holds others now.
    """

    def once() -> str:
        api = _api()
        look = lambda: _make_plan(api, release, repo_id, tag, into_existing=into_existing)  # noqa: E731
        plan = look()
        if plan.head is None:
            api.create_repo(repo_id, repo_type=release.repo_type, private=private, exist_ok=True)
            plan = look()
        if plan.tagged:
            return plan.tagged
        if not plan.clean:
            _commit(api, release, repo_id, plan, f"Publish {tag or release.folder.name}")
            plan = look()
        if not plan.clean:
            odd = min(plan.added + plan.changed + plan.removed)
            raise HubError(f"{repo_id}: after the commit {odd} is not as in {release.folder}; nothing was tagged")
        if tag:
            api.create_tag(repo_id, tag=tag, revision=plan.head, repo_type=release.repo_type)
        return str(plan.head)

    return _persist(f"publish to {repo_id}", once)


def _commit(api: "HfApi", release: Release, repo_id: str, plan: Plan, title: str) -> None:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    api.create_commit(
        repo_id,
        repo_type=release.repo_type,
        operations=[
            *(CommitOperationAdd(name, release.folder / name) for name in plan.added + plan.changed),
            *(CommitOperationDelete(name, is_folder=False) for name in plan.removed),
        ],
        commit_message=title,
        parent_commit=plan.head,
    )


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
    tree = _persist(f"pull {repo_id}", lambda: _fetch(repo_id, revision))
    if list(problems(tree)):  # a damaged cache looks complete to huggingface_hub
        tree = _persist(f"pull {repo_id}", lambda: _fetch(repo_id, revision, force=True))
    wrong = list(problems(tree))
    if wrong:
        raise BadInput(f"{repo_id} at {revision}: not what its manifest says: {wrong[0]}; pull another revision")
    return tree


def _fetch(repo_id: str, revision: str, *, force: bool = False) -> Tree:
    api = _api()
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


def submit(folder: Path, repo_id: str, truth: Mapping[str, pa.Table]) -> str:
    """Check a submission and offer it in a pull request on the Hub.

    It is not tried again by itself: a request whose answer was lost may have been taken.

    Args:
        folder: ``submissions/NAME``.
        repo_id: the dataset repository that gathers submissions.
        truth: what the submission is checked against.

    Returns:
        The address of the pull request.

    Raises:
        BadSubmission: what is wrong with the submission.
        HubUnreachable, HubError: the Hub does not answer, or refuses.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    name = read_submission(folder, truth).card.name
    place = f"submissions/{name}"
    offered = [file for file in SUBMISSION_FILES if (folder / file).is_file()]
    with _told(f"open a pull request on {repo_id}", "look first whether it is open already"):
        api = _api()
        there = set(api.list_repo_files(repo_id, repo_type="dataset"))
        stale = [file for file in SUBMISSION_FILES if f"{place}/{file}" in there and file not in offered]
        request = api.create_commit(
            repo_id,
            repo_type="dataset",
            operations=[
                *(CommitOperationAdd(f"{place}/{file}", folder / file) for file in offered),
                *(CommitOperationDelete(f"{place}/{file}", is_folder=False) for file in stale),
            ],
            commit_message=f"Submission {name}",
            create_pr=True,
        )
    return str(request.pr_url)


def _api() -> "HfApi":
    from huggingface_hub import HfApi

    return HfApi(library_name="safer-bench")


def _persist(doing: str, action: Callable[[], T]) -> T:
    """Run an action that may be repeated, again after each failure on the way, and at last raise what went wrong."""
    for wait in (*WAITS, None):
        try:
            with _told(doing):
                return action()
        except HubUnreachable:
            if wait is None:
                raise
            time.sleep(wait)
    raise AssertionError("unreachable")


@contextmanager
def _told(doing: str, mend: str = "try again later") -> Iterator[None]:
    """Turn what huggingface_hub raises within the block into one message, without a token or the chain behind it."""
    try:
        yield
    except SaferBenchError:
        raise
    except Exception as error:
        told = _explain(error, doing, mend)
        if told is None:
            raise
        raise told from None


ADVICE = {
    401: "it knows no valid token. Log in: hf auth login, or set HF_TOKEN; and check the name",
    403: "the token may not do that; use one that may write to this repository",
    404: "there is no such repository or revision, or the token may not see it; check --repo-id and --revision",
    409: "the repository has changed meanwhile; look with --dry-run and repeat the command",
    412: "the repository has changed meanwhile; look with --dry-run and repeat the command",
}


def _explain(error: BaseException, doing: str, mend: str) -> SaferBenchError | None:
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    chain = [error]
    while chain[-1].__cause__ or chain[-1].__context__:
        chain.append(chain[-1].__cause__ or chain[-1].__context__)  # type: ignore[arg-type]
    if isinstance(error, HFValidationError):
        return BadInput(f"no name of a repository ({error}); expected ORG/NAME")
    status = next((found.response.status_code for found in chain if isinstance(found, HfHubHTTPError)), None)
    if status in ADVICE:
        return HubError(f"the Hub refused to {doing} ({status}): {ADVICE[status]}")
    if status is not None and status < 500 and status != 429:
        return HubError(f"the Hub refused to {doing} ({status}): {_brief(error)}")
    transport = HfHubHTTPError.__mro__[1]  # HTTPError of the client that this huggingface_hub uses
    lost = (transport, ConnectionError, TimeoutError, LocalEntryNotFoundError)
    if status is None and not any(isinstance(found, lost) for found in chain):
        return None
    what = f"it answers {status}" if status else _brief(chain[-1])
    return HubUnreachable(f"the Hub at {_host()} cannot be reached to {doing} ({what}); {mend}")


def _brief(error: BaseException) -> str:
    """Return the first line of a message, with anything like a token blotted out."""
    from huggingface_hub import get_token

    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    token = get_token()
    return re.sub(r"hf_[A-Za-z0-9]{8,}", "hf_...", text.replace(token, "hf_...") if token else text)[:300]


def _host() -> str:
    return urlsplit(_api().endpoint).hostname or "an unknown address"
