"""Offer a submission in a pull request."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from safer_bench.dataset.hub.client import open_api, told
from safer_bench.dataset.hub.listing import files_at
from safer_bench.dataset.release import git_blob
from safer_bench.dataset.submissions.code import files_of
from safer_bench.dataset.submissions.submission import read_submission
from safer_bench.errors import HubError
from safer_bench.tables import files


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
        HubUnreachable, HubError: the Hub does not answer, refuses, or did not take the files.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    card = read_submission(folder, truth).card
    name, remote = card.name, f"submissions/{card.name}"
    offered = [path.as_posix() for path in files_of(folder, card)]
    with told(f"open a pull request on {repo_id}", "look first whether it is open already"):
        api = open_api()
        belongs = lambda path: path.casefold().startswith(f"{remote}/".casefold())  # noqa: E731
        there = files_at(api, repo_id, "dataset", "main", belongs)
        taken_by = next((path for path in there if not path.startswith(f"{remote}/")), None)
        if taken_by is not None:
            raise HubError(f"{repo_id}: holds {taken_by}; give the submission a name that differs by more than case")
        stale = sorted(set(there) - {f"{remote}/{file}" for file in offered})
        request = api.create_commit(
            repo_id,
            repo_type="dataset",
            operations=[
                *(CommitOperationAdd(f"{remote}/{file}", folder / file) for file in offered),
                *(CommitOperationDelete(path, is_folder=False) for path in stale),
            ],
            commit_message=f"Submission {name}",
            create_pr=True,
        )
        address = str(request.pr_url)
        if not request.pr_revision or not address.isprintable():
            raise HubError(
                f"the Hub names no pull request on {repo_id}: it holds these very files, or look whether it is open"
            )
        taken = files_at(api, repo_id, "dataset", request.pr_revision, belongs)
        for file in offered:
            data = (folder / file).read_bytes()
            if taken.get(f"{remote}/{file}") not in {git_blob(data), files.sha256_of(data)}:
                raise HubError(f"{address} is open, but its {file} is not the one of {folder}; close it, and submit again")
    return address
