"""Offer a submission in a pull request."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from safer_bench.dataset.hub.client import open_api, told
from safer_bench.dataset.submissions.code import DATA, files_of
from safer_bench.dataset.submissions.submission import read_submission


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

    card = read_submission(folder, truth).card
    name, remote = card.name, f"submissions/{card.name}"
    offered = [path.as_posix() for path in files_of(folder, card)]
    with told(f"open a pull request on {repo_id}", "look first whether it is open already"):
        api = open_api()
        there = set(api.list_repo_files(repo_id, repo_type="dataset"))
        stale = [file for file in DATA if f"{remote}/{file}" in there and file not in offered]
        request = api.create_commit(
            repo_id,
            repo_type="dataset",
            operations=[
                *(CommitOperationAdd(f"{remote}/{file}", folder / file) for file in offered),
                *(CommitOperationDelete(f"{remote}/{file}", is_folder=False) for file in stale),
            ],
            commit_message=f"Submission {name}",
            create_pr=True,
        )
    return str(request.pr_url)
