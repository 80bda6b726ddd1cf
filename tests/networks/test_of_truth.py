"""Networks are those that a truth was measured on, or refused."""

from dataclasses import replace

import pytest

from safer_bench.errors import BadInput
from safer_bench.networks import of_truth
from safer_bench.networks.loading import load_network, zoo_networks
from safer_bench.networks.of_truth import networks_of_truth
from safer_bench.tables import schema
from tests.made_up.held_out import NETWORKS, networks_file


@pytest.fixture
def specs(tmp_path):
    return networks_file(tmp_path / "as_measured")


def truth_of(networks, **changed):
    rows = [
        {"network": each.name, "weights_sha256": each.weights_sha256, "inputs_sha256": each.inputs_sha256} | changed
        for each in networks
    ]
    layers = [
        {"network": each.name, "layer": layer.name, "layer_index": i}
        for each in networks
        for i, layer in enumerate(each.layers)
    ]
    return {"networks": schema.build("networks", rows), "layers": schema.build("layers", layers)}


@pytest.fixture
def truth(specs):
    return truth_of([*map(load_network, specs), load_network("digits_mlp")])


def test_they_come_by_file_or_from_the_zoo_in_the_order_of_the_truth(truth, specs):
    found = networks_of_truth(truth, specs[::-1])
    assert [network.name for network in found] == sorted([*NETWORKS, "digits_mlp"])


def test_other_weights_and_other_inputs_are_refused(truth, specs, tmp_path):
    other = networks_file(tmp_path / "other", seed=9)
    with pytest.raises(
        BadInput, match=r"network 'bilby': weights_sha256 is \w{16}, the truth has \w{16}; build the network"
    ):
        networks_of_truth(truth, other)
    changed = truth_of([load_network("digits_mlp")], inputs_sha256="0" * 64)
    with pytest.raises(BadInput, match=r"network 'digits_mlp': inputs_sha256 is \w{16}, the truth has 0{16}"):
        networks_of_truth(changed)


def test_other_layers_are_refused(truth, specs):
    rows = [row | {"layer": f"{row['layer']}_"} for row in truth["layers"].to_pylist()]
    with pytest.raises(BadInput, match="network 'bilby': its layers are not those of the truth"):
        networks_of_truth(truth | {"layers": schema.build("layers", rows)}, specs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda specs: specs[1:],
            "network 'quokka' of the truth is not of the zoo; name what builds it: --network FILE.py:FUNC",
        ),
        (lambda specs: [*specs, specs[0]], "builds 'quokka', which another --network builds"),
        (
            lambda specs: [*specs, "digits_vit"],
            "--network digits_vit: builds 'digits_vit', which is not a network of the truth",
        ),
    ],
)
def test_each_network_is_built_once_and_no_other(truth, specs, change, message):
    with pytest.raises(BadInput) as error:
        networks_of_truth(truth, change(specs))
    assert message in str(error.value)


def test_networks_of_installed_packages_are_refused(truth, specs, monkeypatch):
    """Submitted code can read packages, and so the examples that judge these networks."""
    monkeypatch.setattr(of_truth, "package_of", lambda network: network.name == "numbat" or None)
    with pytest.raises(BadInput, match="numbat: an installed package brings it, and submitted code can read installed"):
        networks_of_truth(truth, specs)


def test_networks_without_calibration_examples_are_refused(tmp_path):
    text = (tmp_path / "nets.py").write_text
    (spec, *_) = networks_file(tmp_path)
    text((tmp_path / "nets.py").read_text().replace(", calibration=calibration", ""))
    with pytest.raises(BadInput, match="network 'quokka' has no calibration examples"):
        networks_of_truth(truth_of([load_network(spec)]), [spec])


def test_a_network_of_a_family_without_a_kind_is_told_where_it_gets_one():
    entry = replace(zoo_networks()["digits_mlp"], name="new", family="toynet")
    for what in ("split", "kind"):
        with pytest.raises(
            BadInput, match=r"network 'new': family 'toynet' has no kind and split; add it to KINDS in .*zoo_network.py"
        ):
            getattr(entry, what)
