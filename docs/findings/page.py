"""Findings -> the page and the table of values; no I/O."""

import json
from collections.abc import Mapping, Sequence

from docs.findings.finding import Finding, Table, Value

INTRODUCTION = """\
# Findings

What the published tables show (truth `{revision}`). Every sentence, number and figure is made from them by `make findings`.

- **Population**: {population}, where nothing else is said. Each table names its own.
- **Intervals**, in brackets: 95 %, each by itself, for a mean over network families, widened by how families of one kind of
  architecture resemble each other, as on [the boards](statistics.md). Of fewer than six families there is none: then the
  brackets give the range of the networks.
- "Cannot be told" means that the interval holds both answers.
- **Area**: the share of a network's accuracy above chance that is lost when one layer is perturbed, averaged over levels.
"""


def page(findings: Mapping[str, Finding | None], titles: Mapping[str, str], population: str, revision: str | None) -> str:
    """Return the page, Markdown.

    Args:
        findings: by name, in order; None where the truth lacks what a finding needs.
        titles: of each finding.
        population: of the headline, in words.
        revision: names the truth.
    """
    found = {name: finding for name, finding in findings.items() if finding is not None}
    parts = [INTRODUCTION.format(population=population, revision=revision)]
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
    figure = f"![{finding.title}](findings/figures/{name}.png)\n\n*{finding.figure.caption}*\n"
    tables = [_table(table) for table in finding.tables]
    return "\n".join([f"## {finding.title}\n\n*{finding.question}*\n", answer, figure, *tables])


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
