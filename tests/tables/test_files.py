"""One writer of files: nothing else in the package writes any, and what it cannot write it names."""

import ast
import re

import pytest

from safer_bench.errors import BadInput
from safer_bench.tables import files
from tests.conftest import ROOT

WRITES = re.compile(
    r"""savefig\(|\.save_file\(|import save_file|torch\.save\(|np\.savez?\(|json\.dump\(|shutil\.(copy|move)|pq\.write_table\("""
    r"""|(?<!files)\.write_(text|bytes)\(|open\([^)]*["'][wax]b?\+?["']"""
)
REASONED = {  # what else writes, and why
    "tables/files.py": ('with open(probe, "wb"):', 'with open(partial, "wb") as file:'),
    "tables/pictures.py": 'figure.savefig(picture, dpi=dpi, format=ending.removeprefix("."), ',  # into memory
    "networks/training/train.py": "torch.save(",  # into memory
    "scoring/apart.py": "torch.save([ScoredNetwork(network)",  # for a process of ours, into a folder that goes with it
    "measurement/run_log.py": 'with suppress(OSError), open(self.path, "a", encoding="utf-8") as file:',  # a log grows
}


def writing_lines(text):
    return [line.strip() for line in text.splitlines() if WRITES.search(line)]


def test_nothing_but_the_one_writer_writes_files():
    for path in sorted((ROOT / "safer_bench").rglob("*.py")):
        name, lines = path.relative_to(ROOT / "safer_bench").as_posix(), writing_lines(path.read_text())
        expected = REASONED.get(name, ())
        expected = (expected,) if isinstance(expected, str) else expected
        assert len(lines) == len(expected), f"{name}: write it by tables/files.py: {lines}"
        assert all(line.startswith(known) for line, known in zip(lines, expected, strict=True)), name


@pytest.mark.parametrize(
    "line",
    [
        "figure.savefig(path, dpi=150)",
        "path.write_text(text)",
        "(out / 'a').write_bytes(data)",
        'with open(path, "w") as file:',
        "open(path, 'ab')",
        "from safetensors.torch import save_file",
        "torch.save(state, partial)",
        "json.dump(found, file)",
        "shutil.copyfile(a, b)",
    ],
)
def test_what_would_go_past_it_is_seen(line):
    assert writing_lines(line) == [line]
    assert not writing_lines("files.write_text(path, text)\nfiles.write_bytes(path, data)\npath.read_bytes()")


def test_matplotlib_is_known_to_one_file():
    imports = [
        path.name
        for path in (ROOT / "safer_bench").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        and any("matplotlib" in name for name in (getattr(node, "module", ""), *(each.name for each in node.names)) if name)
    ]
    assert imports == ["pictures.py"]


def test_folders_above_a_file_are_made(tmp_path):
    files.write_text(tmp_path / "a" / "b" / "c.txt", "x")
    assert (tmp_path / "a" / "b" / "c.txt").read_text() == "x"


def test_a_file_in_the_place_of_a_folder_is_told(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(BadInput) as error:
        files.write_text(tmp_path / "out" / "table.csv", "x")
    assert str(error.value) == (
        f"{tmp_path / 'out' / 'table.csv'}: cannot be written (File exists); make room there or name another place, and "
        "repeat the command"
    )
    assert (tmp_path / "out").read_text() == "mine"
