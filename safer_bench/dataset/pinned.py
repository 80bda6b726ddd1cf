"""The published truth that this release of the package stands for, and where its copy lies once it was pulled."""

from pathlib import Path

REPO_ID = "safer-bench/safer-bench"
VERSION = "1.0.0"  # of the published data, declared here alone; where a published number changes, so does this one
REVISION = f"v{VERSION}"
X_Y_Z = r"[0-9]+\.[0-9]+\.[0-9]+"  # the form of every version; of data it is the tag on the Hub too, after a v
NOT_OF_THE_TREE = (".gitattributes", "submissions/*")  # what a published repository may hold besides the tree


def pulled_folder() -> Path | None:
    """Return the folder of the pinned truth in the Hugging Face cache; None where it was never pulled, or not to the end."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                REPO_ID,
                repo_type="dataset",
                revision=REVISION,
                ignore_patterns=list(NOT_OF_THE_TREE),
                local_files_only=True,
            )
        )
    except LocalEntryNotFoundError:
        return None
