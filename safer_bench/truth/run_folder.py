"""A folder that holds a measurement: what was asked for, the parts measured so far, and a lock.

run.json                    the request: protocol, seed, digests of networks and inputs
networks, layers, perturbations .parquet
log.txt                     when, where and how it was measured; nothing reads it
parts/<network>/<first example>-<number of examples>-<layer index>.<16 hex digits of its SHA-256>.parquet
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from filelock import FileLock, Timeout
from pydantic import ValidationError

from safer_bench.errors import BadInput
from safer_bench.tables import files, schema
from safer_bench.tables.facts import by_first_use
from safer_bench.tables.grouping import grouped
from safer_bench.tables.validation import sentence_of
from safer_bench.truth.answers import of_today
from safer_bench.truth.parts import PART as PART
from safer_bench.truth.parts import Parts, expected_of, is_intact, read_parts
from safer_bench.truth.parts import Unit as Unit
from safer_bench.truth.parts import part_of as part_of
from safer_bench.truth.request import PROTOCOL as PROTOCOL
from safer_bench.truth.request import (
    RESTORE,
    Request,
    another_file,
    other_answers,
    read_run_file,
    sealed,
)

TABLES = ("networks", "layers", "perturbations")
ELSEWHERE = "use a new folder, or repeat the first command to finish it"


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
        lock = FileLock(self.path / "lock")
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            raise BadInput(f"{self.path}: another run measures into this folder; wait for it or use another") from error
        except OSError as error:
            raise files.unwritable(self.path / "lock", error) from error
        try:
            yield
        finally:
            lock.release()

    def open(self, request: Mapping[str, Any], tables: Callable[[], Mapping[str, pa.Table]]) -> None:
        """Write the request and the tables into a new folder, or check that an old one has the same request.

        ``tables`` is called only where they are not there and intact, since that of networks takes a clean pass; and in a
        folder of before, whose request says nothing of clean answers, to compare those.

        Raises:
            BadInput: the folder belongs to another request; the message names what differs.
        """
        wanted = _normal({"protocol": PROTOCOL, **request})
        made = None
        if (self.path / "run.json").is_file():
            there = self.request()
            self._check_same(there, wanted)
            intact = [name for name in TABLES if self._table_is_intact(name)]
            if "clean" not in there and "networks" in intact:
                made = tables()
                self._check_same_outcomes(made["networks"])
            if len(intact) == len(TABLES):
                return
        digests = {}
        for name, table in (made or tables()).items():
            data = files.parquet_bytes(table)
            digests[name] = files.sha256_of(data)
            files.write_bytes(self.path / f"{name}.parquet", data)
        text = json.dumps(sealed({"request": wanted, "tables": digests}), indent=1, sort_keys=True)
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
            raise BadInput(f"{self.path}: not empty and not a run folder; use a new folder")

    @staticmethod
    def _is_own(item: Path) -> bool:
        """Tell whether a file may be what a start that was cut short left behind."""
        own = {"lock", "draws.json", "pilot", *(f"{name}.parquet" for name in TABLES)}
        return item.name in own or item.name.startswith(".")

    def _check_same(self, there: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        if "slices" not in there:
            raise BadInput(f"{self.path}: laid out by an earlier version; measure again in a new folder")
        if "files" in there and there["networks"] == wanted["networks"]:
            found = another_file(there["files"], wanted["files"])
            if found is not None:
                raise BadInput(f"{self.path}: {found}; {RESTORE}")
        if there["networks"] != wanted["networks"]:
            what = _other_networks(there["networks"], wanted["networks"])
            raise BadInput(f"{self.path}: belongs to a run with {what}; {ELSEWHERE}")
        others = {*there, *wanted} - {"files", "clean"}
        if there["examples"] is None and there["slices"] == wanted["slices"]:
            others.discard("examples")  # all, or as many as there are: the same
        differing = [key for key in sorted(others) if there.get(key) != wanted.get(key)]
        if differing:
            what = _difference(there.get(differing[0]), wanted.get(differing[0]))
            other = "other" if differing[0].endswith("s") else "another"
            raise BadInput(f"{self.path}: belongs to a run with {other} {differing[0]} ({what}); {ELSEWHERE}")
        found = other_answers(there.get("clean", {}), wanted["clean"])
        if found is not None:
            raise BadInput(f"{self.path}: {found}: its code or a library's is another; {RESTORE}")

    def _check_same_outcomes(self, now: pa.Table) -> None:
        """Compare with what the networks answered when the run began, as the table of networks tells."""
        before = {row["network"]: row["clean_outcomes"] for row in self.table("networks").to_pylist()}
        for row in now.to_pylist():
            if before.get(row["network"]) != row["clean_outcomes"]:
                raise BadInput(
                    f"{self.path}: network {row['network']!r} answers otherwise now, by equal weights and inputs (others of "
                    f"its examples are right): its code or a library's is another; {RESTORE}"
                )

    def request(self) -> dict[str, Any]:
        """Return what was asked for.

        Raises:
            BadInput: this is no run folder, or its run.json is damaged or was edited.
        """
        return dict(self._facts()["request"])

    def _facts(self) -> dict[str, Any]:
        try:
            return read_run_file(self.path / "run.json")
        except (FileNotFoundError, NotADirectoryError) as error:
            if self.path.is_file():
                raise BadInput(
                    f"{self.path}: a file; expected a run folder, unpacked: tar -xJf {self.path} -C runs"
                ) from error
            found = f"{self.path}: is not a run folder ({'it has no run.json' if self.path.exists() else 'there is none'})"
            raise BadInput(f"{found}; make one: safer-bench measure") from error

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
        return of_today(files.read_parquet(path), schema.TABLES[name])

    def parts(self) -> dict[Unit, Path]:
        """Return the intact part of every unit that has one; a damaged part counts as not there."""
        by_stem = {(path.parent.name, path.name.split(".")[0]): path for path in self._part_files()}
        found = lambda unit, stem: by_stem.get((unit.network, stem))  # noqa: E731
        by_unit = {unit: found(unit, unit.stem) or found(unit, unit.stem_before) for unit in self.units()}
        return {unit: path for unit, path in by_unit.items() if path is not None and is_intact(path)}

    def _part_files(self) -> Iterator[Path]:
        yield from (self.path / "parts").glob("*/*.????????????????.parquet")

    def write(self, unit: Unit, part: bytes) -> None:
        """Write the unit's part, made by ``part_of``; a damaged one that was there gives way."""
        folder = self.path / "parts" / unit.network
        path = folder / f"{unit.stem}.{files.sha256_of(part)[:16]}.parquet"
        files.write_bytes(path, part)
        for stale in folder.glob("*.????????????????.parquet"):
            if stale != path and stale.name.split(".")[0] in (unit.stem, unit.stem_before):
                stale.unlink()

    def units(self, *, whole: bool = False) -> list[Unit]:
        """Return every unit that the request asks for, in the order in which they are measured.

        Args:
            whole: those of the whole run, where this is a shard.

        Raises:
            BadInput: the folder is from before parts had slices.
        """
        request = self.request()
        if "slices" not in request:
            raise BadInput(f"{self.path}: laid out by an earlier version; measure again in a new folder")
        layers = by_first_use(self.table("layers").select(["network", "layer_index"]).to_pylist())
        units = []
        for network, slices in request["slices"].items():
            indices = [row["layer_index"] for row in layers.get(network, [])]
            every = [Unit(network, start, n, index) for start, n in slices for index in indices]
            first, last = request["share"][network] if "share" in request and not whole else (0, len(every))
            units += every[first:last]
        return units

    def probes(self) -> pa.Table:
        """Return all parts as one table.

        Raises:
            BadInput: parts are missing or damaged: the run is not finished; or one is not what the run measured there.
        """
        tables = {name: self.table(name) for name in TABLES}
        whole = "shard" not in self.request()
        read = [
            read_parts(parts.paths, expected_of(parts.request, network, tables, whole=whole))
            for network, parts in self.finished().items()
        ]
        return pa.concat_tables([PART.empty_table(), *read])

    def finished(self) -> dict[str, Parts]:
        """Return the parts of each network of a finished run.

        Raises:
            BadInput: parts are missing or damaged: the run is not finished.
        """
        units, parts = self.units(), self.parts()
        if len(parts) < len(units):
            raise BadInput(
                f"{self.path}: {len(units) - len(parts)} of {len(units)} parts are missing or damaged; "
                "finish the run by repeating its measure command"
            )
        networks, request = grouped(parts.items(), key=lambda part: part[0].network), self.request()
        return {network: Parts(dict(of_one), request) for network, of_one in networks.items()}


def _normal(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request as JSON gives it back, checked.

    Raises:
        BadInput: it holds what could not be read again, such as a seed of more than 64 bits.
    """
    normal = json.loads(json.dumps(request))
    try:
        Request.model_validate(normal)
    except ValidationError as error:
        raise BadInput(f"this cannot be measured into a folder: {sentence_of(error)}") from error
    return dict(normal)


def _other_networks(there: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]]) -> str:
    """Return how the networks of two requests differ: by their names, or one in its weights or inputs."""
    if there.keys() != now.keys():
        return f"another set of networks ({', '.join(sorted(there))}, now {', '.join(sorted(now))})"
    name = min(name for name in there if there[name] != now[name])
    keys = sorted({*there[name], *now[name]}, reverse=True)  # weights first
    key = next(key for key in keys if there[name].get(key) != now[name].get(key))
    old, new = (str(each[name].get(key))[:16] for each in (there, now))
    return f"other {key} of network {name!r} ({old}, now {new})"


def _difference(old: Any, new: Any) -> str:
    """Return both values; of dictionaries those of the first entry that differs, ``none`` where one has no such entry.

    >>> _difference(3, 4), _difference({"a": 1, "b": [2]}, {"a": 1})
    ('3, now 4', 'b: [2], now none')
    """
    if isinstance(old, dict) and isinstance(new, dict):
        key = min(key for key in {*old, *new} if key not in old or key not in new or old[key] != new[key])
        if key in old and key in new:
            return f"{key}: {_difference(old[key], new[key])}"
        before, now = (_short(each[key]) if key in each else "none" for each in (old, new))
        return f"{key}: {before}, now {now}"
    return f"{_short(old)}, now {_short(new)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
