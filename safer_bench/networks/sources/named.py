"""What names a network of a source: itself, its data, and how examples are chosen. One line says it all."""

import re
import shlex
from dataclasses import asdict, dataclass, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Self

from safer_bench.errors import BadInput
from safer_bench.registry import absolute, is_file_spec

SOURCES = ("timm", "torchvision", "transformers")
DATA_SOURCES = ("imagefolder", "hub")
LONGEST_NAME = 80
EXPECTED_DATA = "imagefolder:FOLDER, hub:ID[:CONFIG][:SPLIT] or FILE.py:FUNC"


@dataclass(frozen=True, slots=True)
class Choice:
    """What is chosen beside the network itself; None where nothing is said.

    Attributes:
        data: ``imagefolder:FOLDER``, ``hub:ID[:CONFIG][:SPLIT]`` or ``FILE.py:FUNC``.
        examples_from: number of evaluation examples.
        calibration: number of calibration examples, others than those.
        data_seed: of the random choice of both.
        name: of the network in every table.
    """

    data: str | None = None
    examples_from: int | None = None
    calibration: int | None = None
    data_seed: int | None = None
    name: str | None = None

    @property
    def given(self) -> dict[str, str | int]:
        """What is chosen, by ``load_network``'s names."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    @property
    def options(self) -> list[str]:
        """The words of the command line that say the same."""
        return [word for key, value in self.given.items() for word in (f"--{key.replace('_', '-')}", str(value))]


@dataclass(frozen=True, slots=True)
class Named:
    """A network of a source with its choice.

    Attributes:
        source: one of ``SOURCES``.
        what: the rest of the network's spec.
        choice: what goes with it; ``data`` is there.
    """

    source: str
    what: str
    choice: Choice

    @classmethod
    def of(cls, spec: str, choice: Choice) -> Self:
        """Read a network's spec, which may hold the choice: ``timm:resnet18 --data imagefolder:flowers``.

        Raises:
            BadInput: no data is chosen, twice something else, or what cannot be.
        """
        network, kept = _split(spec)
        if kept.options and choice.options:
            raise BadInput(
                f"{spec}: says what is chosen already; found {' '.join(choice.options)} beside it, give one of both"
            )
        choice = kept if kept.options else choice
        source, _, what = network.partition(":")
        if not what:
            raise BadInput(f"{network!r}: a source without a network; expected {source}:NAME")
        if choice.data is None:
            raise BadInput(f"{network}: on which data? Expected --data {EXPECTED_DATA}")
        return cls(source, what, replace(choice, data=_absolute_data(choice.data)))

    @property
    def spec(self) -> str:
        """One line from which any process loads the same network."""
        return shlex.join([f"{self.source}:{_absolute_what(self.source, self.what)}", *self.choice.options])

    @property
    def origin(self) -> str:
        """What is published of where network and data come from: no folder of this machine."""
        what, at, checkpoint = split_checkpoint(self.what)
        data, (source, _, rest) = self.choice.data or "", (self.choice.data or "").partition(":")
        of_data = _short(data) if is_file_spec(data) else f"{source}:{_short(rest)}"
        return f"{self.source}:{_short(what)}{at}{_short(checkpoint)} on {of_data}"

    @property
    def name(self) -> str:
        """The name that was chosen, else one made of source, network, checkpoint and data."""
        if self.choice.name is not None:
            return self.choice.name
        what, at, checkpoint = split_checkpoint(self.what)
        parts = [self.source, _last(what), _last(checkpoint) if at else "", *map(_last, (self.choice.data or "").split(":"))]
        text = "-".join(re.sub(r"[^A-Za-z0-9_.]+", "-", part).strip("-.") for part in parts if part)
        if len(text) <= LONGEST_NAME:
            return text
        return f"{text[: LONGEST_NAME - 9]}-{sha256(text.encode()).hexdigest()[:8]}"


def is_of_source(spec: str) -> bool:
    """Tell whether a network's spec begins with the prefix of a source."""
    return spec.partition(":")[0] in SOURCES and ":" in spec


def data_file(spec: str) -> Path | None:
    """Return the user's file that gives the data of a network of a source; None where no file does."""
    data = _split(spec)[1].data
    return Path(data.rpartition(":")[0]) if data is not None and is_file_spec(data) else None


def split_checkpoint(what: str) -> tuple[str, str, str]:
    """Return ``NAME``, ``@`` or nothing, and the checkpoint: after a path only ``@random:SEED`` is one."""
    if Path(what).is_dir():
        return what, "", ""
    random = re.fullmatch(r"(.+)(@)(random(?::.*)?)", what)
    if random:
        return random[1], random[2], random[3]
    name, at, checkpoint = what.partition("@")
    return (name, at, checkpoint) if "/" not in name else (what, "", "")


def random_seed(checkpoint: str, where: str) -> int | None:
    """Return the seed of ``random:SEED``; None where the checkpoint is a file.

    Raises:
        BadInput: the seed is no number.
    """
    word, _, seed = checkpoint.partition(":")
    if word != "random" or Path(checkpoint).exists():
        return None
    if not seed.isdecimal():
        raise BadInput(f"{where}: random weights without a seed; expected @random:SEED, such as @random:0")
    return int(seed)


def _split(spec: str) -> tuple[str, Choice]:
    """Return a network's own spec, and the choice that follows it."""
    if " --" not in spec:
        return spec, Choice()
    network, *words = shlex.split(spec)
    known = {f"--{field.name.replace('_', '-')}": field.name for field in fields(Choice)}
    values = dict(zip(words[::2], words[1::2], strict=False))
    unknown = [word for word in words[::2] if word not in known]
    if unknown or len(words) % 2:
        raise BadInput(
            f"{spec}: {(unknown or words[-1:])[0]} says nothing; expected pairs of {', '.join(known)} and a value"
        )
    return network, Choice(**{known[key]: _typed(known[key], value) for key, value in values.items()})  # type: ignore[arg-type]


def _typed(key: str, value: str) -> str | int:
    if key in ("data", "name"):
        return value
    if not value.isdecimal():
        raise BadInput(f"--{key.replace('_', '-')} {value}: expected a whole number, 0 or more")
    return int(value)


def _absolute_what(source: str, what: str) -> str:
    """Return the rest of a spec with absolute paths, so that it holds in other folders."""
    name, at, checkpoint = split_checkpoint(what)
    if source == "transformers" and Path(name).is_dir():
        name = str(Path(name).resolve())
    if at and Path(checkpoint).exists():
        checkpoint = str(Path(checkpoint).resolve())
    return name + at + checkpoint


def _absolute_data(data: str) -> str:
    """Return a data spec with absolute paths.

    Raises:
        BadInput: it has no source.
    """
    if is_file_spec(data):
        return absolute(data)
    source, _, what = data.partition(":")
    if source not in DATA_SOURCES or not what:
        raise BadInput(f"--data {data}: found no source of data; expected {EXPECTED_DATA}")
    folder, colon, rest = (what, "", "") if source == "imagefolder" else what.partition(":")
    return f"{source}:{Path(folder).resolve()}{colon}{rest}" if source == "imagefolder" or Path(folder).is_dir() else data


def _short(path: str) -> str:
    """Return a path's last part; an id of the Hub is none and stays as it is."""
    return Path(path).name if Path(path).is_absolute() or Path(path).exists() else path


def _last(path: str) -> str:
    """Return the last part of a path, without the ending of a file."""
    return re.sub(r"\.(safetensors|pth|pt|bin|ckpt|tar|py)$", "", Path(path).name)
