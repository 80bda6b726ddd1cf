"""Draws where they are needed: a pilot, and the plan of draws that follows from it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from safer_bench.errors import BadInput, text_of
from safer_bench.measurement import describe
from safer_bench.measurement.allocation import STEP, allocate
from safer_bench.measurement.design import DRAWS, Protocol, make_protocol, most_draws
from safer_bench.measurement.progress import OnProgress
from safer_bench.measurement.run import measure_into
from safer_bench.networks.network import Network
from safer_bench.perturbations.perturbation import Perturbation
from safer_bench.tables import files
from safer_bench.tables.strict_json import read_json
from safer_bench.truth.area import area_weights
from safer_bench.truth.cells import cells_of
from safer_bench.truth.reliability import MIN_DRAWS
from safer_bench.truth.request import (
    MOST_BYTES,
    Checked,
    Digest,
    DrawsByLevel,
    Label,
    NetworkName,
    WhatIsMeasured,
    another_file,
    check,
    check_seal,
    other_answers,
    sealed,
)
from safer_bench.truth.run_folder import RunFolder

PILOT_DRAWS = 4
SAME = ("networks", "perturbations", "examples", "seed", "sources", "files", "clean")  # what pilot and run have to agree on
MEND = "remove it and repeat the command that made it"


class PlanFile(Checked):
    """What draws.json holds; ``sha256`` seals it, as run.json."""

    reliability: Annotated[float, Field(gt=0, lt=1)]
    max_draws: Annotated[int, Field(ge=MIN_DRAWS, lt=2**31)]
    draws: dict[NetworkName, dict[Label, DrawsByLevel]]
    expected: dict[NetworkName, dict[Label, Annotated[float, Field(ge=0, le=1)]]]
    request: WhatIsMeasured
    sha256: Digest | None = None

    @model_validator(mode="after")
    def _tells_of_every_level(self) -> Self:
        wanted = {name: len(levels) for name, levels in self.request.perturbations.items()}
        for name in self.request.networks:
            if name not in self.expected or wanted != {key: len(value) for key, value in self.draws.get(name, {}).items()}:
                raise ValueError(f"network {name!r}: draws or expected are not of each level that request names")
        if not set(self.draws) == set(self.expected) == set(self.request.networks):
            raise ValueError("draws, expected and request name different networks")
        if any(n > self.max_draws for of_one in self.draws.values() for each in of_one.values() for n in each):
            raise ValueError("draws: more than max_draws")
        return self


@dataclass(frozen=True, slots=True)
class DrawPlan:
    """How often each level is drawn.

    Attributes:
        reliability: that was asked for.
        max_draws: of a level, at most; the pilot's draws are numbered from there, or are the last where a perturbation has
            fewer, so that the run's are fresh.
        draws: network -> perturbation -> draws of each level, mild to severe.
        expected: network -> perturbation -> reliability of the area that the pilot lets expect; random ones only.
        request: what the pilot measured.
    """

    reliability: float
    max_draws: int
    draws: dict[str, dict[str, list[int]]]
    expected: dict[str, dict[str, float]]
    request: dict[str, Any]

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        files.write_text(path, json.dumps(sealed(asdict(self)), indent=1, sort_keys=True) + "\n")

    @classmethod
    def read(cls, path: Path) -> "DrawPlan":
        """Read what ``write`` wrote.

        Raises:
            BadInput: it is not there, damaged, was edited, or is a plan of `safer-bench plan`.
        """
        try:
            found = read_json(path, MEND, MOST_BYTES)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BadInput(
                f"{path}: cannot be read ({text_of(error)}); make a plan: safer-bench measure --plan-only"
            ) from error
        if isinstance(found, dict) and "task" in found:
            raise BadInput(
                f"{path}: what layers get, by `safer-bench plan`; expected the draws.json of `measure --plan-only`"
            )
        check(found, PlanFile, path, MEND)
        check_seal(found, found["request"], path, MEND)
        return cls(**{key: value for key, value in found.items() if key != "sha256"})

    def protocol(self, wanted: Protocol, networks: Sequence[Network]) -> Protocol:
        """Return the protocol of the run that follows the plan.

        Args:
            wanted: what is measured, but for the draws.
            networks: that are measured.

        Raises:
            BadInput: the pilot measured something else.
        """
        request = describe.request(networks, wanted, {})
        for key in SAME:
            if key not in ("files", "clean") and request[key] != self.request[key]:
                raise BadInput(f"the plan was made for other {key}; make it again with this run's options")
        found = other_answers(self.request.get("clean") or {}, request["clean"])
        if found is None and self.request.get("files"):
            found = another_file(self.request["files"], request["files"])
        if found is not None:
            raise BadInput(f"the plan was made for other code: {found}; restore it, or make the plan again")
        return make_protocol(
            wanted.specs,
            self.draws,
            wanted.n_examples,
            wanted.seed,
            deterministic_examples=wanted.deterministic_examples,
        )


def make_plan(
    folder: Path,
    networks: Sequence[Network],
    wanted: Protocol,
    reliability: float,
    max_draws: int | None = None,
    report: OnProgress = lambda *_: None,
    **how: Any,
) -> DrawPlan:
    """Measure a pilot into ``folder/pilot`` and write the plan that follows from it into ``folder/draws.json``.

    A plan that is there already is read. The pilot's draws are not published: choosing a number of draws by what they
    showed would bias them.

    Args:
        folder: of the run.
        networks: that are measured.
        wanted: what is measured, but for the draws.
        reliability: of the area, between 0 and 1.
        max_draws: of a level, at most; even. ``DRAWS`` where None, or as many as a perturbation has beside the pilot's.
        report: as in ``measure_into``.
        how: ``fast``, ``workers`` and ``executor`` as in ``measure_into``.

    Raises:
        BadInput: the plan that is there was made for something else, or the folder holds something else than a run, see also
            ``pilot_protocol`` and ``measure_into``.
    """
    path = folder / "draws.json"
    protocol = pilot_protocol(wanted.specs, reliability, max_draws, wanted.n_examples, wanted.seed)
    if path.is_file():
        plan = DrawPlan.read(path)
        if (plan.reliability, plan.max_draws) != (reliability, max_draws or DRAWS):
            raise BadInput(
                f"{path}: made for reliability {plan.reliability:g} by at most {plan.max_draws} draws; use a new folder"
            )
        return plan
    RunFolder(folder).refuse_foreign()
    if any(not entry.deterministic for entry, _ in protocol.perturbations):
        measure_into(folder / "pilot", networks, protocol, report, **how)
    plan = _plan_from(RunFolder(folder / "pilot"), networks, protocol, reliability, max_draws or DRAWS)
    plan.write(path)
    return plan


def pilot_protocol(
    specs: Sequence[str | Perturbation], reliability: float, max_draws: int | None, n_examples: int | None, seed: int
) -> Protocol:
    """Return the pilot's protocol: few draws, none of which the run that follows can make.

    Raises:
        BadInput: a reliability that is not between 0 and 1, too few draws, or more than gradient perturbations have.
    """
    if not 0.0 < reliability < 1.0:
        raise BadInput(f"reliability {reliability:g}; expected a number between 0 and 1, such as 0.9")
    if max_draws is not None and (max_draws < MIN_DRAWS or max_draws % STEP):
        raise BadInput(f"at most {max_draws} draws; expected an even number from {MIN_DRAWS} on, since draws are halved")
    entries = [entry for entry, _ in make_protocol(specs).perturbations]
    first = {entry.name: _most_planned(entry, max_draws) for entry in entries}
    alike = len(set(first.values())) == 1
    return make_protocol(specs, PILOT_DRAWS, n_examples, seed, first_draw=first[entries[0].name] if alike else first)


def _most_planned(entry: Perturbation, max_draws: int | None) -> int:
    """Return the draws of a level that a plan may ask for, and so the number of the pilot's first.

    Raises:
        BadInput: the perturbation has not as many draws beside the pilot's.
    """
    there_are = most_draws(entry)
    if there_are is None:
        return max_draws or DRAWS
    most = there_are - PILOT_DRAWS
    if max_draws is not None and max_draws > most:
        raise BadInput(
            f"{entry.name} has {there_are} different draws, {PILOT_DRAWS} of which are the pilot's: at most {most} draws; "
            f"give --max-draws {most}, or measure it in a run of its own"
        )
    return min(max_draws or DRAWS, most)


def _plan_from(
    pilot: RunFolder, networks: Sequence[Network], protocol: Protocol, reliability: float, max_draws: int
) -> DrawPlan:
    request = describe.request(networks, protocol, {})
    draws: dict[str, dict[str, list[int]]] = {
        network.name: {entry.name: [1] * len(levels) for entry, levels in protocol.perturbations} for network in networks
    }
    expected: dict[str, dict[str, float]] = {network.name: {} for network in networks}
    if pilot.path.is_dir():  # not where all perturbations are deterministic
        for cell in cells_of(pilot.probes(), pilot.table("networks"), pilot.table("perturbations")):
            weights = area_weights(cell.levels, cell.scale) / cell.above_chance
            network, perturbation = cell.identity["network"], cell.identity["perturbation"]
            most = protocol.first_of(perturbation)
            allocation = allocate(cell.changes, weights, cell.slices, reliability, most, cell.answers)
            draws[network][perturbation] = list(allocation.draws)
            expected[network][perturbation] = round(allocation.expected, 4)
    return DrawPlan(reliability, max_draws, draws, expected, {key: request[key] for key in SAME})
