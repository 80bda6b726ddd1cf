"""Networks by their names, in the zoo or of installed packages, or from ``FILE.py:FUNC``."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from safer_bench.errors import BadInput
from safer_bench.networks.devices import device_named
from safer_bench.networks.network import Network
from safer_bench.networks.weights import holds_weights, training_folder
from safer_bench.networks.zoo_network import ZooNetwork
from safer_bench.packages import BrokenPackage, Offer, find, offers
from safer_bench.registry import absolute, collect, error_text, is_file_spec, load_function
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


def load_network(spec: str, device: str | torch.device | None = None) -> Network:
    """Load a network: by its name, or ``FILE.py:FUNC`` of a function, decorated or not, that returns a ``Network``.

    Args:
        spec: name in the zoo or of an installed package's, or file and function.
        device: where it is to run, as ``Network.to`` takes it; where None, a zoo network on the CPU, another where its
            function put it.

    Raises:
        UnknownName: no network has that name.
        BadInput: the file, function or package is not there, raises, or returns something else; there is no such device, or
            the network does not run there.
        MissingData: weights or images are not on this machine.
    """
    wanted = None if device is None else device_named(device)  # said before anything is loaded
    network = _load(spec)
    return network if wanted is None else network.to(wanted)


def package_of(network: Network) -> Offer | None:
    """Return which installed package offers a network; None where it was not loaded by its name from one."""
    return None if network.spec is None else offers("networks", zoo_networks()).get(network.spec)


def _load(spec: str) -> Network:
    if is_file_spec(spec):
        build = load_function(spec)
        with beside(Path(spec.rpartition(":")[0])):
            result = _built(build, spec)
        result.spec = absolute(spec)
        return result
    found = find("networks", zoo_networks(), spec)
    result = _of_package(found) if isinstance(found, Offer) else found()
    result.spec = spec
    return result


def _of_package(offer: Offer) -> Network:
    build = offer.load()
    if not callable(build):
        raise BrokenPackage(f"{offer}: a {type(build).__name__}; expected a function that returns a safer_bench.Network")
    result = _built(build, str(offer))
    offer.check_name(result.name)
    return result


def _built(build: Callable[[], Any], where: str) -> Network:
    """Call a user's function, decorated or not."""
    build = build.build if isinstance(build, ZooNetwork) else build
    try:
        result = build()
    except (Exception, SystemExit) as error:
        raise BadInput(f"{where}: the function raised {error_text(error)}") from error
    if not isinstance(result, Network):
        raise BadInput(f"{where}: returned a {type(result).__name__}; expected a safer_bench.Network")
    return result
