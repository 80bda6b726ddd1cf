"""What may be published: a folder in which every file is accounted for, by a manifest or, in the zoo, by the accuracies."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import Literal

from safer_bench.dataset.tree import MANIFEST, load_tree
from safer_bench.dataset.verify import problems
from safer_bench.errors import BadInput
from safer_bench.tables import files
from safer_bench.tables.accuracies import FILE as ACCURACIES
from safer_bench.tables.accuracies import read_accuracies

MARKERS = {"dataset": MANIFEST, "model": ACCURACIES, "space": "README.md"}


@dataclass(frozen=True)
class Release:
    """A checked folder, its kind of repository, each file there (where it lies, or what it holds), its data's version."""

    folder: Path
    repo_type: Literal["dataset", "model", "space"]
    files: Mapping[str, Path | bytes]
    version: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the files in the repository, in order."""
        return tuple(sorted(self.files))

    @property
    def marker(self) -> str:
        """The file by which a repository on the Hub is known to be one of ours."""
        return MARKERS[self.repo_type]

    def digests(self) -> dict[str, set[str]]:
        """Return of each file the names that the Hub may give its content: git's blob hash, or SHA-256 of a large file."""
        found = {name: file if isinstance(file, bytes) else file.read_bytes() for name, file in self.files.items()}
        return {name: {git_blob(data), files.sha256_of(data)} for name, data in found.items()}


def read_release(folder: Path) -> Release:
    """Check a dataset tree or the zoo's folder of weights, and return what to publish: every file that is accounted for.

    Args:
        folder: holds ``manifest.json`` (a dataset tree) or ``test_accuracy.json`` (the zoo).

    Raises:
        MissingData: it holds neither.
        BadInput: a file is missing, differs from what is written of it, or is written of nowhere.
    """
    zoo = not (folder / MANIFEST).is_file() and (folder / ACCURACIES).is_file()
    wrong = list(_zoo_problems(folder) if zoo else problems(load_tree(folder)))
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if wrong[1:] else ""
        mend = (
            "safer-bench train NAME writes the zoo's card and accuracies" if zoo else f"safer-bench verify {folder} --rows 0"
        )
        raise BadInput(f"{folder}: cannot be published: {wrong[0]}{more}; remove or mend it first: {mend}")
    if zoo:
        return Release(folder, "model", {name: folder / name for name in files.names_below(folder)})
    manifest = load_tree(folder).manifest
    found = {name: folder / name for name in (*manifest["files"], MANIFEST)}
    return Release(folder, "dataset", found, manifest.get("version"))


def _zoo_problems(folder: Path) -> Iterator[str]:
    """Yield what is wrong with the weights, their card and the files beside them."""
    try:
        digests = {name: row["weights_sha256"] for name, row in read_accuracies(folder / ACCURACIES).items()}
    except BadInput as error:
        yield str(error).removeprefix(f"{folder}/")
        return
    there = files.names_below(folder)
    known = {"README.md", "parts.json", ACCURACIES, *(f"{name}.safetensors" for name in digests)}
    yield from (f"{name}: not in {ACCURACIES}" for name in sorted(there - known))
    yield from (f"{name}: missing" for name in sorted(known - there))
    card = (folder / "README.md").read_text(encoding="utf-8") if "README.md" in there else ""
    for name, digest in digests.items():
        weights = f"{name}.safetensors"
        if weights in there and files.sha256_of((folder / weights).read_bytes()) != digest:
            yield f"{weights}: differs from {ACCURACIES}"
        if card and not (f"| {name} |" in card and digest[:16] in card):
            yield f"README.md: does not show {name} with weights {digest[:16]}"


def git_blob(data: bytes) -> str:
    """Return the hash by which git, and so the Hub, names the content of a small file.

    >>> git_blob(b"")
    'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'
    """
    return sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
