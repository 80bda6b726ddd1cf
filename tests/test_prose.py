"""What is written for people is easy to read: short sentences, and one meaning a term."""

import re

import pytest

from tests.conftest import ROOT
from tests.made_up.sentences import n_words, sentences

AVERAGE, LONGEST = 20, 35  # words
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "tutorials").glob("*.md")),
]
TERMS = [
    "Network",
    "Layer",
    "Perturbation",
    "Level",
    "Draw",
    "Probe",
    "Truth",
    "Cell",
    "Criterion",
    "Score",
    "Result",
    "Board",
]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_sentences_are_short(path):
    found = [(line, sentence, n_words(sentence)) for line, sentence in sentences(path.read_text())]
    long = [f"{path.name}:{line}: {n} words: {sentence}" for line, sentence, n in found if n > LONGEST]
    assert not long, "\n".join(long)
    assert sum(n for _, _, n in found) / len(found) < AVERAGE


def test_a_page_is_read_as_markdown():
    page = """\
# A heading of words that do not count

Sun et al. 2021 found
it ([here](an/address.md)). `some code` is *one*
word! Is (a bracket.) "A quote."

| a table | does not count |
| --- | --- |

- An item without an end
- and 1.5 more

```sh
code that does not count
```
"""
    assert list(sentences(page)) == [
        (3, "Sun et al. 2021 found it (here)."),
        (4, "X is one word!"),
        (5, "Is (a bracket.)"),
        (5, '"A quote."'),
        (10, "An item without an end"),
        (11, "and 1.5 more"),
    ]


def test_the_glossary_has_the_twelve_terms():
    text = (ROOT / "docs" / "glossary.md").read_text()
    assert re.findall(r"^- \*\*(\w+)\*\*: ", text, re.MULTILINE) == list(TERMS)
