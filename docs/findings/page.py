"""Findings -> the page and the table of values; no I/O."""

import json
from collections.abc import Mapping, Sequence

from docs.findings.finding import Finding, Table, Value


def page(findings: Mapping[str, Finding | None], titles: Mapping[str, str], introduction: str) -> str:
    """Return the page, Markdown.

    Args:
        findings: by name, in order; None where the truth lacks what a finding needs.
        titles: of each finding.
        introduction: the head of the page.
    """
    found = {name: finding for name, finding in findings.items() if finding is not None}
    parts = [introduction]
    parts.append("".join(f"- [{finding.title}](#{_anchor(finding.title)})\n" for finding in found.values()))
    parts += [_section(name, finding) for name, finding in found.items()]
    missing = [titles[name] for name, finding in findings.items() if finding is None]
    if missing:
        parts.append("## Not in this truth\n\n" + "".join(f"- {title}\n" for title in missing))
    return "\n".join(parts)


def _anchor(title: str) -> str:
    return "".join(char for char in title.lower().replace(" ", "-") if char.isalnum() or char == "-")


def _section(name: str, finding: Finding) -> str:
    answer = "".join(f"- {sentence}\n" for sentence in finding.sentences)
    limits = ["Limits:\n", "".join(f"- {sentence}\n" for sentence in finding.limits)] if finding.limits else []
    figure = f"![{finding.title}](findings/figures/{name}.png)\n\n*{finding.figure.caption}*\n"
    tables = [_table(table) for table in finding.tables]
    return "\n".join([f"## {finding.title}\n\n*{finding.question}*\n", answer, *limits, figure, *tables])


def _table(table: Table) -> str:
    rows: list[Sequence[str | Value]] = [table.header, ["---"] * len(table.header), *table.rows]
    return f"**{table.caption}**\n\n" + "".join(f"| {' | '.join(map(str, row))} |\n" for row in rows)


def values_json(findings: Mapping[str, Finding | None]) -> str:
    """Return every number of every finding, by finding and key, as JSON."""
    found = {
        name: {key: value.as_json() for key, value in finding.values.items()}
        for name, finding in findings.items()
        if finding is not None
    }
    return json.dumps(found, indent=1, sort_keys=True) + "\n"
