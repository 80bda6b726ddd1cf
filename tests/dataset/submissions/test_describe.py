"""What a submitter says of a submission, and what is still to be said."""

import pytest

from safer_bench.dataset.submissions.card import SubmissionCard
from safer_bench.dataset.submissions.describe import described, still_empty
from safer_bench.errors import BadInput

ONE = {"name": "mine", "criteria": [{"name": "a", "code": "a.py:a", "needs": ""}]}
TWO = {"name": "mine", "criteria": [{"name": "a", "code": "a.py:a"}, {"name": "b.c", "code": "b.py:c"}]}


def test_fields_are_put_into_the_card_and_into_its_criteria():
    said = [
        "description=Largest = best",
        "authors=A. Author",
        "authors=B, C",
        "licence=CC0-1.0",
        "needs=weights",
        "a.formula=max |W|",
    ]
    card = SubmissionCard.model_validate(described(ONE, said))
    assert (card.description, card.authors, card.licence) == ("Largest = best", ["A. Author", "B, C"], "CC0-1.0")
    assert (card.criteria[0].needs, card.criteria[0].formula) == ("weights", "max |W|")
    assert ONE["criteria"][0]["needs"] == "", "what was given stays as it was"
    assert described(TWO, ["b.c.source=here"])["criteria"][1]["source"] == "here"


@pytest.mark.parametrize(
    ("fields", "text", "told"),
    [
        (ONE, "needs", "expected FIELD=TEXT, such as formula='max |W|'"),
        (ONE, "needs= ", "expected FIELD=TEXT, such as formula='max |W|'"),
        (ONE, "nedes=x", "no field 'nedes'; expected one of description, authors, licence, needs, formula, source. Did you mean 'needs'?"),
        (ONE, "a.authors=x", "no field 'authors'; expected one of needs, formula, source."),
        (TWO, "needs=x", "of which criterion? Expected it before the field, as in a.needs=x"),
        (TWO, "b.needs=x", "'b' is not scored here; expected one of a, b.c"),
    ],
)  # fmt: skip
def test_what_cannot_be_put_there_is_told(fields, text, told):
    with pytest.raises(BadInput) as refused:
        described(fields, [text])
    assert str(refused.value) == f"--describe {text}: {told}"


def test_what_is_still_empty_is_named_as_describe_takes_it():
    assert still_empty(SubmissionCard.model_validate(ONE)) == ["description", "authors", "needs", "formula", "source"]
    said = ["description=d", "authors=a", "a.needs=data", "a.formula=f", "b.c.source=s"]
    assert still_empty(SubmissionCard.model_validate(described(TWO, said))) == ["a.source", "b.c.needs", "b.c.formula"]


def test_built_in_criteria_leave_nothing_to_say():
    assert still_empty(SubmissionCard.model_validate({"name": "mine", "criteria": [{"name": "snip"}]})) == []
