"""What a reader has to know before the findings: where numbers come from, of which networks, and what is left out."""

from docs.findings.chosen import listed
from docs.findings.data import HARMLESS, UNSURE, Data
from safer_bench.perturbations.loading import perturbations

INTRODUCTION = """\
# Findings

This page says what the published tables show (truth `{revision}`). Sentences, numbers and figures are made by
`make findings`. Those on budgets come from the tables of `docs/budgets`, those on corruption-resistant training from
[the page of the twins](twins.md), {seeds}all others from the truth. Terms are explained in the [glossary](glossary.md).

- **Population**: {population}, where nothing else is said.
- **Intervals** stand in brackets. They are 95 % intervals of a mean over network families, unadjusted where nothing else is
  said. They are widened by how families of one kind of architecture resemble each other, as on [the boards](statistics.md).
  With fewer than six families there is none. Then the brackets give the range of the networks.
- **"Not told"** (apart, from 0): the interval includes both signs. That does not mean equal.
- **Chosen** criteria are those that are best on validation networks. What is said of them is of the population.
- **Area**: the share of a network's accuracy above chance that is lost when one layer is perturbed, averaged over levels.
- **Middle level**: the one in the middle of a perturbation's levels, from mild to severe: the third of five.
- **Left out** of agreements, sizes and concentration: {left_out}
"""


def introduction(data: Data) -> str:
    """Return the head of the page, Markdown."""
    seeds = (
        f"those on other seeds from `data_cards/safer-bench-seeds` (`{data.seeds.facts.revision}`), " if data.seeds else ""
    )
    text = INTRODUCTION.format(revision=data.facts.revision, population=data.headline, left_out=_left_out(data), seeds=seeds)
    return text + "".join(f"- **Levels**: {levels}\n" for levels in [_levels(data)] if levels)


def _left_out(data: Data) -> str:
    rule = (
        f"areas whose reliability is under {UNSURE:g}, where even the severest level costs\n  the median layer under "
        f"{100 * HARMLESS:g} points"
    )
    idle = {name: len(networks) for name, networks in data.uninformative.items()}
    if not idle:
        return f"{rule}. There is none."
    n_cells = sum(data.has(network, name) for network in data.population() for name in data.facts.use_cases)
    where = listed([f"`{name}` in {n} of {len(data.population())} networks" for name, n in idle.items()])
    return f"{rule}. These are {sum(idle.values())} of {n_cells} ({where})."


def _levels(data: Data) -> str:
    """Return how many perturbations have other levels by now than the truth has; empty where there are none."""
    now = perturbations()
    measured = {name: set(levels) for name, levels in data.facts.levels.items() if name in now}
    others = [name for name, levels in measured.items() if levels != set(now[name].levels)]
    if not others:
        return ""
    return (
        f"those that the truth was measured at. Since then {len(others)} of its {len(measured)} perturbations were given "
        "[others](levels.md)."
    )
