"""A folder that holds a measurement: what was asked for, the parts measured so far, and a lock.

run.json                    the request: protocol, seed, digests of networks and inputs
networks, layers, perturbations .parquet
log.txt                     when, where and how it was measured; nothing reads it
parts/<network>/<first example>-<layer index>.<16 hex digits of its SHA-256>.parquet
"""

import fcntl
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from safer_bench.errors import BadInput, text_of
from safer_bench.tables import files, schema
from safer_bench.tables.facts import by_first_use
from safer_bench.tables.grouping import grouped

PROTOCOL = 1  # raised only when counts can change
TABLES = ("networks", "layers", "perturbations")
PART = pa.schema(
    [
        *schema.TABLES["layer_drops"],
        schema.TABLES["losses"].field("loss_increase"),
        schema.TABLES["outcomes"].field("flips"),
    ]
)


@dataclass(frozen=True, slots=True)
class Unit:
    """What one part holds: all probes of one layer on one slice of examples."""

    network: str
    example_start: int
    layer_index: int

    @property
    def stem(self) -> str:
        """File name without digest and ending."""
        return f"{self.example_start:06d}-{self.layer_index:04d}"


class RunFolder:
    """Reads and extends one run folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder's lock; it vanishes with the process.

        Raises:
            BadInput: the folder holds something else, where nothing is written, or another process measures into it.
        """
        self.refuse_foreign()
        files.make_folder(self.path)
        with open(self.path / "lock", "w") as lock:  # stays empty at its place: files would put another there
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise BadInput(f"{self.path}: another run measures into this folder; wait for it or use another") from error
            yield

    def open(self, request: Mapping[str, Any], tables: Callable[[], Mapping[str, pa.Table]]) -> None:
        """Write the request and the tables into a new folder, or check that an old one has the same request.

        ``tables`` is called only where they are not there and intact, since that of networks takes a clean pass.

        Raises:
            BadInput: the folder belongs to another request; the message names what differs.
        """
        wanted = json.loads(json.dumps({"protocol": PROTOCOL, **request}))
        if (self.path / "run.json").is_file():
            self._check_same(wanted)
            if all(self._table_is_intact(name) for name in TABLES):
                return
        digests = {}
        for name, table in tables().items():
            data = files.parquet_bytes(table)
            digests[name] = files.sha256_of(data)
            files.write_bytes(self.path / f"{name}.parquet", data)
        text = json.dumps({"request": wanted, "tables": digests}, indent=1, sort_keys=True)
        files.write_text(self.path / "run.json", text + "\n")

    def refuse_foreign(self) -> None:
        """Refuse a folder that holds something else than a run.

        No lock is needed: what another run writes here beside its first files follows its run.json, which is looked for
        last.

        Raises:
            BadInput: it does.
        """
        foreign = self.path.is_dir() and any(not self._is_own(item) for item in self.path.iterdir())
        if foreign and not (self.path / "run.json").is_file():
            raise BadInput(f"{self.path}: not empty and no run folder; use a new folder")

    @staticmethod
    def _is_own(item: Path) -> bool:
        """Tell whether a file may be what a start that was cut short left behind."""
        own = {"lock", "plan.json", "pilot", *(f"{name}.parquet" for name in TABLES)}
        return item.name in own or item.name.startswith(".")

    def _check_same(self, wanted: Mapping[str, Any]) -> None:
        there = self.request()
        if "slices" not in there:
            raise BadInput(f"{self.path}: laid out by an earlier version; measure again in a new folder")
        differing = [key for key in sorted({*there, *wanted}) if there.get(key) != wanted.get(key)]
        if differing:
            old, new = (_short(request.get(differing[0])) for request in (there, wanted))
            raise BadInput(
                f"{self.path}: belongs to a run with another {differing[0]} ({old}, now {new}); use a new folder, or repeat "
                "the first command to finish it"
            )

    def request(self) -> dict[str, Any]:
        """Return what was asked for.

        Raises:
            BadInput: this is no run folder, or its run.json is damaged.
        """
        return dict(self._facts()["request"])

    def _facts(self) -> dict[str, Any]:
        path = self.path / "run.json"
        try:
            facts = json.loads(path.read_text())
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BadInput(f"{self.path}: no run folder (it has no run.json); make one: safer-bench measure") from error
        except ValueError as error:
            raise BadInput(f"{path}: damaged ({text_of(error)}); measure again in a new folder") from error
        if not isinstance(facts, dict) or set(facts) != {"request", "tables"}:
            raise BadInput(f"{path}: damaged (it lacks request or tables); measure again in a new folder")
        return facts

    def _table_is_intact(self, name: str) -> bool:
        path = self.path / f"{name}.parquet"
        return path.is_file() and files.sha256_of(path.read_bytes()) == self._facts()["tables"].get(name)

    def table(self, name: str) -> pa.Table:
        """Return the table ``networks``, ``layers`` or ``perturbations``.

        Raises:
            BadInput: it is missing or damaged.
        """
        path = self.path / f"{name}.parquet"
        if not self._table_is_intact(name):
            raise BadInput(f"{path}: missing or damaged; repeat the run's measure command")
        return files.read_parquet(path)

    def parts(self) -> dict[Unit, Path]:
        """Return the intact part of every unit that has one; a damaged part counts as not there."""
        by_stem = {(path.parent.name, path.name.split(".")[0]): path for path in self._part_files()}
        by_unit = {unit: by_stem.get((unit.network, unit.stem)) for unit in self.units()}
        return {unit: path for unit, path in by_unit.items() if path is not None and _is_intact(path)}

    def _part_files(self) -> Iterator[Path]:
        yield from (self.path / "parts").glob("*/*.????????????????.parquet")

    def write(self, unit: Unit, part: bytes) -> None:
        """Write the unit's part, made by ``part_of``; a damaged one that was there gives way."""
        folder = self.path / "parts" / unit.network
        path = folder / f"{unit.stem}.{files.sha256_of(part)[:16]}.parquet"
        files.write_bytes(path, part)
        for stale in folder.glob(f"{unit.stem}.*.parquet"):
            if stale != path:
                stale.unlink()

    def units(self) -> list[Unit]:
        """Return every unit that the request asks for, in the order in which they are measured.

        Raises:
            BadInput: the folder is from before parts had slices.
        """
        request = self.request()
        if "slices" not in request:
            raise BadInput(f"{self.path}: laid out by an earlier version; measure again in a new folder")
        layers = by_first_use(self.table("layers").select(["network", "layer_index"]).to_pylist())
        units = []
        for network, slices in request["slices"].items():
            indices = [row["layer_index"] for row in layers[network]]
            every = [Unit(network, start, index) for start, _ in slices for index in indices]
            first, last = request["share"][network] if "share" in request else (0, len(every))
            units += every[first:last]
        return units

    def probes(self) -> pa.Table:
        """Return all parts as one table.

        Raises:
            BadInput: parts are missing or damaged: the run is not finished.
        """
        return read_parts([path for paths in self.finished().values() for path in paths])

    def finished(self) -> dict[str, list[Path]]:
        """Return the parts of each network of a finished run, checked.

        Raises:
            BadInput: parts are missing or damaged: the run is not finished.
        """
        units, parts = self.units(), self.parts()
        if len(parts) < len(units):
            raise BadInput(
                f"{self.path}: {len(units) - len(parts)} of {len(units)} parts are missing or damaged; "
                "finish the run by repeating its measure command"
            )
        networks = grouped(parts.items(), key=lambda part: part[0].network)
        return {network: [path for _, path in of_one] for network, of_one in networks.items()}


def read_parts(paths: Sequence[Path]) -> pa.Table:
    """Return parts as one table."""
    return pa.concat_tables([PART.empty_table(), *(files.read_parquet(path) for path in paths)])


def part_of(rows: list[dict[str, Any]]) -> bytes:
    """Return the rows of one unit as the bytes of its part."""
    return files.parquet_bytes(pa.Table.from_pylist(rows, schema=PART))


def _is_intact(path: Path) -> bool:
    return files.sha256_of(path.read_bytes())[:16] == path.name.split(".")[-2]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
