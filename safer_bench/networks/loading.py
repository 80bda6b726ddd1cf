"""Networks by their names: of the zoo, of installed packages, of a source such as ``timm:resnet18``; or ``FILE.py:FUNC``."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from safer_bench.errors import BadInput
from safer_bench.networks.devices import device_named
from safer_bench.networks.folding import unfolded
from safer_bench.networks.network import Network
from safer_bench.networks.sources.assemble import network_of
from safer_bench.networks.sources.named import Choice, Named, is_of_source
from safer_bench.networks.weights import holds_weights, training_folder
from safer_bench.networks.zoo_network import ZooNetwork
from safer_bench.packages import BrokenPackage, Offer, find, offers
from safer_bench.registry import absolute, collect, error_text, is_file_spec, load_function
from safer_bench.tables.columns import FOLDED
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


def load_network(
    spec: str,
    device: str | torch.device | None = None,
    *,
    data: str | None = None,
    examples_from: int | None = None,
    calibration: int | None = None,
    data_seed: int | None = None,
    name: str | None = None,
    fold: bool = False,
) -> Network:
    """Load a network: by its name, of a source, or what a function of a file returns.

    Args:
        spec: a name in the zoo or of an installed package's; ``timm:NAME[@CHECKPOINT]``, ``torchvision:NAME[@CHECKPOINT]``
            or ``transformers:ID_OR_FOLDER``, where ``@random:SEED`` gives random weights; or ``FILE.py:FUNC`` of a function,
            decorated or not, that returns a ``Network``.
        device: where it is to run, as ``Network.to`` takes it; where None, a zoo network on the CPU, another where its
            function put it.
        data: of a source's network: ``imagefolder:FOLDER``, ``hub:ID[:CONFIG][:SPLIT]``, or ``FILE.py:FUNC`` of a function
            without arguments that returns inputs and labels.
        examples_from: of a source's network, the number of evaluation examples, chosen at random; 250 by default, or what
            calibration leaves.
        calibration: likewise of calibration examples, others than those; 200 by default, or a fifth of what there is.
        data_seed: likewise of the choice; 0 by default.
        name: likewise in every table; by default made of source, network and data.
        fold: of any network: ``Network.folded``, called ``NAME_folded``. Of the zoo and of packages that name loads it, too.

    Raises:
        UnknownName: no network has that name.
        BadInput: the file, function or package is not there, raises, or returns something else; checkpoint, data and network
            do not belong together; there is no such device, or the network does not run there.
        MissingData: weights or examples are not on this machine.
        MissingExtra: the package of a source is not installed.
    """
    wanted = None if device is None else device_named(device)  # said before anything is loaded
    network = _load(spec, Choice(data, examples_from, calibration, data_seed, name))
    network = network.folded() if fold else network
    return network if wanted is None else network.to(wanted)


def package_of(network: Network) -> Offer | None:
    """Return which installed package offers a network; None where it was not loaded by its name from one."""
    return None if network.spec is None else offers("networks", zoo_networks()).get(network.spec)


def _load(spec: str, choice: Choice) -> Network:
    if is_of_source(spec):
        return network_of(Named.of(spec, choice))
    if choice.options:
        raise BadInput(
            f"{spec}: brings its own examples and name; {choice.options[0]} is for networks of timm:, torchvision: and "
            "transformers:"
        )
    if is_file_spec(spec):
        build = load_function(spec)
        with beside(Path(spec.rpartition(":")[0])):
            result = _built(build, spec)
        result.spec = absolute(spec)
        return result
    if spec.endswith(FOLDED) and spec not in offers("networks", zoo_networks()):
        return _load(unfolded(spec), choice).folded()
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
        raise BadInput(f"{where}: returned a {type(result).__name__}; expected sb.Network(model, inputs, labels, name=...)")
    return result
