"""What run.json holds: the request that identifies a run, checked; and in what two requests differ.

Two runs of equal requests measure the same integers. ``sha256`` seals the file: an edited request is found.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from safer_bench.errors import BadInput
from safer_bench.tables.columns import NAME
from safer_bench.tables.files import sha256_of
from safer_bench.tables.strict_json import read_json
from safer_bench.tables.validation import sentence_of

PROTOCOL = 1  # raised only when counts can change
MOST_BYTES = 64 << 20  # of a file of ours
TOLERANCE = 1e-4  # of the largest clean logit: last digits differ between machines
RESTORE = "restore it as it was to finish the run, or use a new folder"

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
NetworkName = Annotated[str, StringConstraints(pattern=f"^{NAME}$")]
Label = Annotated[str, StringConstraints(min_length=1, max_length=500)]  # of an entry, of a file
Count = Annotated[int, Field(ge=0, lt=2**31)]
Pair = Annotated[list[Count], Field(min_length=2, max_length=2)]
Levels = Annotated[list[float], Field(min_length=1, max_length=1000)]
DrawsByLevel = Annotated[list[Annotated[int, Field(ge=1, lt=2**31)]], Field(min_length=1, max_length=1000)]
Logit = float | Literal["nan", "inf", "-inf"]
Files = dict[Label, Digest]


class Checked(BaseModel):
    """Strict: no other keys, no number as text, no boolean as a number, no NaN."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class NetworkDigests(Checked):
    """SHA-256 of a network's weights and inputs."""

    weights: Digest
    inputs: Digest


class CleanAnswers(Checked):
    """What an unperturbed network answers to its first examples.

    Attributes:
        logits: canonical, of a few examples and classes, to six digits.
        examples: number of first examples whose outcomes count.
        outcomes: SHA-256 of which of their answers are right, packed bits.
    """

    logits: Annotated[list[Annotated[list[Logit], Field(max_length=64)]], Field(max_length=64)]
    examples: Count
    outcomes: Digest


class UserFiles(Checked):
    """Of each network and perturbation the user's files that make it, by their paths from its file's folder."""

    networks: dict[NetworkName, Files]
    perturbations: dict[Label, Files]


class WhatIsMeasured(Checked):
    """What pilot and run agree on."""

    networks: dict[NetworkName, NetworkDigests]
    perturbations: dict[Label, Levels]
    examples: Annotated[int, Field(ge=1, lt=2**31)] | None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)]
    sources: Files
    clean: dict[NetworkName, CleanAnswers] | None = None  # not in files of before
    files: UserFiles | None = None

    @model_validator(mode="after")
    def _tells_of_every_network(self) -> Self:
        told = {"clean": self.clean, "files.networks": self.files and self.files.networks}
        for name, found in told.items():
            if found is not None and set(found) != set(self.networks):
                raise ValueError(f"{name} and networks name different networks")
        return self


class Request(WhatIsMeasured):
    """The request of a run."""

    protocol: Count
    draws: Annotated[int, Field(ge=1, lt=2**31)] | dict[NetworkName, dict[Label, DrawsByLevel]]
    first_draw: Count | dict[Label, Count]
    deterministic_examples: Annotated[int, Field(ge=1, lt=2**31)] | None = None  # as examples where it is not there
    slices: dict[NetworkName, Annotated[list[Pair], Field(min_length=1)]] | None = None  # not in the oldest
    shard: Pair | None = None
    share: dict[NetworkName, Pair] | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        for name, found in {"slices": self.slices, "share": self.share}.items():
            if found is not None and set(found) != set(self.networks):
                raise ValueError(f"{name} and networks name different networks")
        if (self.shard is None) != (self.share is None):
            raise ValueError("shard and share: one is there without the other")
        if self.shard is not None and not 1 <= self.shard[0] <= self.shard[1]:
            raise ValueError(f"shard {self.shard}; expected [i, n] with i from 1 to n")
        if isinstance(self.first_draw, dict) and set(self.first_draw) != set(self.perturbations):
            raise ValueError("first_draw and perturbations name different perturbations")
        if any(first > last for first, last in (self.share or {}).values()):
            raise ValueError("share: a last unit before the first")
        return self


class RunFile(Checked):
    """What run.json holds."""

    request: Request
    tables: dict[Literal["networks", "layers", "perturbations"], Digest]
    sha256: Digest | None = None  # not in files of before


def read_run_file(path: Path) -> dict[str, Any]:
    """Return what a run.json holds, as it is written there.

    Raises:
        FileNotFoundError, NotADirectoryError: there is none.
        BadInput: it is damaged, or was edited.
    """
    mend = "measure again in a new folder"
    found = read_json(path, mend, MOST_BYTES)
    check(found, RunFile, path, mend)
    if found["request"]["protocol"] == PROTOCOL:  # others seal it as they like
        check_seal(found, found["request"], path, mend)
    return dict(found)


def check(found: Any, model: type[BaseModel], path: Path, mend: str) -> None:
    """Refuse what is not of a model.

    Raises:
        BadInput: it is not; the message names the first fault.
    """
    try:
        model.model_validate(found)
    except (ValidationError, RecursionError) as error:
        fault = sentence_of(error) if isinstance(error, ValidationError) else "nested too deeply"
        raise BadInput(f"{path}: damaged ({fault}); {mend}") from error


def sealed(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts with the SHA-256 of what they say."""
    return {**facts, "sha256": _seal(facts)}


def check_seal(found: Mapping[str, Any], request: Mapping[str, Any], path: Path, mend: str) -> None:
    """Refuse a file that was edited after it was sealed; files of before have neither clean answers nor a seal.

    Raises:
        BadInput: it was.
    """
    sealed_once = "sha256" in found or "clean" in request or "files" in request
    if sealed_once and found.get("sha256") != _seal({key: value for key, value in found.items() if key != "sha256"}):
        raise BadInput(f"{path}: damaged (edited: its sha256 is not that of its request); restore it, or {mend}")


def _seal(facts: Mapping[str, Any]) -> str:
    return sha256_of(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode())


def another_file(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Return which user's file differs between two ``UserFiles``, in words."""
    for kind, noun in (("networks", "network"), ("perturbations", "perturbation")):
        for name in sorted({*before[kind], *now[kind]}):
            were, are = before[kind].get(name, {}), now[kind].get(name, {})
            for file in sorted({*were, *are}):
                if were.get(file) != are.get(file):
                    digests = f"SHA-256 {_start(are.get(file))}, was {_start(were.get(file))}"
                    return f"{file}, which {noun} {name!r} needs, is another file now ({digests})"
    return None


def _start(digest: str | None) -> str:
    return "none" if digest is None else digest[:16]


def other_answers(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Return which network answers differently between two records of clean answers by network, in words."""
    for name in sorted({*before} & {*now}):
        found = _difference(before[name], now[name])
        if found is not None:
            return f"network {name!r} answers otherwise now, by equal weights and inputs ({found})"
    return None


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    shapes = [[len(of_one) for of_one in record["logits"]] for record in (before, now)]
    if shapes[0] != shapes[1]:
        return "another number of logits"
    pairs = [
        (float(was), float(is_now), i, j)
        for i, (were, are) in enumerate(zip(before["logits"], now["logits"], strict=True))
        for j, (was, is_now) in enumerate(zip(were, are, strict=True))
    ]
    largest = max((abs(value) for was, is_now, *_ in pairs for value in (was, is_now) if math.isfinite(value)), default=0.0)
    for was, is_now, i, j in pairs:
        if not _alike(was, is_now, TOLERANCE * largest):
            return f"logit {j} of example {i} is {is_now:g}, was {was:g}"
    if before["examples"] == now["examples"] and before["outcomes"] != now["outcomes"]:
        return f"others of the first {now['examples']} examples are right"
    return None


def _alike(a: float, b: float, tolerance: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b)) or abs(a - b) <= tolerance
