"""Networks by their names in the zoo, or from ``FILE.py:FUNC``."""

import ast
from collections.abc import Mapping
from pathlib import Path

from safer_bench.errors import BadInput, text_of
from safer_bench.networks.network import Network
from safer_bench.networks.weights import holds_weights, training_folder
from safer_bench.networks.zoo_network import ZooNetwork
from safer_bench.registry import absolute, collect, error_text, is_file_spec, load_function, look_up
from safer_bench.user_files import beside


def zoo_networks() -> Mapping[str, ZooNetwork]:
    """Return all networks of the zoo by name."""
    return collect("safer_bench.networks.zoo", ZooNetwork)


def untrained_networks(out: Path | None = None) -> list[ZooNetwork]:
    """Return the networks whose recipe has no weights yet in ``out``, by default in the network's own folder.

    Those of the validation split come first, since work goes on with them while the others train; twins come last.
    """
    missing = [
        entry
        for entry in zoo_networks().values()
        if entry.recipe
        and not holds_weights((out or training_folder(entry.dataset)) / f"{entry.name}.safetensors", entry.recipe.sha256)
    ]
    return sorted(missing, key=lambda entry: (entry.role == "twin", entry.split == "test", entry.name))


def load_network(spec: str) -> Network:
    """Load a network: a zoo name, or ``FILE.py:FUNC`` of a function, decorated or not, that returns a ``Network``.

    Raises:
        UnknownName: the zoo has no network of that name.
        BadInput: the file or function is not there, raises, or returns something else.
        MissingData: weights or images are not on this machine.
    """
    refuse_file_alone(spec)
    if not is_file_spec(spec):
        known = look_up(zoo_networks(), spec, "network")()
        known.spec = spec
        return known
    build = load_function(spec)
    build = build.build if isinstance(build, ZooNetwork) else build
    try:
        with beside(Path(spec.rpartition(":")[0])):
            result = build()
    except (Exception, SystemExit) as error:
        raise BadInput(f"{spec}: the function raised {error_text(error)}") from error
    if not isinstance(result, Network):
        raise BadInput(f"{spec}: returned a {type(result).__name__}; expected a safer_bench.Network")
    result.spec = absolute(spec)
    return result


def refuse_file_alone(spec: str) -> None:
    """Refuse ``FILE.py`` where ``FILE.py:FUNC`` is expected, and list its functions; the file is read, not run.

    Raises:
        BadInput: it is a file alone.
    """
    if not spec.endswith(".py"):
        return
    try:
        statements = ast.parse(Path(spec).read_bytes()).body
    except (OSError, ValueError, SyntaxError) as error:
        raise BadInput(f"{spec}: no Python file that can be read ({text_of(error)}); expected FILE.py:FUNC") from error
    functions = [each.name for each in statements if isinstance(each, ast.FunctionDef) and not each.name.startswith("_")]
    found = f"one of {', '.join(functions)}" if functions else "which it has none of yet"
    raise BadInput(f"{spec}: a file alone; expected FILE.py:FUNC with a function of it, {found}")
