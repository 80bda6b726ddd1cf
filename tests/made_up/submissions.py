"""Malformed submissions: one fault each, drawn by number."""

import os
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

NETWORK = "digits_mlp"
ODD = ("\\x00", "\\x1b", "\\u202e", "\\u2066", "\\ud800", "\\u2028", "\\t", "\\x85", "\\ufeff")
NO_NUMBERS = (
    *("nan", "NaN", "inf", "-inf", "Infinity", "0x10", "1_0", "1,5", "1.5.2", "1e", "e5", "--1", "+-1", "1 ", " 1", "one"),
    *(
        "1e400",
        "-1e999",
        "\uff11",
        "\u0663",
        "1\u00a0000",
        "None",
        "null",
        "true",
        "=1+1",
        "1f",
        "1j",
        ".",
        "-",
        "0b1",
        "1\x00",
    ),
)


class Malformed:
    """Writes a good submission and then makes one thing of it wrong.

    Attributes:
        folder: of the submission.
        draw: of the numbers that vary a fault.
    """

    def __init__(self, folder: Path, layers: list[str], draw: random.Random) -> None:
        self.folder, self.draw, self.name = folder, draw, folder.name
        self.rows = [(NETWORK, layer, str(i / 4)) for i, layer in enumerate(layers)]
        folder.mkdir()
        self.card(f"name: {self.name}\ncriteria:\n- name: {self.name}\n")
        self.csv()

    def card(self, text, encoding="utf-8"):
        data = text if isinstance(text, bytes) else text.encode(encoding)
        (self.folder / "submission.yaml").write_bytes(data)

    def csv(self, header="network,layer,score", end="\n", encoding="utf-8"):
        text = "".join(f"{line}{end}" for line in [header, *(",".join(row) for row in self.rows)])
        (self.folder / "scores.csv").write_bytes(text.encode(encoding))

    def set(self, value, column=2):
        i = self.draw.randrange(len(self.rows))
        self.rows[i] = tuple(value if at == column else each for at, each in enumerate(self.rows[i]))
        self.csv()

    def columns(self):
        network, layer, score = zip(*self.rows, strict=True)
        return {"network": pa.array(network), "layer": pa.array(layer), "score": pa.array([float(each) for each in score])}

    def parquet(self, columns, name="scores.parquet", **how):
        (self.folder / "scores.csv").unlink(missing_ok=True)
        pq.write_table(pa.table(columns), self.folder / name, **how)

    def costs(self, **changed):
        columns = {"criterion": [self.name], "network": [NETWORK], "seconds": [1.0], "memory": [None]}
        columns |= {"forward_equivalents": [2.0], **changed}
        pq.write_table(pa.table({key: each for key, each in columns.items() if each is not None}),
                       self.folder / "costs.parquet")  # fmt: skip

    def instead(self, name, make):
        (self.folder / name).unlink(missing_ok=True)
        make(self.folder / name)


def _twice(columns, name):
    names = [*columns, name]
    return pa.Table.from_arrays([columns[each] for each in names], names=names)


def _in(text):
    return lambda at: at.card(f"name: {at.name}\ncriteria:\n- name: {at.name}\n{text}")


def _criterion(text):
    return lambda at: at.card(f"name: {at.name}\ncriteria:\n- name: {at.name}\n  {text}\n")


def _scores(change, name="score"):
    return lambda at: at.parquet(at.columns() | {name: change(at.columns()[name], at)})


def _file(name, make):
    return lambda at: at.instead(name, lambda path: make(at, path))


def _link(at, path):
    target = at.folder.parent / f"{at.name}-elsewhere"
    target.write_text(f"name: {at.name}\ncriteria: [{{name: {at.name}}}]\n")
    path.symlink_to(target)


def _encoded(encoding):
    def change(at):
        at.rows = [(*row[:2], f"{row[2]}") for row in at.rows]
        at.set(at.rows[0][1] + "ü", column=1)
        at.csv(encoding=encoding)

    return change


MAKERS = {
    "link": _link,
    "link to nowhere": lambda at, path: path.symlink_to("/nowhere/at/all"),
    "pipe": lambda at, path: os.mkfifo(path),
    "folder": lambda at, path: path.mkdir(),
    "large": lambda at, path: path.write_bytes(b"x" * 1_300_000),
}
FILES = ("submission.yaml", "scores.csv", "costs.parquet")
CARD = {
    "no card": lambda at: (at.folder / "submission.yaml").unlink(),
    "empty card": lambda at: at.card(""),
    "list": lambda at: at.card("- 1\n- 2\n"),
    "word": lambda at: at.card("hello"),
    "key twice": _in("name: other\n"),
    "inner key twice": _criterion("name: other"),
    "alias": lambda at: at.card(f"name: &a {at.name}\ncriteria: [{{name: *a}}]\n"),
    "aliased levels": _in("levels: {a: &a [1.0, 2.0], b: *a}\n"),
    "merge": _in("weights: {<<: &a {x: y}}\nlevels: *a\n"),
    "many values": _in(f"weights: {{{', '.join(f'k{i}: x' for i in range(16_000))}}}\n"),
    "nested": lambda at: at.card("criteria: " + "[" * at.draw.randrange(1000, 5000)),
    "not UTF-8": lambda at: at.card(f"name: {at.name}\ndescription: Größe\n", "latin-1"),
    "UTF-16": lambda at: at.card(f"name: {at.name}\ncriteria: [{{name: {at.name}}}]\n", "utf-16"),
    "noise": lambda at: at.card(bytes([0xFF, *at.draw.randbytes(300)])),
    "object": lambda at: at.card("!!python/object/apply:os.getcwd []"),
    "date": lambda at: at.card(f"name: 2020-0{at.draw.randrange(1, 9)}-01\ncriteria: [{{name: {at.name}}}]\n"),
    "odd date": lambda at: at.card("name: 2020-13-45\n"),
    "number": lambda at: at.card(f"name: {at.draw.randrange(10**9)}\ncriteria: [{{name: {at.name}}}]\n"),
    "yes": lambda at: at.card(f"name: yes\ncriteria: [{{name: {at.name}}}]\n"),
    "null": lambda at: at.card(f"name:\ncriteria: [{{name: {at.name}}}]\n"),
    "long name": lambda at: at.card(f"name: {'n' * 81}\ncriteria: [{{name: {at.name}}}]\n"),
    "path": lambda at: at.card(f"name: ../{at.name}\ncriteria: [{{name: {at.name}}}]\n"),
    "lookalike": lambda at: at.card(f"name: {at.name}\ncriteria: [{{name: sn\u0456p}}]\n"),
    "wide name": lambda at: at.card(f"name: {at.name}\ncriteria: [{{name: \uff53nip}}]\n"),
    "other case": lambda at: at.card(
        f"name: {at.name}\ncriteria: [{{name: {at.draw.choice(['SNIP', 'Snip', 'Random'])}}}]\n"
    ),
    "control": lambda at: at.card(f"name: {at.name}\ncriteria: [{{name: {at.draw.choice(['replicate', 'size_depth'])}}}]\n"),
    "control's case": lambda at: at.card(
        f"name: {at.name}\ncriteria: [{{name: {at.draw.choice(['Replicate', 'MACS'])}}}]\n"
    ),
    "odd description": lambda at: _in(f'description: "a{at.draw.choice(ODD)}b"\n')(at),
    "odd author": lambda at: _in(f'authors: ["a{at.draw.choice(ODD)}b"]\n')(at),
    "odd licence": lambda at: _in(f'licence: "a{at.draw.choice(ODD)}b"\n')(at),
    "odd formula": lambda at: _criterion(f'formula: "a{at.draw.choice(ODD)}b"')(at),
    "odd source": lambda at: _criterion(f'source: "a{at.draw.choice(ODD)}b"')(at),
    "odd needs": lambda at: _criterion(f'needs: "a{at.draw.choice(ODD)}b"')(at),
    "unknown field": _in("metrics: {spearman: 1.0}\n"),
    "unknown inner field": _criterion("spearman: 1.0"),
    "track": _criterion("track: clairvoyant"),
    "no criteria": lambda at: at.card(f"name: {at.name}\ncriteria: []\n"),
    "criterion twice": _in("- name: other\n- name: other\n"),
    "unscored criterion": _in("- name: other\n"),
    "sets": lambda at: _in(f"calibration_sets: {at.draw.choice(['0', '101', '1.5', '.nan', 'many', '-1'])}\n")(at),
    "huge number": _in(f"calibration_sets: {'9' * 5000}\n"),
    "huge number in hexadecimal": _in(f"calibration_sets: 0x{'f' * 9000}\n"),
    "huge number in sixties": _in(f"calibration_sets: {'1:' * 9000}1\n"),
    "long description": _in(f"description: {'x' * 2001}\n"),
    "numbers for authors": _in("authors: [1, 2]\n"),
    "one author": _in("authors: me\n"),
    "weights": _in(f"weights: {{{NETWORK}: {'0' * 64}}}\n"),
    "weights of no text": _in(f"weights: {{{NETWORK}: 12}}\n"),
    "levels": _in("levels: {gaussian_noise: [0.5, 3.0]}\n"),
    "levels of nan": _in("levels: {gaussian_noise: [.nan]}\n"),
    "levels of text": _in("levels: {gaussian_noise: mild}\n"),
    "code elsewhere": lambda at: _criterion(
        f"code: {at.draw.choice(['../a.py:f', '/a.py:f', 'a/b.py:f', 'a.py', 'a.py:f()'])}"
    )(at),
    "code absent": _criterion("code: a.py:f"),
    "tabs": lambda at: at.card(f"name: {at.name}\ncriteria:\n\t- name: {at.name}\n"),
    "two documents": lambda at: at.card(f"---\nname: {at.name}\n---\ncriteria: [{{name: {at.name}}}]\n"),
}
CARD |= {
    f"code is a {kind}": lambda at, make=make: (_criterion("code: a.py:f")(at), make(at, at.folder / "a.py"))
    for kind, make in MAKERS.items()
}
SCORES = {
    "no scores": lambda at: (at.folder / "scores.csv").unlink(),
    "both": lambda at: pq.write_table(pa.table(at.columns()), at.folder / "scores.parquet"),
    "empty": lambda at: (at.folder / "scores.csv").write_bytes(b""),
    "header alone": lambda at: (at.rows.clear(), at.csv()),
    "column twice": lambda at: (at.rows.__setitem__(slice(None), [(*row, "7") for row in at.rows]), at.csv("network,layer,score,score")),
    "unused column twice": lambda at: (
        at.rows.__setitem__(slice(None), [(*row, "7", "8") for row in at.rows]), at.csv("network,layer,score,x,x")),
    "no score": lambda at: at.csv("network,layer,value"),
    "no layer": lambda at: at.csv("network,name,score"),
    "spaces in the header": lambda at: at.csv("network, layer, score"),
    "semicolons": lambda at: ((at.folder / "scores.csv").write_text((at.folder / "scores.csv").read_text().replace(",", ";"))),
    "short row": lambda at: (at.rows.append((NETWORK, "x")), at.csv()),
    "long row": lambda at: (at.rows.append((NETWORK, "x", "1", "2")), at.csv()),
    "open quote": lambda at: at.set('"1'),
    "after the quote": lambda at: at.set('"1"2'),
    "no number": lambda at: at.set(at.draw.choice(NO_NUMBERS)),
    "no number here": lambda at: at.set(at.draw.choice(NO_NUMBERS)),
    "no number there": lambda at: at.set(at.draw.choice(NO_NUMBERS)),
    "no score in a row": lambda at: at.set(""),
    "unknown layer": lambda at: at.set(at.draw.choice(["", "head ", "HEAD", "x\x00", "\u202ehead", "l" * 301, "=head"]), column=1),
    "unknown network": lambda at: at.set(at.draw.choice(["", "resnet", "digits_mlp ", "n" * 9999]), column=0),
    "layer twice": lambda at: (at.rows.append(at.draw.choice(at.rows)), at.csv()),
    "layer missing": lambda at: (at.rows.pop(at.draw.randrange(len(at.rows))), at.csv()),
    "perturbation of a blind score": lambda at: (
        at.rows.__setitem__(slice(None), [(*row, "gaussian_noise") for row in at.rows]), at.csv("network,layer,score,perturbation")),
    "spread": lambda at: (
        at.rows.__setitem__(slice(None), [(*row, at.draw.choice(["-1", "nan", "x"])) for row in at.rows]), at.csv("network,layer,score,spread")),
    "latin-1": _encoded("latin-1"),
    "UTF-16 scores": _encoded("utf-16"),
    "UTF-7 scores": _encoded("utf-7"),
    "other criterion": lambda at: (
        at.rows.__setitem__(slice(None), [(*row, "other") for row in at.rows]), at.csv("network,layer,score,criterion")),
    "many rows": lambda at: (at.rows.extend(at.rows * 9), at.csv()),
    "long field": lambda at: at.set("1" * 200_000),
}  # fmt: skip
PARQUET = {
    "no Parquet": lambda at: (at.folder / "scores.csv").rename(at.folder / "scores.parquet"),
    "cut off": lambda at: (at.parquet(at.columns()), _cut(at)),
    "footer": lambda at: (at.parquet(at.columns()), _noise(at)),
    "score of text": _scores(lambda column, at: column.cast(pa.string())),
    "score of truth values": _scores(lambda column, at: pa.array([i % 2 == 0 for i in range(len(column))])),
    "score of dates": _scores(lambda column, at: pa.array(range(len(column)), pa.timestamp("s"))),
    "score of decimals": _scores(lambda column, at: pa.array(range(len(column)), pa.int32()).cast(pa.decimal128(12, 2))),
    "score of lists": _scores(lambda column, at: pa.array([[each] for each in column.to_pylist()])),
    "score of structs": _scores(lambda column, at: pa.array([{"score": each} for each in column.to_pylist()])),
    "score of nothing": _scores(lambda column, at: pa.nulls(len(column))),
    "score of null": _scores(lambda column, at: _with(column, None, at)),
    "score of nan": _scores(lambda column, at: _with(column, float("nan"), at)),
    "score of infinity": _scores(lambda column, at: _with(column, at.draw.choice([float("inf"), float("-inf")]), at)),
    "layer of bytes": _scores(lambda column, at: column.cast(pa.binary()), "layer"),
    "layer of numbers": _scores(lambda column, at: pa.array(range(len(column))), "layer"),
    "layer of lists": _scores(lambda column, at: pa.array([[each] for each in column.to_pylist()]), "layer"),
    "layer of null": _scores(lambda column, at: _with(column, None, at), "layer"),
    "network of null": _scores(lambda column, at: _with(column, None, at), "network"),
    "long layer": _scores(lambda column, at: _with(column, "x" * 400_000, at), "layer"),
    "layer that is no UTF-8": _scores(lambda column, at: _broken(column), "layer"),
    "no rows": lambda at: at.parquet({name: column[:0] for name, column in at.columns().items()}),
    "no columns": lambda at: at.parquet({"x": [1]}),
    "Parquet column twice": lambda at: at.parquet(_twice(at.columns(), at.draw.choice(["network", "layer", "score"]))),
    "many Parquet rows": lambda at: at.parquet({name: column.take([0] * 400_000) for name, column in at.columns().items()}),
    "large when unpacked": lambda at: at.parquet(
        at.columns() | {"layer": _with(at.columns()["layer"], "x" * 9_000_000, at)}, compression="zstd"),
    "prefixes": lambda at: at.parquet(
        at.columns() | {"layer": pa.array([f"{'x' * 90_000}{i}" for i in range(len(at.rows))])},
        use_dictionary=False, column_encoding={"layer": "DELTA_BYTE_ARRAY"}),
}  # fmt: skip
COSTS = {
    "no costs": lambda at: (at.folder / "costs.parquet").write_bytes(b"nothing"),
    "costs of nan": lambda at: at.costs(seconds=[float("nan")]),
    "costs of infinity": lambda at: at.costs(forward_equivalents=[float("inf")]),
    "costs below 0": lambda at: at.costs(memory=[-1.0]),
    "costs of text": lambda at: at.costs(seconds=["long"]),
    "costs of what": lambda at: at.costs(network=None),
    "costs of an unknown network": lambda at: at.costs(network=["resnet"]),
    "costs of many": lambda at: at.costs(
        **{name: [value] * 50_000 for name, value in (("criterion", at.name), ("network", NETWORK), ("seconds", 1.0))},
        memory=[1.0] * 50_000, forward_equivalents=[1.0] * 50_000),
}  # fmt: skip
PLACES = {
    f"{name} is a {kind}": _file(name, make)
    for name in FILES
    for kind, make in MAKERS.items()
}  # fmt: skip
FAULTS = {**CARD, **SCORES, **PARQUET, **COSTS, **PLACES}


def _with(column, value, at):
    values = column.to_pylist()
    values[at.draw.randrange(len(values))] = value
    return pa.array(values, column.type)


def _broken(column):
    """Return a column of text whose bytes are not UTF-8; nothing looks at them until they are read."""
    data = [b"\xff\xfe", *(each.encode() for each in column.to_pylist()[1:])]
    return pa.Array.from_buffers(pa.string(), len(data), pa.array(data, pa.binary()).buffers())


def _cut(at):
    path = at.folder / "scores.parquet"
    path.write_bytes(path.read_bytes()[: -at.draw.randrange(1, 200)])


def _noise(at):
    path, data = at.folder / "scores.parquet", bytearray((at.folder / "scores.parquet").read_bytes())
    data[-9 - at.draw.randrange(40) : -8] = at.draw.randbytes(60)
    path.write_bytes(bytes(data))


def malformed(root: Path, number: int, layers: list[str]) -> tuple[str, Path]:
    """Write a malformed submission; return its fault and its folder.

    Args:
        root: folder of submissions.
        number: draws the fault and what varies it; numbers below ``len(FAULTS)`` have each of them once.
        layers: of the network ``NETWORK``.
    """
    names = list(FAULTS)
    fault, folder = names[number % len(names)], root / f"bad{number:04}"
    FAULTS[fault](Malformed(folder, layers, random.Random(number)))
    return fault, folder
