"""Files that people bring as FILE.py: each imports what lies beside it, and nothing that lies beside another's.

Modules beside a file keep their own names. Two files in two folders may each have a ``helper.py``: an import that stands in
a file of one folder, or in what it imports from there, finds the one beside it, also where it is carried out later, inside
a function. Names of the standard library and of installed packages come first.

Light: never imports torch.
"""

import ast
import builtins
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

OWN = __name__.partition(".")[0]


def load(path: Path) -> ModuleType:
    """Execute a user's file and return its module, made anew each time; what it imports from beside it is kept.

    Raises:
        Exception, SystemExit: whatever the file raises.
    """
    path = path.resolve()
    folder = _folder(path.parent)
    name = f"user_file_{path.stem}"  # the family of its perturbations in published tables
    loader = _Loader(folder, name, str(path))
    spec = spec_from_file_location(name, path, loader=loader)
    assert spec is not None  # noqa: S101  it has a loader
    module = module_from_spec(spec)
    folder.modules[name] = module  # dataclasses and pickle look their module up by name
    with folder.first():
        loader.exec_module(module)
    return module


def digests(path: Path) -> dict[str, str]:
    """Return the SHA-256 of a user's file and of all that it imports from beside it, by their paths from its folder.

    Imports are read from the text, so that those inside functions count before they are carried out; a module that is
    imported by a computed name is not seen. Of a file that was loaded it is the text that was loaded.

    Raises:
        OSError: the file cannot be read.
    """
    path = path.resolve()
    folder = _folders.get(path.parent) or _Folder(path.parent)
    found: dict[str, str] = {}
    waiting = [path]
    while waiting:
        file = waiting.pop()
        key = file.relative_to(folder.path).as_posix()
        if key in found:
            continue
        text = folder.texts.get(file) or file.read_bytes()
        found[key] = sha256(text).hexdigest()
        waiting += _imported(folder, file, text)
    return dict(sorted(found.items()))


def loaded() -> list[ModuleType]:
    """Return the modules that were loaded from people's files and that Python knows by their names."""
    return [module for module in list(sys.modules.values()) if isinstance(getattr(module, "__loader__", None), _Loader)]


def functions_of(path: Path) -> list[str]:
    """Return the public names that a file defines at its top by def, then by class, not executed; none of a damaged one."""
    try:
        body = ast.parse(path.read_bytes()).body
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    kinds = ((ast.FunctionDef, ast.AsyncFunctionDef), (ast.ClassDef,))
    return [node.name for of in kinds for node in body if isinstance(node, of) and not node.name.startswith("_")]


@contextmanager
def beside(path: Path) -> Iterator[None]:
    """Let all code within the block, such as what unpickles, find the modules beside a loaded file under their names."""
    folder = _folders.get(path.resolve().parent)
    if folder is None:
        yield
        return
    with folder.first():
        yield


class _Folder:
    """A folder of a user's files, with what was imported from there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.modules: dict[str, ModuleType] = {}
        self.texts: dict[Path, bytes] = {}
        self.builtins = vars(builtins) | {"__import__": self._import}
        self.offers = cache(self._offers)

    def is_stale(self) -> bool:
        """Tell whether a file was edited after it was imported."""
        return any(not file.is_file() or file.read_bytes() != text for file, text in self.texts.items())

    def _offers(self, name: str) -> bool:
        """Tell whether a top-level module lies here and is neither the language's nor installed."""
        if name in sys.stdlib_module_names or name == OWN or PathFinder.find_spec(name, [str(self.path)]) is None:
            return False
        return PathFinder.find_spec(name, _installed()) is None

    def _import(
        self, name: str, globals_: Any = None, locals_: Any = None, fromlist: Sequence[str] = (), level: int = 0
    ) -> Any:
        """Carry out an import statement of a file of this folder."""
        top = name.partition(".")[0]
        if level == 0 and not self.offers(top):
            with _searching(None):
                return builtins.__import__(name, globals_, locals_, fromlist, level)
        with self.first(top if level == 0 else None), _searching(self):
            found = builtins.__import__(name, globals_, locals_, fromlist, level)
            if level == 0 and top not in self.modules:  # a folder without __init__.py, which no loader executes
                self.modules[top] = sys.modules[top]
            return found

    @contextmanager
    def first(self, wanted: str | None = None) -> Iterator[None]:
        """Let names mean the modules of this folder within the block; what others had under them comes back."""
        others: dict[str, ModuleType] = {}
        if wanted is not None and wanted not in self.modules:
            self._take_or_move(wanted, others)
        for name, module in self.modules.items():
            there = sys.modules.get(name)
            if there is not None and there is not module:
                others[name] = there
            sys.modules[name] = module
        try:
            yield
        finally:
            for name in [name for name in sys.modules if name.partition(".")[0] in others and name in self.modules]:
                del sys.modules[name]
            sys.modules.update(others)

    def _take_or_move(self, wanted: str, others: dict[str, ModuleType]) -> None:
        """Take over what others imported from this very folder; move away what they imported from elsewhere."""
        there = sys.modules.get(wanted)
        if there is None:
            return
        names = [name for name in sys.modules if name.partition(".")[0] == wanted]
        file = getattr(there, "__file__", None)
        if file is not None and Path(file).resolve() in (self.path / f"{wanted}.py", self.path / wanted / "__init__.py"):
            self.modules |= {name: sys.modules[name] for name in names}
            return
        others |= {name: sys.modules.pop(name) for name in names}


class _Loader(SourceFileLoader):
    """Reads the text itself, as compiled files are taken for current by the second; its imports are the folder's."""

    def __init__(self, folder: _Folder, name: str, path: str) -> None:
        super().__init__(name, path)
        self.folder = folder

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002  the interface's
        """Compile the file."""
        text = self.folder.texts[Path(self.path)] = self.get_data(self.path)
        return self.source_to_code(text, self.path)

    def exec_module(self, module: ModuleType) -> None:
        """Execute the file."""
        module.__dict__["__builtins__"] = self.folder.builtins
        self.folder.modules[module.__name__] = module
        try:
            super().exec_module(module)
        except BaseException:
            del self.folder.modules[module.__name__]
            raise


class _Finder(MetaPathFinder):
    """Finds modules beside a user's file: first for import statements there, and last for whoever asks by name."""

    def __init__(self, *, is_first: bool) -> None:
        self.is_first = is_first

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,  # noqa: ARG002  the interface's
    ) -> ModuleSpec | None:
        """Return where a module lies."""
        folder = self._folder_of(fullname.partition(".")[0], path)
        if folder is None:
            return None
        spec = PathFinder.find_spec(fullname, [str(folder.path)] if path is None else path)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(folder, fullname, spec.loader.path)
        return spec

    def _folder_of(self, top: str, path: Sequence[str] | None) -> _Folder | None:
        """Return the folder in which a top-level module, or the package at ``path``, is looked for."""
        if path is None:
            folders = [_search[-1]] if self.is_first else list(_folders.values())[-1:]
        else:
            folders = [one for one in _folders.values() if any(Path(part).is_relative_to(one.path / top) for part in path)]
        return next((each for each in folders if each is not None and each.offers(top)), None)


_folders: dict[Path, _Folder] = {}
_search: list[_Folder | None] = [None]  # whose import statement is carried out


@contextmanager
def _searching(folder: _Folder | None) -> Iterator[None]:
    _search.append(folder)
    try:
        yield
    finally:
        _search.pop()


def _folder(path: Path) -> _Folder:
    """Return a folder, anew where a file that was imported from there has been edited."""
    PathFinder.invalidate_caches()
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder(is_first=True))
        sys.meta_path.append(_Finder(is_first=False))
    old = _folders.pop(path, None)
    if old is not None and old.is_stale():
        for name, module in old.modules.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
        old = None
    folder = _folders[path] = old or _Folder(path)
    folder.offers.cache_clear()
    return folder


@cache
def _installed() -> list[str]:
    """Return the folders of installed packages."""
    import site

    paths = sysconfig.get_paths()
    named = [paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    return list(dict.fromkeys([*named, *site.getsitepackages(), site.getusersitepackages()]))


def _imported(folder: _Folder, file: Path, text: bytes) -> list[Path]:
    """Return the files of a folder that the import statements of one of them name."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    package = file.parent.relative_to(folder.path).parts
    found: list[Path] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found += _files(folder, tuple(alias.name.split(".")))
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = (*above, *(node.module or "").split(".")) if node.module else above
            for alias in node.names:
                found += _files(folder, (*base, alias.name))
    return found


def _files(folder: _Folder, parts: tuple[str, ...]) -> list[Path]:
    """Return the files that importing a dotted name executes; a last part that is no module is an attribute."""
    if not parts or not folder.offers(parts[0]):
        return []
    found, place = [], folder.path
    for part in parts:
        place = place / part
        found += [file for file in (place / "__init__.py", place.with_name(f"{part}.py")) if file.is_file()]
    return found
