"""What manifest.json says of a tree: which tables it has, and the SHA-256 of every file."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from safer_bench.dataset.pinned import X_Y_Z
from safer_bench.errors import BadInput
from safer_bench.tables import schema
from safer_bench.tables.strict_json import read_json
from safer_bench.tables.validation import sentence_of

MEND = "get the tree again"
MOST_FILES = 10_000
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
# a document at the top, or a file of one table: nothing absolute, no backslash, no `..`
FileName = Annotated[
    str,
    StringConstraints(
        max_length=200, pattern=r"^([A-Za-z0-9][A-Za-z0-9_.-]*|[a-z_]+/[a-z]+-[0-9]{5}-of-[0-9]{5}\.parquet)$"
    ),
]


class Manifest(BaseModel):
    """What a manifest holds.

    Attributes:
        schema_version: of the schema of tables.
        version: of the data, where they are a release; its tag on the Hub is ``v`` and this.
        protocol: of the measurement.
        seed: of all random streams.
        contents: of each table the hash of its rows.
        files: of each file, by its path within the tree, the SHA-256 of its bytes.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    schema_version: str = Field(alias="schema")
    version: str | None = Field(default=None, pattern=f"^{X_Y_Z}$")
    protocol: int = Field(ge=0, lt=2**31)
    seed: int = Field(ge=-(2**63), lt=2**63)
    contents: dict[str, Digest]
    files: dict[FileName, Digest] = Field(max_length=MOST_FILES)

    @model_validator(mode="after")
    def _files_are_those_of_the_tables(self) -> "Manifest":
        unknown = sorted(set(self.contents) - set(schema.TABLES))
        if unknown:
            raise ValueError(f"contents names {unknown[0][:60]!r}, which is not a table")
        filed = {name.partition("/")[0] for name in self.files if "/" in name}
        for name in sorted(filed - set(self.contents)):
            raise ValueError(f"files names {name!r}, a table that contents lacks")
        for name in sorted(set(self.contents) - filed):
            raise ValueError(f"contents names {name!r}, a table that has no file")
        return self


def read_manifest(path: Path) -> dict[str, Any]:
    """Return the manifest at ``path``, checked, as it is written there.

    Raises:
        FileNotFoundError, NotADirectoryError: there is none.
        BadInput: it is damaged or of another schema version.
    """
    found = read_json(path, MEND)
    if not isinstance(found, dict) or not {"schema", "contents", "files", "seed"} <= set(found):
        raise BadInput(f"{path}: is not the manifest of a dataset tree (it lacks schema, contents, files or seed)")
    if found["schema"] != schema.VERSION:
        raise BadInput(
            f"{path.parent}: schema version {str(found['schema'])[:60]}, expected {schema.VERSION}. Use the safer-bench "
            "release that wrote it, or get the current truth"
        )
    try:
        Manifest.model_validate(found)
    except ValidationError as error:
        raise BadInput(f"{path}: {sentence_of(error)}; {MEND}") from error
    return found
