"""Which files belong to a submission: those that its code imports from beside it, whatever way."""

from pathlib import Path

import pytest

from safer_bench.dataset.submissions.code import code_of, files_of, imported_files
from safer_bench.dataset.submissions.submission import SubmissionCard
from safer_bench.errors import BadInput

FILES = {
    "mine.py": "import os, helper, safer_bench, torch.nn\nfrom parts.deep import value\nimport numpy as np\ndef mine(model, batches): import late",
    "helper.py": "from other import x",
    "other.py": "import mine",
    "late.py": "",
    "random.py": "import late",
    "torch.py": "import late",
    "safer_bench/__init__.py": "",
    "unused.py": "",
    "parts/__init__.py": "from . import deep",
    "parts/deep.py": "import far",
    "parts/more/rest.py": "",
    "far.py": "import random",
    "submission.yaml": "",
    "scores.parquet": "",
    "notes.txt": "",
}
CARD = SubmissionCard.model_validate({"name": "mine", "criteria": [{"name": "mine", "code": "mine.py:mine"}]})


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_what_the_code_imports_from_beside_it_belongs_to_the_submission(folder):
    code = ["far.py", "helper.py", "late.py", "mine.py", "other.py"]
    parts = ["parts/__init__.py", "parts/deep.py", "parts/more/rest.py"]
    assert [path.as_posix() for path in files_of(folder, CARD)] == ["submission.yaml", "scores.parquet", *code, *parts]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: _link(folder / "helper.py"), "{0}/helper.py: a link; expected a file or folder of the submission itself"),
        (lambda folder: _link(folder / "parts"), "{0}/parts: a link; expected a file or folder of the submission itself"),
        (lambda folder: (folder / "late.py").write_text("#" * 1_000_001), "{0}/late.py: 1,000,001 bytes; expected 1,000,000 at most"),
        (lambda folder: (folder / "late.py").write_text("def"), "{0}/late.py: is not Python that can be read ("),
        (lambda folder: (folder / "late.py").write_bytes(b"\xff\xfe"), "{0}/late.py: is not Python that can be read ("),
        (lambda folder: (folder / "late.py").write_text("-" * 900_000 + "1"), "{0}/late.py: is not Python that can be read ("),
        (lambda folder: (folder / "late.py").write_text("a\0b"), "{0}/late.py: is not Python that can be read ("),
        (lambda folder: [(folder / f"parts/p{i}.py").write_text("") for i in range(100)], "{0}: imports more than 100 files from beside its code"),
        (lambda folder: (folder / "mine.py").unlink(), "{0}/submission.yaml: code of 'mine': {0}/mine.py: cannot be read (No such file or directory); expected a file"),
    ],
)  # fmt: skip
def test_code_is_plain_files_of_python(folder, spoil, message):
    spoil(folder)
    with pytest.raises(BadInput) as error:
        code_of(folder, CARD)
    assert str(error.value).startswith(message.format(folder))


def _link(path):
    moved = path.rename(path.parent.parent / f"{path.parent.name}-elsewhere-{path.name}")
    path.symlink_to(moved)


def test_a_file_by_itself_is_all_there_is(folder):
    assert imported_files(folder, [Path("unused.py")]) == [Path("unused.py")]
