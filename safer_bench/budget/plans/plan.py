"""``plan.json``: what each layer gets, what that was measured to cost, and of which weights and truth."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from safer_bench.budget.plans.menu import PLANNED
from safer_bench.errors import BadInput
from safer_bench.tables.strict_json import read_json
from safer_bench.tables.validation import sentence_of

VERSION = 1
MOST_BITS = 16  # of a plan that was written elsewhere; ``plan`` offers eight
MOST_BYTES = 64 << 20
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Difference = Annotated[float, Field(ge=-1.0, le=1.0)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Strict(BaseModel):
    """No other keys, no number as text, no NaN."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Interval(Strict):
    """A measured share with its 95 % interval; the ends are null where nothing spreads."""

    value: Difference
    low: Difference | None
    high: Difference | None


class PlannedLayer(Strict):
    """What one layer gets.

    Attributes:
        name, parameter: of the layer, and of its weight in ``model.named_parameters()``.
        kind: class of torch's that the module which owns the weight is or inherits its forward from; else its own class.
        tied: every other name of the parameter in the model -> kind of the module there; empty where it is not tied.
        shape, output_axis, fan_in: of the weight.
        amount: bits, share pruned, or 1 where protected and 0 where not.
        predicted_drop: accuracy that the layer loses alone, as it was measured; null where it was not.
        alone: the same of each choice that was measured, by its amount; empty where scores made the plan.
    """

    name: str
    parameter: str
    kind: str
    tied: dict[str, str] = Field(default_factory=dict)
    shape: list[Annotated[int, Field(ge=1)]]
    output_axis: Annotated[int, Field(ge=0)]
    fan_in: Annotated[int, Field(ge=1)]
    amount: float
    predicted_drop: Difference | None
    alone: dict[str, Difference] = Field(default_factory=dict)

    @property
    def owners(self) -> tuple["PlannedLayer", ...]:
        """The layer as each module has it that shares its weight, this one first."""
        others = (self.model_copy(update={"parameter": name, "kind": kind}) for name, kind in self.tied.items())
        return (self, *others)

    @property
    def module(self) -> str:
        """Dotted name of the module that owns the weight."""
        return self.parameter.rpartition(".")[0]


class Point(Strict):
    """What a budget was measured to leave.

    Attributes:
        budget: as it was asked for; of ``uniform`` what it spends.
        spent: mean bits, share pruned or share protected.
        accuracy: on the examples that judge.
        drop: unchanged accuracy minus it, paired by example.
    """

    budget: float
    spent: float
    accuracy: Interval
    drop: Interval


class Measured(Strict):
    """How the plan was measured.

    Attributes:
        n_examples: that judged; none of them chose anything.
        draws: of bit errors.
        unchanged: accuracy with the stored weights.
        chance: share of these answers that always naming the most frequent class gets right.
        plan: what the plan leaves.
        curve: the same for every budget that was tried, generous to tight.
        uniform: the same choice for all layers, generous to tight.
        gain: accuracy of the plan minus that of ``uniform`` at equal spending, on the line between its nearest two points;
            paired by answer, and null where it was not measured.
        rounds: accuracy on the examples that chose, before and after each round of correction; empty where scores planned.
    """

    n_examples: Annotated[int, Field(ge=1)]
    draws: Annotated[int, Field(ge=1)]
    unchanged: Interval
    chance: Share
    plan: Point
    curve: list[Point]
    uniform: list[Point]
    gain: Interval | None = None
    rounds: list[Share]


class LevelCost(Strict):
    """The level that was found for a cost, and what it costs all layers alike.

    Attributes:
        level: bit-error rate, bits or share pruned.
        lost: accuracy.
        n_examples: that it was measured on; they judge nothing.
    """

    level: float
    lost: Interval
    n_examples: Annotated[int, Field(ge=1)]


class Source(Strict):
    """What the plan follows from.

    Attributes:
        by: ``truth``, or the criterion whose scores made it.
        truth_revision: of the network's drops in the tree, as ``network_revisions`` has it; null where they were measured
            for this plan, or scores made it.
        protocol: of the drops: draws and examples in words; empty where scores made it.
    """

    by: str
    truth_revision: str | None
    protocol: str


class Plan(Strict):
    """All of it.

    Attributes:
        version: of this format.
        task: what is planned.
        perturbation: what stands for it, as it was measured; ``level`` is its bit-error rate for ``protect``.
        network: its name.
        weights_sha256: of the state of the model that was measured.
        folded: path of each batch norm that was folded before -> path of the layer's module that took it; null where the
            network was measured as it is.
        activations: stay in float32: weights alone were changed.
        cost: the level that ``--cost`` found; null where it was given.
        max_drop: accuracy that may be lost with 95 % confidence; null where a budget was given.
        met: whether a point keeps to ``max_drop``; null where a budget was given.
    """

    version: Literal[1]
    task: Literal["quantize", "prune", "protect"]
    perturbation: str
    level: float | None
    network: str
    weights_sha256: Digest
    folded: dict[str, str] | None = None
    activations: Literal["float32"]
    source: Source
    cost: LevelCost | None = None
    max_drop: Share | None
    met: bool | None
    measured: Measured
    layers: Annotated[list[PlannedLayer], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_each_layer_once(self) -> Self:
        for what in ("name", "parameter"):
            found = [getattr(layer, what) for layer in self.layers]
            if len(set(found)) < len(found):
                raise ValueError(f"two layers have one {what}")
        if (self.task == "protect") != (self.level is not None):
            raise ValueError("level: of task 'protect', and of no other")
        return self

    @model_validator(mode="after")
    def _can_be_applied(self) -> Self:
        if self.perturbation not in PLANNED[self.task]:
            raise ValueError(f"perturbation: no {self.perturbation!r} stands for task {self.task!r}")
        for layer in self.layers:
            if not _is_amount(self.task, layer.amount):
                raise ValueError(f"layers: {layer.name!r} cannot get {layer.amount:g} of task {self.task!r}")
            if layer.output_axis >= len(layer.shape):
                raise ValueError(f"layers: {layer.name!r} has no axis {layer.output_axis}")
        return self

    @property
    def judges(self) -> str:
        """What the examples that judge have chosen, in words."""
        return "chose nothing" if self.max_drop is None else "chose only the budget"

    @property
    def amounts(self) -> dict[str, float]:
        """What each layer gets, by its name."""
        return {layer.name: layer.amount for layer in self.layers}


def _is_amount(task: str, amount: float) -> bool:
    if task == "quantize":
        return amount == int(amount) and 2 <= amount <= MOST_BITS
    return amount in (0.0, 1.0) if task == "protect" else 0.0 <= amount < 1.0


def write_text(plan: Plan) -> str:
    """Return the file's text."""
    return json.dumps(plan.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"


def read_plan(path: Path) -> Plan:
    """Return a plan.

    Raises:
        BadInput: there is none, or it is damaged or of another version; the message names the first fault.
    """
    path = path / "plan.json" if path.is_dir() else path
    try:
        found = _read(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise BadInput(f"{path}: there is no plan; make one: safer-bench plan") from error
    if isinstance(found, dict) and "draws" in found:
        raise BadInput(f"{path}: a plan of draws, by `measure --plan-only`; expected the plan.json of `safer-bench plan`")
    if not isinstance(found, dict) or "version" not in found:
        raise _is_none(path)
    if found["version"] != VERSION:
        raise BadInput(f"{path}: a plan of version {found['version']!r}; this safer-bench reads version {VERSION}")
    try:
        return Plan.model_validate(found)
    except (ValidationError, RecursionError) as error:
        fault = sentence_of(error) if isinstance(error, ValidationError) else "nested too deeply"
        raise BadInput(f"{path}: damaged ({fault}); make it again: safer-bench plan") from error


def _read(path: Path) -> Any:
    """Return what the JSON in a file says; what does not begin like an object was never a plan, and is not damaged."""
    try:
        return read_json(path, "make it again: safer-bench plan", MOST_BYTES)
    except BadInput as error:
        if path.is_file() and path.stat().st_size and not path.read_bytes().lstrip().startswith(b"{"):
            raise _is_none(path) from error
        raise


def _is_none(path: Path) -> BadInput:
    return BadInput(f"{path}: no plan; expected the plan.json of `safer-bench plan`")
