"""The networks of a truth, built again and held against what its tables say of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from safer_bench.errors import BadInput
from safer_bench.networks.folding import unfolded
from safer_bench.networks.loading import load_network, package_of, zoo_networks
from safer_bench.networks.network import Network
from safer_bench.tables.facts import read_facts

DIGESTS = ("weights_sha256", "inputs_sha256")


def networks_of_truth(truth: Mapping[str, pa.Table], specs: Sequence[str] = ()) -> list[Network]:
    """Return the networks of a truth, on the CPU, in the order of its table, with calibration examples.

    Args:
        truth: tables ``networks`` and ``layers``.
        specs: what builds those that are not of the zoo, such as ``FILE.py:FUNC``; one of the zoo's name takes its place.

    Raises:
        BadInput: one is not built by any of these, or has other weights, inputs or layers than the truth; one of these
            builds none of the truth's, or what another has built; or an installed package brings it.
        SaferBenchError: see ``load_network``.
    """
    facts = {row["network"]: row for row in truth["networks"].select(["network", *DIGESTS]).to_pylist()}
    given: dict[str, Network] = {}
    for spec in specs:
        network = load_network(spec, "cpu")
        if network.name not in facts:
            raise BadInput(f"--network {spec}: builds {network.name!r}, which is not a network of the truth")
        if network.name in given:
            raise BadInput(f"--network {spec}: builds {network.name!r}, which another --network builds; give one of them")
        if package_of(network) is not None:
            raise BadInput(
                f"--network {spec}: an installed package brings it, and submitted code can read installed packages"
            )
        given[network.name] = network
    layers = read_facts(truth).layers
    networks = [given.get(name) or _of_zoo(name) for name in facts]
    for network in networks:
        _check(network, facts[network.name], layers[network.name])
    return networks


def _of_zoo(name: str) -> Network:
    if unfolded(name) not in zoo_networks():
        raise BadInput(f"network {name!r} of the truth is not of the zoo; name what builds it: --network FILE.py:FUNC")
    return load_network(name, "cpu")


def _check(network: Network, row: Mapping[str, Any], layers: Sequence[str]) -> None:
    """Refuse a network that is another one than the truth was measured on, or that shows criteria no examples."""
    for key in DIGESTS:
        if getattr(network, key) != row[key]:
            raise BadInput(
                f"network {network.name!r}: {key} is {getattr(network, key)[:16]}, the truth has {row[key][:16]}; "
                "build the network that was measured"
            )
    if [layer.name for layer in network.layers] != list(layers):
        raise BadInput(f"network {network.name!r}: its layers are not those of the truth; measure it again")
    _ = network.calibration
