"""What a submitter says of a submission beside its scores, as FIELD=TEXT, and what is still to be said."""

from collections.abc import Mapping, Sequence
from typing import Any

from safer_bench.dataset.submissions.card import SubmissionCard
from safer_bench.errors import BadInput
from safer_bench.registry import suggestion

AUTHORS = "authors"  # the one field that may be said several times
OF_CARD = ("description", AUTHORS, "licence")
OF_CRITERION = ("needs", "formula", "source")


def with_earlier(fields: Mapping[str, Any], earlier: SubmissionCard | None, said: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a card with the text of the folder's earlier one, where the new one says nothing.

    Args:
        fields: what ``SubmissionCard`` is made of, with ``criteria``.
        earlier: None where there is none.
        said: as ``described`` takes it; authors named there replace those of before.
    """
    if earlier is None:
        return dict(fields)
    text = {name: value for name in OF_CARD if (value := getattr(earlier, name))}
    if any(each.startswith(f"{AUTHORS}=") for each in said):
        text.pop(AUTHORS, None)
    before = {item.name: item for item in earlier.criteria}
    criteria = [
        item | {name: item[name] or getattr(before[item["name"]], name) for name in ("formula", "source")}
        if item["name"] in before
        else item
        for item in fields["criteria"]
    ]
    return {**fields, **text, "criteria": criteria}


def described(fields: Mapping[str, Any], said: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a card with what was said put in.

    Args:
        fields: what ``SubmissionCard`` is made of, with ``criteria``.
        said: each ``FIELD=TEXT``, or of one criterion among several ``CRITERION.FIELD=TEXT``.

    Raises:
        BadInput: no such field or criterion, or no text.
    """
    card = {**fields, "criteria": [dict(item) for item in fields["criteria"]]}
    for text in said:
        key, _, value = text.partition("=")
        criterion, _, field = key.rpartition(".")
        if not value.strip():
            raise BadInput(f"--describe {text}: expected FIELD=TEXT, such as formula='max |W|'")
        known = OF_CRITERION if criterion else (*OF_CARD, *OF_CRITERION)
        if field not in known:
            near = suggestion(field, known)
            raise BadInput(f"--describe {text}: no field {field!r}; expected one of {', '.join(known)}.{near}")
        if field == AUTHORS:
            card[AUTHORS] = [*card.get(AUTHORS, []), value]
        elif field in OF_CARD:
            card[field] = value
        else:
            _one_of(card["criteria"], criterion, text)[field] = value
    return card


def _one_of(criteria: Sequence[dict[str, Any]], name: str, text: str) -> dict[str, Any]:
    """Return the criterion that a field is of: the one named, or the only one."""
    names = [item["name"] for item in criteria]
    if not name and len(names) > 1:
        raise BadInput(f"--describe {text}: of which criterion? Expected it before the field, as in {names[0]}.{text}")
    if name and name not in names:
        raise BadInput(f"--describe {text}: {name!r} is not scored here; expected one of {', '.join(names)}")
    return criteria[names.index(name) if name else 0]


def still_empty(card: SubmissionCard) -> list[str]:
    """Return the fields that a card with code of its own leaves empty, as ``--describe`` takes them.

    Built-in criteria say all that there is to say.
    """
    own = [item for item in card.criteria if item.code or item.package]
    several = len(card.criteria) > 1
    of_card = [name for name in ("description", AUTHORS) if own and not getattr(card, name)]
    empty = [(item.name, name) for item in own for name in OF_CRITERION if not getattr(item, name)]
    return of_card + [f"{criterion}.{name}" if several else name for criterion, name in empty]
