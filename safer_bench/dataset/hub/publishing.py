"""Publish a checked folder: compare it with what a repository holds, then one commit and one tag."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safer_bench.dataset.hub.client import open_api, persist, told
from safer_bench.dataset.hub.listing import as_commit, commit_at, files_at
from safer_bench.dataset.pinned import X_Y_Z
from safer_bench.dataset.release import Release, git_blob
from safer_bench.errors import BadInput, HubError
from safer_bench.tables import files

if TYPE_CHECKING:
    from huggingface_hub import HfApi

Names = tuple[str, ...]


@dataclass(frozen=True)
class Changes:
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


def find_changes(release: Release, repo_id: str, tag: str | None = None, *, into_existing: bool = False) -> Changes:
    """Compare a checked folder with a repository; nothing is written.

    Args:
        release: what is to be published.
        repo_id: ``ORG/NAME``.
        tag: ``vX.Y.Z``; the repository may have it already if it names the very files.
        into_existing: whether a repository that holds something else may be replaced.

    Raises:
        HubUnreachable: the Hub does not answer.
        HubError: it refuses, the tag names other files, or the repository holds what publishing did not put there.
        BadInput: ``repo_id`` or ``tag`` is none, or the tree states another version.
    """
    _check_names(release, repo_id, tag)
    with told(f"look at {repo_id}"):
        return _changes_of(open_api(), release, repo_id, tag, into_existing=into_existing)


def _check_names(release: Release, repo_id: str, tag: str | None) -> None:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo_id):
        raise BadInput(f"not a repository name ({repo_id!r}); expected ORG/NAME")
    if tag is not None and not re.fullmatch(f"v{X_Y_Z}", tag):
        raise BadInput(f"tag {tag!r}; expected vX.Y.Z, such as v1.0.0 (a tag never moves)")
    if tag is not None and release.version is not None and tag != f"v{release.version}":
        raise BadInput(
            f"tag {tag}; {release.folder} says that it is version {release.version}: tag it v{release.version}, or pack it "
            f"again with --data-version {tag[1:]}"
        )


def _changes_of(api: "HfApi", release: Release, repo_id: str, tag: str | None, *, into_existing: bool) -> Changes:
    from huggingface_hub import get_token
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        head = commit_at(api, repo_id, release.repo_type, "main")
        tagged = _tagged(api, release, repo_id, tag)
    except RepositoryNotFoundError as error:
        if error.response.status_code != 404 and get_token():
            raise  # the token is not known or may not see it; without a token the Hub answers 401 for what is not there
        return Changes(None, release.names)
    ours = release.digests()
    if tagged and _differences(ours, files_at(api, repo_id, release.repo_type, tagged)) != ((), (), ()):
        raise HubError(
            f"{repo_id}: tag {tag} is there and names other files than {release.folder}; a tag never moves: publish it as "
            "another"
        )
    theirs = files_at(api, repo_id, release.repo_type, head)
    if theirs and not into_existing and not _is_ours(api, release, repo_id, head, theirs):
        raise HubError(
            f"{repo_id}: holds {min(theirs)}, which `publish` did not put there; name another repository, or replace what "
            "it holds with --into-existing (with --dry-run first: it lists what would be removed)"
        )
    return Changes(head, *_differences(ours, theirs), tagged)


def _tagged(api: "HfApi", release: Release, repo_id: str, tag: str | None) -> str | None:
    """Return the commit that a tag names; None where there is no such tag."""
    tags = api.list_repo_refs(repo_id, repo_type=release.repo_type).tags
    return next((as_commit(ref.target_commit, f"{repo_id} at {tag}") for ref in tags if ref.name == tag), None)


def _differences(ours: Mapping[str, set[str]], theirs: Mapping[str, str]) -> tuple[Names, Names, Names]:
    """Return the names of files to add, to change and to remove."""
    changed = (name for name in set(ours) & set(theirs) if theirs[name] not in ours[name])
    added, removed = set(ours) - set(theirs), set(theirs) - set(ours)
    return tuple(sorted(added)), tuple(sorted(changed)), tuple(sorted(removed))


def _is_ours(api: "HfApi", release: Release, repo_id: str, head: str, theirs: Mapping[str, str]) -> bool:
    """Tell whether a repository holds what `publish` put there: its marker, and no file that the marker does not know."""
    if release.marker not in theirs:
        return False
    marker = _marker(api, release, repo_id, head, theirs[release.marker])
    try:
        known = _known_to(release, marker)
    except (ValueError, TypeError, KeyError):
        return False
    return set(theirs) <= known | {release.marker}


def _known_to(release: Release, marker: bytes) -> set[str]:
    """Return the files that a marker accounts for; an exception where it is no marker."""
    if release.repo_type == "space":
        return set(release.names) if b"\n- safer-bench\n" in marker else set()
    held = json.loads(marker)
    if release.repo_type == "dataset":
        return set(held["files"])
    return {"README.md", "parts.json", *(f"{name}.safetensors" for name in held)}


def _marker(api: "HfApi", release: Release, repo_id: str, head: str, digest: str) -> bytes:
    """Return the marker of a repository, fetched again where the cache holds another file in its place."""
    for force in (False, True):
        path = api.hf_hub_download(repo_id, release.marker, repo_type=release.repo_type, revision=head, force_download=force)
        data = Path(path).read_bytes()
        if digest in {git_blob(data), files.sha256_of(data)}:
            return data
    raise HubError(f"{repo_id}: the Hub gives another {release.marker} than it lists; try again later")


def publish(
    release: Release, repo_id: str, tag: str | None = None, *, private: bool = False, into_existing: bool = False
) -> str:
    """Make a repository hold a checked folder, by one commit, and tag it; what fails on the way is tried again.

    Where the tag names these files already, nothing is done, whatever the branch holds by now. Nothing is seen of it before
    the commit. Each trial compares anew, so that none repeats what the Hub did before its answer was lost; a command that
    was interrupted is simply repeated.

    Args:
        release: what to publish.
        repo_id: ``ORG/NAME``; created where it is not there.
        tag: ``vX.Y.Z``.
        private: whether a repository that is created is private.
        into_existing: whether a repository that holds something else may be replaced.

    Returns:
        The commit that holds the files.

    Raises:
        HubUnreachable, HubError, BadInput: as ``find_changes``; the Hub did not take the files, or holds others now.
    """
    _check_names(release, repo_id, tag)
    created = False  # the Hub itself puts files into a new Space, such as a card and a page to begin with

    def once() -> str:
        nonlocal created
        api = open_api()
        look = lambda: _changes_of(api, release, repo_id, tag, into_existing=into_existing or created)  # noqa: E731
        changes = look()
        if changes.head is None:
            created = release.repo_type == "space"
            sdk = "static" if created else None
            api.create_repo(repo_id, repo_type=release.repo_type, private=private, exist_ok=True, space_sdk=sdk)
            changes = look()
        if changes.tagged:
            return changes.tagged
        if not changes.clean:
            _commit(api, release, repo_id, changes, f"Publish {tag or release.folder.name}")
            changes = look()
        if not changes.clean:
            odd = min(changes.added + changes.changed + changes.removed)
            raise HubError(f"{repo_id}: after the commit {odd} is not as in {release.folder}; nothing was tagged")
        if tag:
            api.create_tag(repo_id, tag=tag, revision=changes.head, repo_type=release.repo_type)
            if _tagged(api, release, repo_id, tag) != changes.head:
                raise HubError(f"{repo_id}: holds the files, but the Hub does not show tag {tag}; repeat the command")
        return str(changes.head)

    return persist(f"publish to {repo_id}", once)


def _commit(api: "HfApi", release: Release, repo_id: str, changes: Changes, title: str) -> None:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    api.create_commit(
        repo_id,
        repo_type=release.repo_type,
        operations=[
            *(CommitOperationAdd(name, release.files[name]) for name in changes.added + changes.changed),
            *(CommitOperationDelete(name, is_folder=False) for name in changes.removed),
        ],
        commit_message=title,
        parent_commit=changes.head,
    )
