"""Which files belong to a submission: card, scores, and its code with what that imports from beside it; runs none of it."""

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from safer_bench.dataset.submissions.card import MAX_BYTES, SubmissionCard
from safer_bench.dataset.submissions.plain_files import BadSubmission, check_file
from safer_bench.errors import text_of

DATA = ("submission.yaml", "scores.parquet", "scores.csv", "costs.parquet")
MAX_FILES = 100  # of code
GIVEN = sys.stdlib_module_names | {"numpy", "safer_bench", "scipy", "sklearn", "torch"}  # there before any code is run


def files_of(folder: Path, card: SubmissionCard) -> list[Path]:
    """Return the files that belong to a submission, relative to its folder: its data, then its code, each sorted.

    Raises:
        BadSubmission: as in ``code_of``.
    """
    return [*(Path(name) for name in DATA if (folder / name).is_file()), *code_of(folder, card)]


def code_of(folder: Path, card: SubmissionCard) -> list[Path]:
    """Return the files of code of a submission, relative to its folder, sorted.

    Raises:
        BadSubmission: one is missing, a link, too large, or no Python.
    """
    named = {item.code.partition(":")[0]: item.name for item in card.criteria if item.code}
    for file, name in named.items():
        try:
            check_file(folder / file, MAX_BYTES)
        except BadSubmission as error:
            raise BadSubmission(f"{folder / 'submission.yaml'}: code of {name!r}: {error}") from error
    return imported_files(folder, [Path(file) for file in named])


def imported_files(folder: Path, files: Iterable[Path]) -> list[Path]:
    """Return Python files and those of the same folder that they import, one through another, sorted.

    A module of the standard library, or of what scoring has read before, is that one, whatever file lies there. A folder
    that is imported belongs with all its Python files.

    Args:
        folder: that all lie in.
        files: relative to it.

    Raises:
        BadSubmission: one is a link, too large, or no Python; or there are too many.
    """
    found: dict[Path, None] = {}
    queue = list(files)
    while queue:
        file = queue.pop()
        if file in found:
            continue
        found[file] = None
        if len(found) > MAX_FILES:
            raise BadSubmission(f"{folder}: imports more than {MAX_FILES} files from beside its code; expected fewer")
        for name in _imports(folder, file):
            queue += _files_of_module(folder, name)
    return sorted(found)


def _files_of_module(folder: Path, name: str) -> Iterator[Path]:
    """Yield the files of a top-level module that lies in a folder; none where it comes from elsewhere."""
    if name in GIVEN:
        return
    package = folder / name
    if package.is_dir():
        _refuse_link(package)
        yield from (path.relative_to(folder) for path in sorted(package.rglob("*.py")))
    elif (folder / f"{name}.py").exists() or (folder / f"{name}.py").is_symlink():
        yield Path(f"{name}.py")


def _imports(folder: Path, file: Path) -> set[str]:
    """Return the first parts of the names of the modules that a file imports."""
    path = folder / file
    for part in [path, *path.parents]:
        if part == folder:
            break
        _refuse_link(part)
    names = set()
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def _refuse_link(path: Path) -> None:
    if path.is_symlink():
        raise BadSubmission(f"{path}: a link; expected a file or folder of the submission itself")


def _parsed(path: Path) -> ast.Module:
    check_file(path, MAX_BYTES)
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError, OSError) as error:
        raise BadSubmission(f"{path}: is not Python that can be read ({text_of(error)})") from error
