"""Reads the committed tree and budgets; writes the page, its figures, ``values.json`` and README's share.

``python -m docs.findings``
"""

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from docs.findings import (
    concentration,
    kinds_of_network,
    measuring,
    one_ranking,
    other_data,
    resistant,
    size,
    spending,
    transfer,
    worst_case,
)
from docs.findings.data import Data
from docs.findings.finding import Finding
from docs.findings.front import picture, with_findings
from docs.findings.introduction import introduction
from docs.findings.page import page, values_json
from safer_bench.dataset.tree import DEFAULT, load_tree

DOCS = Path(__file__).parent.parent
README = DOCS.parent / "README.md"
BUDGETS = DOCS / "budgets"
SEEDS = DOCS.parent / "data_cards" / "safer-bench-seeds"
FINDINGS: tuple[ModuleType, ...] = (
    one_ranking,
    size,
    worst_case,
    measuring,
    concentration,
    kinds_of_network,
    transfer,
    other_data,
    spending,
    resistant,
)  # each has TITLE and find(data); the page's order


def found_in(data: Data) -> dict[str, Finding | None]:
    """Return every finding by the name of its file; None where the truth lacks what it needs."""
    return {module.__name__.rpartition(".")[2]: module.find(data) for module in FINDINGS}


def documents(data: Data, findings: Mapping[str, Finding | None]) -> dict[str, str]:
    """Return the texts that the findings make, by path under ``docs``."""
    titles = {module.__name__.rpartition(".")[2]: module.TITLE for module in FINDINGS}
    text = page(findings, titles, introduction(data))
    return {"findings.md": text, "findings/values.json": values_json(findings)}


def published() -> Data:
    """Return the committed tree, with the study of seeds where it is there."""
    seeds = Data(load_tree(SEEDS), BUDGETS) if SEEDS.is_dir() else None
    return Data(load_tree(DOCS.parent / DEFAULT), BUDGETS, seeds)


def main() -> None:
    """Write everything anew; figures that no finding draws any more go."""
    data = published()
    findings = found_in(data)
    for name, text in documents(data, findings).items():
        (DOCS / name).write_text(text, encoding="utf-8")
    figures = DOCS / "findings" / "figures"
    for path in figures.glob("*.png"):
        path.unlink()
    for name, finding in findings.items():
        if finding is not None:
            (figures / f"{name}.png").write_bytes(finding.figure.draw())
    README.write_text(with_findings(README.read_text(encoding="utf-8"), data, findings), encoding="utf-8")
    (DOCS / "front.png").write_bytes(picture(data))


if __name__ == "__main__":
    main()
