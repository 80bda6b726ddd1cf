"""Entries that installed packages bring by entry points: who offers which name, what it loads, which files make it.

A package names each in the group of its kind, ``safer_bench.criteria``, ``.perturbations`` or ``.networks``. Nothing of it
is imported before one of its entries is asked for by name, and what is wrong with one package stops no other.
"""

import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path
from typing import Any, Literal, TypeVar

from safer_bench.errors import BadInput, text_of
from safer_bench.registry import error_text, look_up

E = TypeVar("E")
Kind = Literal["criteria", "perturbations", "networks"]
NOUNS: Mapping[Kind, str] = {"criteria": "criterion", "perturbations": "perturbation", "networks": "network"}
GROUP = "safer_bench."  # and the kind
CODE = (".py", *EXTENSION_SUFFIXES)


class BrokenPackage(BadInput):
    """An entry of a package that cannot be had: it does not import, is something else, or another offers it too."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a package offers under a name; not imported yet.

    Attributes:
        kind: of entry.
        name: of the entry point, which is the entry's.
        target: ``module:function``.
        package: name and version of the distribution.
    """

    kind: Kind
    name: str
    target: str
    package: str

    def __str__(self) -> str:
        return f"{NOUNS[self.kind]} {self.name!r} of package {self.package} ({self.target})"

    def load(self) -> Any:
        """Import what is offered.

        Raises:
            BrokenPackage: the import fails.
        """
        try:
            return EntryPoint(self.name, self.target, GROUP + self.kind).load()
        except (Exception, SystemExit) as error:
            raise BrokenPackage(f"{self}: importing failed with {error_text(error)}; mend or remove the package") from error

    def gave(self, entry: object) -> bool:
        """Tell whether an entry is the very one that ``load`` returned."""
        module, _, names = self.target.partition(":")
        found: Any = sys.modules.get(module.strip())
        for part in names.strip().split("."):
            found = getattr(found, part, None)
        return found is entry and entry is not None

    def check_name(self, name: str) -> None:
        """Refuse an entry of another name, under which tables would have it and nobody could find it.

        Raises:
            BrokenPackage: it has another.
        """
        if name != self.name:
            raise BrokenPackage(f"{self}: what it loads is called {name!r}; give it and the entry point one name")

    def files(self) -> dict[str, str]:
        """Return the SHA-256 of the code that the entry comes with: all of its top-level package's, Python and compiled.

        Returns:
            ``{"DISTRIBUTION VERSION/package/file.py": digest}``.

        Raises:
            BrokenPackage: the import fails, or there are no files that can be read.
        """
        self.load()
        module = sys.modules[self.target.partition(":")[0].strip()]
        return {f"{self.package}/{file}": digest for file, digest in self._digests(module.__name__).items()}

    def _digests(self, module: str) -> dict[str, str]:
        parts = module.split(".")
        above = (sys.modules.get(".".join(parts[: i + 1])) for i in range(len(parts)))
        files = (getattr(found, "__file__", None) for found in above)
        top = next((Path(file) for file in files if file), None)
        try:
            digests = digests_at(top) if top else {}
        except OSError as error:
            raise BrokenPackage(f"{self}: its files cannot be read ({text_of(error)})") from error
        if not digests:
            raise BrokenPackage(f"{self}: lies in no file, so that a run could not tell an edited one; install it unpacked")
        return digests


@cache  # by what was there when it was first asked for, soon after the import
def digests_at(top: Path) -> dict[str, str]:
    """Return the SHA-256 of a module's file, or of all code of a package by its ``__init__.py``."""
    found = sorted(top.parent.rglob("*")) if top.name == "__init__.py" else [top]
    root = top.parent.parent if top.name == "__init__.py" else top.parent
    files = [path for path in found if path.name.endswith(CODE) and path.is_file()]
    return {path.relative_to(root).as_posix(): sha256(path.read_bytes()).hexdigest() for path in files}


def offers(kind: Kind, built_in: Collection[str]) -> dict[str, Offer]:
    """Return what installed packages offer, by name; what is built in or offered by two of them is not among it."""
    found = {name: given for name, given in _found(tuple(sys.path)).by_name(kind).items() if name not in built_in}
    return {name: given[0] for name, given in found.items() if len(given) == 1}


def left_out(kind: Kind, built_in: Collection[str]) -> list[str]:
    """Return a sentence for each name that is offered and not to be had, and each package whose offers cannot be read."""
    found = _found(tuple(sys.path))
    clashes = [_clash(given, built_in) for given in found.by_name(kind).values() if given[0].name in built_in or given[1:]]
    return [*clashes, *found.unreadable]


def find(kind: Kind, built_in: Mapping[str, E], name: str) -> E | Offer:
    """Return the built-in entry of a name, else what a package offers under it.

    Raises:
        UnknownName: neither is there; near misses are suggested.
        BrokenPackage: two packages offer it.
        BadInput: it is a file's, without a function.
    """
    if name in built_in:
        return built_in[name]
    given = _found(tuple(sys.path)).by_name(kind).get(name, [])
    if len(given) > 1:
        raise BrokenPackage(_clash(given, built_in))
    return given[0] if given else look_up({**dict.fromkeys(offers(kind, built_in)), **built_in}, name, NOUNS[kind])  # type: ignore[return-value]


def _clash(given: list[Offer], built_in: Collection[str]) -> str:
    first, noun = given[0], NOUNS[given[0].kind]
    if first.name in built_in:
        return f"{first}: a built-in {noun} has that name, and keeps it; the package has to give its own another"
    packages = " and ".join(f"{offer.package} ({offer.target})" for offer in given)
    return f"{noun} {first.name!r}: {packages} both offer that name; uninstall one of them"


@dataclass(frozen=True, slots=True)
class _Found:
    offered: tuple[Offer, ...]
    unreadable: tuple[str, ...]

    def by_name(self, kind: Kind) -> dict[str, list[Offer]]:
        """Return what is offered of a kind, sorted by name; of one name mostly one."""
        found: dict[str, list[Offer]] = {}
        for offer in sorted((each for each in self.offered if each.kind == kind), key=lambda each: each.name):
            found.setdefault(offer.name, []).append(offer)
        return found


@cache
def _found(path: tuple[str, ...]) -> _Found:  # noqa: ARG001  what is found depends on it
    """Look through the installed distributions; of two of one name the first is the one that is imported."""
    seen, offered, unreadable = set[str](), list[Offer](), list[str]()
    for distribution in distributions():
        try:
            if GROUP not in (distribution.read_text("entry_points.txt") or ""):
                continue
            about = distribution.metadata
            name, version = str(about["Name"] or "without a name"), str(about["Version"] or "of no version")
            if name not in seen:
                offered += _offers_of(distribution, f"{name} {version}")
            seen.add(name)
        except Exception as error:  # whatever a damaged file of metadata leads to
            where = getattr(distribution, "_path", "a package")
            unreadable.append(f"{where}: its entry points cannot be read ({text_of(error, typed=True)}); install it again")
    return _Found(tuple(offered), tuple(unreadable))


def _offers_of(distribution: Distribution, package: str) -> Iterator[Offer]:
    for point in distribution.entry_points:
        for kind in NOUNS:
            if point.group == GROUP + kind:
                yield Offer(kind, point.name, point.value.partition("[")[0].strip(), package)
