"""Networks by their names: of the zoo, of a source such as ``timm:resnet18``, or from ``FILE.py:FUNC``."""

from collections.abc import Mapping
from pathlib import Path

import torch

from safer_bench.errors import BadInput
from safer_bench.networks.devices import device_named
from safer_bench.networks.network import Network
from safer_bench.networks.sources.assemble import network_of
from safer_bench.networks.sources.named import Choice, Named, is_of_source
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


def load_network(
    spec: str,
    device: str | torch.device | None = None,
    *,
    data: str | None = None,
    examples_from: int | None = None,
    calibration: int | None = None,
    data_seed: int | None = None,
    name: str | None = None,
) -> Network:
    """Load a network: of the zoo, of a source, or what a function of a file returns.

    Args:
        spec: a name of the zoo; ``timm:NAME[@CHECKPOINT]``, ``torchvision:NAME[@CHECKPOINT]`` or
            ``transformers:ID_OR_FOLDER``, where ``@random:SEED`` gives random weights; or ``FILE.py:FUNC`` of a function,
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

    Raises:
        UnknownName: the zoo, timm or torchvision has no network of that name.
        BadInput: the file or function is not there, raises, or returns something else; checkpoint, data and network do not
            belong together; there is no such device, or the network does not run there.
        MissingData: weights or examples are not on this machine.
        MissingExtra: the package of a source is not installed.
    """
    wanted = None if device is None else device_named(device)  # said before anything is loaded
    network = _load(spec, Choice(data, examples_from, calibration, data_seed, name))
    return network if wanted is None else network.to(wanted)


def _load(spec: str, choice: Choice) -> Network:
    if is_of_source(spec):
        return network_of(Named.of(spec, choice))
    if choice.options:
        raise BadInput(
            f"{spec}: brings its own examples and name; {choice.options[0]} is for networks of timm:, torchvision: and "
            "transformers:"
        )
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
