"""Text is read and written as UTF-8: without an encoding, Windows reads and writes its own."""

import ast

import pytest

from tests.conftest import ROOT

CODE = sorted(path for folder in ("safer_bench", "docs", "benchmarks") for path in (ROOT / folder).rglob("*.py"))


def unencoded(source):
    """Return the lines that read or write text by a path or by `open`, and name no encoding."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls if _is_of_text(call) and "encoding" not in {word.arg for word in call.keywords}]


def _is_of_text(call):
    match call.func:
        case ast.Attribute(attr="read_text"):
            return not call.args  # with one it is a distribution's, which reads UTF-8
        case ast.Attribute(attr="write_text"):
            return len(call.args) == 1  # with two it is the project's own, which writes UTF-8
        case ast.Name(id="open"):
            return not any(isinstance(each, ast.Constant) and "b" in str(each.value) for each in call.args[1:])
    return False


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("path.read_text()", [1]),
        ("(folder / name).write_text(text)", [1]),
        ("open(path)", [1]),
        ("open(path, 'w')", [1]),
        ("open(path, 'wb')", []),
        ("open(path, encoding='utf-8')", []),
        ("path.read_text(encoding='utf-8')", []),
        ("files.write_text(path, text)", []),
    ],
)
def test_a_line_without_an_encoding_is_found(line, found):
    assert unencoded(line) == found


def test_all_text_is_read_and_written_with_an_encoding():
    named = {str(path.relative_to(ROOT)): unencoded(path.read_text(encoding="utf-8")) for path in CODE}
    assert {name: lines for name, lines in named.items() if lines} == {}
