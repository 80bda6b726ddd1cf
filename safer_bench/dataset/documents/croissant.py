"""``croissant.json``: the tree in the words of Croissant 1.1, for machines that search and read datasets.

Plain JSON without a date, so that the same tables give the same bytes; mlcroissant validates it in the tests only.
"""

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from safer_bench.dataset.documents import responsible
from safer_bench.dataset.documents.responsible import Statements
from safer_bench.links import LINKS
from safer_bench.tables import schema

CONFORMS_TO = ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
PARQUET = "application/x-parquet"  # the name that mlcroissant reads; the registered one it does not know
TYPES = {
    pa.string(): "sc:Text",
    pa.binary(): "sc:Text",  # Croissant has no bytes
    pa.bool_(): "sc:Boolean",
    pa.int32(): "cr:Int32",
    pa.int64(): "cr:Int64",
    pa.float32(): "cr:Float32",
    pa.float64(): "cr:Float64",
}
IN_CROISSANT = [
    "arrayShape", "citeAs", "column", "conformsTo", "containedIn", "equivalentProperty", "extract", "field",
    "fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key",
    "md5", "parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate",
    "separator", "source", "subField", "transform",
]  # fmt: skip
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    **{name: f"cr:{name}" for name in IN_CROISSANT},
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
}


def render_croissant(
    contents: Mapping[str, str], digests: Mapping[str, str], statements: Statements, version: str | None = None
) -> str:
    """Return the Croissant description of a dataset tree.

    Args:
        contents: content hash of each table.
        digests: SHA-256 of each Parquet file, by its path within the tree.
        statements: what is said of its data.
        version: of the data, where they are a release.
    """
    revision = contents["layer_drops"]
    tables = [name for name in schema.TABLES if name in contents]
    document = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": "safer-bench" if statements.ours else "layer-sensitivities",
        "description": responsible.DESCRIPTION,
        **(_origin(revision) if statements.ours else {}),
        **({"version": version} if version else {}),
        "identifier": revision,
        **{f"rai:{name}": text for name, text in _responsible(statements).items()},
        "distribution": [*(_file_object(path, digests[path]) for path in sorted(digests)), *map(_file_set, tables)],
        "recordSet": [_record_set(name) for name in tables],
    }
    return json.dumps(document, indent=1) + "\n"


def _origin(revision: str) -> dict[str, str]:
    return {
        "license": responsible.LICENCE,
        "url": LINKS["Dataset"],
        "citeAs": responsible.citation(revision[:16]),
    }


def _responsible(statements: Statements) -> dict[str, Any]:
    return {
        "dataCollection": responsible.COLLECTION,
        "dataCollectionType": ["Experiments"],
        "dataCollectionMissingData": responsible.MISSING,
        "dataPreprocessingProtocol": [statements.preprocessing],
        "dataAnnotationProtocol": [statements.annotation],
        "dataUseCases": list(responsible.USES),
        "dataLimitations": list(statements.limitations),
        "dataBiases": list(statements.biases),
        "personalSensitiveInformation": [statements.personal],
        "dataSocialImpact": responsible.SOCIAL_IMPACT,
        "dataReleaseMaintenancePlan": statements.maintenance,
    }


def _file_object(path: str, digest: str) -> dict[str, Any]:
    facts = {"name": path, "contentUrl": path, "encodingFormat": PARQUET, "sha256": digest}
    return {"@type": "cr:FileObject", "@id": path, **facts}


def _file_set(table: str) -> dict[str, Any]:
    identity = f"{table}-files"
    facts = {"name": identity, "description": f"files of table {table}, one a split", "encodingFormat": PARQUET}
    return {"@type": "cr:FileSet", "@id": identity, **facts, "includes": f"{table}/*.parquet"}


def _record_set(table: str) -> dict[str, Any]:
    columns = schema.TABLES[table]
    facts = {"name": table, "description": schema.described(columns)[0]}
    return {"@type": "cr:RecordSet", "@id": table, **facts, "field": [_field(table, column) for column in columns]}


def _field(table: str, column: pa.Field) -> dict[str, Any]:
    meaning, unit = schema.described(column)
    is_list = pa.types.is_list(column.type)
    return {
        "@type": "cr:Field",
        "@id": f"{table}/{column.name}",
        "name": column.name,
        "description": meaning + (f"; unit: {unit}" if unit else ""),
        "dataType": TYPES[column.type.value_type if is_list else column.type],
        **({"isArray": True, "arrayShape": "-1"} if is_list else {}),
        "source": {"fileSet": {"@id": f"{table}-files"}, "extract": {"column": column.name}},
    }
