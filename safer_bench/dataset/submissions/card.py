"""The card of a submission, submission.yaml: what it may say, and reading it."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from safer_bench.dataset.submissions.plain_files import BadSubmission, check_file, is_there
from safer_bench.errors import text_of
from safer_bench.registry import NEEDS, Track
from safer_bench.tables.columns import NAME
from safer_bench.tables.text import odd_character, visible
from safer_bench.tables.validation import sentence_of

CODE = r"^([A-Za-z0-9_][A-Za-z0-9_.-]{0,79}\.py:[A-Za-z_][A-Za-z0-9_]{0,79})?$"  # a file of the folder itself
MAX_BYTES = 1_000_000  # of a card, or of code
MOST_DIGITS = 100  # of a number: one of half a million takes seconds to read, and more to be named in a message
MAX_VALUES = 30_000  # of a card: reading a megabyte of them would take half a minute


def _of_characters(text: str) -> str:
    odd = odd_character(text)
    if odd:
        raise ValueError(f"found the control character {odd}; expected text without it")
    return text


Text = Annotated[str, AfterValidator(_of_characters)]
Author = Annotated[Text, Field(max_length=200)]
Key = Annotated[Text, Field(max_length=200)]
File = Annotated[Text, Field(max_length=500)]


def _needs(text: str) -> str:
    unknown = sorted(set(filter(None, (word.strip() for word in text.split(",")))) - set(NEEDS))
    if unknown:
        raise ValueError(f"found {unknown[0]!r}; expected some of {', '.join(NEEDS)}")
    return text


class CriterionCard(BaseModel):
    """What a submission says of one criterion."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=f"^{NAME}$")
    track: Track = "blind"
    needs: Annotated[Text, AfterValidator(_needs)] = Field(default="", max_length=200)
    formula: Text = Field(default="", max_length=500)
    source: Text = Field(default="", max_length=500)
    code: str = Field(default="", pattern=CODE, description="FILE.py:FUNC in the folder, of a criterion submitted as code")
    package: Text = Field(default="", max_length=200, description="name and version of the installed package that it is of")


class SubmissionCard(BaseModel):
    """What ``submission.yaml`` holds."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=f"^{NAME}$")
    description: Text = Field(default="", max_length=2000)
    authors: list[Author] = Field(default_factory=list, max_length=100)
    licence: Text = Field(default="CC-BY-4.0", max_length=100)
    criteria: list[CriterionCard] = Field(min_length=1, max_length=1000)
    calibration_sets: int = Field(
        default=1,
        ge=1,
        le=100,
        validation_alias=AliasChoices("calibration_sets", "probe_sets"),  # the latter in cards of before
        description="disjoint sets of calibration examples that scores are means over",
    )
    weights: dict[Key, Key] = Field(default_factory=dict, description="network -> SHA-256 of the weights scored")
    levels: dict[Key, list[float]] = Field(
        default_factory=dict, description="perturbation -> levels that aware criteria were asked about"
    )
    files: dict[File, Key] = Field(
        default_factory=dict, description="code of the packages that scored -> SHA-256; PACKAGE VERSION/path"
    )


class _Loader(yaml.SafeLoader):
    """YAML that says each thing once: neither a key twice, nor aliases, by which a few lines stand for millions."""

    n_values = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.n_values += 1
        if self.n_values > MAX_VALUES:
            raise yaml.YAMLError(f"more than {MAX_VALUES:,} keys and values; expected those of a card")
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f"the alias *{self.peek_event().anchor}; expected what it stands for")
        node = super().compose_node(parent, index)
        if isinstance(node, yaml.ScalarNode) and node.tag != "tag:yaml.org,2002:str" and len(node.value) > MOST_DIGITS:
            raise yaml.YAMLError(f"a number or date of {len(node.value):,} characters; expected {MOST_DIGITS} at most")
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for key, times in Counter(keys).items() if times > 1), None)
        if twice is not None:
            raise yaml.YAMLError(f"{twice[:80]!r} is there twice; expected each key once")
        return super().construct_mapping(node, deep)


def read_card(path: Path) -> SubmissionCard:
    """Read and check a card.

    Raises:
        BadSubmission: it is not there, a link, too long, no YAML, or says what a card does not.
    """
    if not is_there(path):
        raise BadSubmission(
            f"{path}: missing; `safer-bench score CRITERION --out {path.parent}` writes one, and docs/submissions.md "
            "shows one"
        )
    check_file(path, MAX_BYTES)
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506  a safe loader
        card = SubmissionCard.model_validate(found)
    except ValidationError as error:
        raise BadSubmission(f"{path}: {sentence_of(error)}") from error
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError, OverflowError, OSError) as error:
        raise BadSubmission(f"{path}: is not YAML: {visible(text_of(error))}") from error  # odd dates: ValueError
    names = [item.name for item in card.criteria]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise BadSubmission(f"{path}: criterion {repeated[0]!r} is listed twice")
    return card
