"""What a reader has to know before the findings: where numbers come from, of which networks, and what is left out."""

from docs.findings.chosen import listed
from docs.findings.data import HARMLESS, UNSURE, Data
from safer_bench.perturbations.loading import perturbations

INTRODUCTION = """\
# Findings

What the published tables show (truth `{revision}`). Sentences, numbers and figures are made by `make findings`: those on
budgets from the tables of `docs/budgets`, those on corruption-resistant training from [the page of the twins](twins.md), all
others from the truth.

- **Population**: {population}, where nothing else is said.
- **Intervals**, in brackets: 95 %, each by itself where nothing else is said, for a mean over network families, widened by
  how families of one kind of architecture resemble each other, as on [the boards](statistics.md). Of fewer than six families
  there is none: then the brackets give the range of the networks.
- **"Not told"** (apart, from 0): the interval includes both signs. That does not mean equal.
- **Chosen** criteria are those that are best on validation networks; what is said of them is of the population.
- **Area**: the share of a network's accuracy above chance that is lost when one layer is perturbed, averaged over levels.
- **Middle level**: the one in the middle of a perturbation's levels, from mild to severe: the third of five.
- **Left out** of agreements, sizes and concentration: {left_out}
"""


def introduction(data: Data) -> str:
    """Return the head of the page, Markdown."""
    text = INTRODUCTION.format(revision=data.facts.revision, population=data.headline, left_out=_left_out(data))
    return text + "".join(f"- **Levels**: {levels}\n" for levels in [_levels(data)] if levels)


def _left_out(data: Data) -> str:
    rule = (
        f"the areas of a network under a perturbation whose severest level costs the median layer under {100 * HARMLESS:g} "
        f"points,\n  if their reliability is under {UNSURE:g}"
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
        f"those that the truth was measured at; {len(others)} of its {len(measured)} perturbations were given "
        "[others](levels.md) since."
    )
