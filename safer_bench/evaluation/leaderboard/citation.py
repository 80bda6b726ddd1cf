"""A criterion's source as a table cites it: who, when, and its number on arXiv; no I/O."""

import re

_CITED = re.compile(r"(?:^|[;:(] ?)(?P<who>[^,;:()]*? \d{4})\b(?:, arXiv (?P<arxiv>[a-z-]+/\d{7}|\d{4}\.\d{4,5}))?")


def citation(source: str | None) -> dict[str, str]:
    """Return the first work that a source names: ``cited``, and ``arxiv`` where it has a number there.

    >>> citation("control; Yvinec et al. 2023, arXiv 2308.04753")
    {'cited': 'Yvinec et al. 2023', 'arxiv': '2308.04753'}
    >>> citation("LeCun et al. 1989, Optimal Brain Damage"), citation("control"), citation(None)
    ({'cited': 'LeCun et al. 1989'}, {}, {})
    >>> citation("ridge regression (Hoerl and Kennard 1970)")
    {'cited': 'Hoerl and Kennard 1970'}
    """
    found = _CITED.search(source or "")
    if found is None:
        return {}
    return {"cited": found["who"]} | ({"arxiv": found["arxiv"]} if found["arxiv"] else {})
