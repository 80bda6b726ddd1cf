"""The zoo's file of final accuracies, which also names each file of weights by its SHA-256."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError, model_validator

from safer_bench.errors import BadInput
from safer_bench.tables.columns import NAME
from safer_bench.tables.strict_json import read_json
from safer_bench.tables.validation import sentence_of

FILE = "test_accuracy.json"


class _Accuracy(BaseModel):
    """How many answers a network gets right, one an example unless ``n_answers`` says how many, and its weights.

    ``weights_sha256`` is of the file; that of the table ``networks`` is over the state that the file holds.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    n_correct: int = Field(ge=0)
    n_examples: int = Field(gt=0, lt=2**31)
    n_answers: int | None = Field(default=None, gt=0, lt=2**31)
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _no_more_are_right_than_there_are(self) -> "_Accuracy":
        n, what = (self.n_examples, "examples") if self.n_answers is None else (self.n_answers, "answers")
        if self.n_correct > n:
            raise ValueError(f"{self.n_correct} of {n} {what} are right")
        return self


_FILE = TypeAdapter(dict[Annotated[str, StringConstraints(pattern=f"^{NAME}$")], _Accuracy])


def read_accuracies(path: Path) -> dict[str, dict[str, Any]]:
    """Return ``n_correct``, ``n_examples``, ``weights_sha256`` and maybe ``n_answers`` of each network that the file names.

    Raises:
        FileNotFoundError, NotADirectoryError: there is none.
        BadInput: it is damaged.
    """
    mend = "remove it to have every accuracy measured again"
    found = read_json(path, mend)
    try:
        _FILE.validate_python(found)
    except ValidationError as error:
        raise BadInput(f"{path}: damaged ({sentence_of(error)}); {mend}") from error
    return dict(found)
