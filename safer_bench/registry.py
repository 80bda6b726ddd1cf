"""Names to entries: each kind of entry (network, perturbation, criterion) is found by reading the modules of its folder.

A decorator only makes an entry; nothing is registered at import, so a user's file can hold entries of any name.
"""

import importlib
import os
import pkgutil
import sysconfig
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from safer_bench.errors import BadInput, SaferBenchError, UnknownName, text_of
from safer_bench.user_files import functions_of, load

E = TypeVar("E")
Track = Literal["blind", "perturbation_aware", "level_aware"]  # what a criterion sees; here, as criteria may read no table
TRACKS: tuple[Track, ...] = get_args(Track)
NEEDS = ("weights", "data", "labels", "gradients", "hessian", "measurement")  # of a criterion


@cache
def collect(package: str, kind: type[E]) -> Mapping[str, E]:
    """Read every entry of type ``kind`` defined in the modules of ``package``, sorted by name.

    Args:
        package: dotted name of a package whose modules hold the entries.
        kind: the entry class; entries have a ``name``.

    Raises:
        BadInput: two entries carry one name.
    """
    entries: dict[str, E] = {}
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        for value in vars(importlib.import_module(f"{package}.{module.name}")).values():
            for entry in value if isinstance(value, tuple) else (value,):
                if isinstance(entry, kind):
                    _add(entries, entry)
    return dict(sorted(entries.items()))


def _add(found: dict[str, Any], entry: Any) -> None:
    if found.setdefault(entry.name, entry) is not entry:
        raise BadInput(f"two entries are called {entry.name!r}; give one of them another name")


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for near misses, or an empty string."""
    names = list(known)
    near = get_close_matches(name, names, n=3, cutoff=0.7) or get_close_matches(name, names, n=1, cutoff=0.5)
    return f" Did you mean {' or '.join(repr(item) for item in near)}?" if near else ""


def look_up(entries: Mapping[str, E], name: str, noun: str) -> E:
    """Return the entry called ``name``.

    Raises:
        UnknownName: no entry has that name; near misses are suggested.
        BadInput: it is a file's, without a function.
    """
    if name not in entries:
        _refuse_file_alone(name)
        plural = {"criterion": "criteria", "entry": "networks|perturbations|criteria|metrics"}.get(noun, f"{noun}s")
        raise UnknownName(f"no {noun} is called {name!r}.{suggestion(name, entries)} All of them: safer-bench list {plural}")
    return entries[name]


def _refuse_file_alone(name: str) -> None:
    path, (file, _, function) = Path(name), name.rpartition(":")
    if file and Path(f"{file}.py").is_file():
        raise BadInput(f"{name!r}: a function of a file is FILE.py:FUNC; write {file}.py:{function}")
    if path.suffix == ".py" or (os.sep in name and path.exists()):
        there = functions_of(path)
        found = _listed(there) if path.is_file() else " There is no such file"
        raise BadInput(
            f"{name!r}: a file without a function; expected FILE.py:FUNC, such as {name}:{(*there, 'FUNC')[0]}.{found}"
        )


def is_file_spec(spec: str) -> bool:
    """Tell whether ``spec`` has the form ``FILE.py:FUNC``."""
    return ".py:" in spec


def absolute(spec: str) -> str:
    """Return ``FILE.py:FUNC...`` with the file's absolute path, so that it holds in other folders; names as they are."""
    path, dot_py, rest = spec.partition(".py:")
    return f"{Path(path + '.py').resolve()}:{rest}" if dot_py else spec


def error_text(error: BaseException) -> str:
    """Return the type and message of an error on one line, and the last line of the user's own code that it passed."""
    text = text_of(error, typed=True)
    folders = (str(Path(__file__).parent), sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"))
    ours = (*(folder + os.sep for folder in folders), "<")
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(ours)]
    if not lines or isinstance(error, SaferBenchError):
        return text
    return f"{text} ({Path(lines[-1].filename).name}:{lines[-1].lineno}, in {lines[-1].name})"


def load_function(spec: str) -> Callable[..., Any]:
    """Import ``FILE.py`` and return its ``FUNC``; the file may import those beside it, and no other file's.

    However long the import takes, it is waited for.

    Args:
        spec: ``path/to/file.py:function``.

    Raises:
        BadInput: the file is not there, does not import, or does not define the function; those that it defines are listed.
    """
    path_text, _, name = spec.rpartition(":")
    path = Path(path_text)
    if path.is_dir():
        raise BadInput(f"{spec}: {path_text!r} is a folder; expected FILE.py:FUNC")
    if not path.is_file():
        raise BadInput(f"{spec}: there is no file {path_text!r}; expected FILE.py:FUNC")
    try:
        module = load(path)
    except (Exception, SystemExit) as error:
        raise BadInput(f"{spec}: importing {path_text!r} failed with {error_text(error)}") from error
    function = getattr(module, name, None)
    if not callable(function):
        there = functions_of(path)
        raise BadInput(f"{spec}: {path_text!r} defines no function {name!r}.{suggestion(name, there) or _listed(there)}")
    return function


def _listed(names: Sequence[str]) -> str:
    return f" It defines: {', '.join(names)}" if names else " It defines no function"
