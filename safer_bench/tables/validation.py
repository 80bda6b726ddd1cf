"""What pydantic finds wrong, in our sentences."""

from collections.abc import Mapping
from reprlib import Repr
from typing import Any

from pydantic import ValidationError

SHORT = Repr()
SHORT.maxlevel, SHORT.maxstring, SHORT.maxother = 2, 80, 80  # a few lines of YAML can nest without end
EXPECTED = {
    "string_type": "text (in quotes, where it looks like a number or a date)",
    "string_pattern_mismatch": "text of the pattern {pattern}",
    "string_too_long": "{max_length} characters at most",
    "literal_error": "{expected}",
    "too_short": "{min_length} or more of them",
    "too_long": "{max_length} of them at most",
    "greater_than_equal": "{ge} or more",
    "less_than_equal": "{le} at most",
    "less_than": "less than {lt}",
    "greater_than": "more than {gt}",
    "list_type": "a list",
    "dict_type": "names and values",
    "model_type": "names and values",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
}


def sentence_of(error: ValidationError) -> str:
    """Return what is wrong first: the field, what was found there, and what was expected.

    Args:
        error: of a model that was given data from a file.
    """
    first = error.errors()[0]
    parts = [part for part in first["loc"] if part != "[key]"]
    field = ".".join(str(part) if isinstance(part, int) else SHORT.repr(part)[1:-1] for part in parts) or "the file"
    if first["type"] == "missing":
        return f"{field} is missing"
    if first["type"] == "extra_forbidden":
        return f"{field} is not a known field (found {SHORT.repr(first['input'])})"
    if first["type"] == "value_error":  # a sentence of our own
        return f"{field}: {first['ctx']['error']}" if parts else str(first["ctx"]["error"])
    return f"{field}: found {SHORT.repr(first['input'])}; expected {_expected(first['type'], first.get('ctx', {}), first)}"


def _expected(kind: str, facts: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    return EXPECTED[kind].format(**facts) if kind in EXPECTED else f"something else ({first['msg']})"
