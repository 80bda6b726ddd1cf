"""What lies in the folder of a training is input too: its checkpoint and the zoo's accuracies."""

import json
from dataclasses import replace
from io import BytesIO

import pytest
import torch

from safer_bench.dataset.release import read_release
from safer_bench.errors import BadInput
from safer_bench.networks.loading import zoo_networks
from safer_bench.networks.training.train import train
from safer_bench.tables.accuracies import read_accuracies
from tests.made_up.mutations import mutations

SHORT = replace(zoo_networks()["digits_mlp"], recipe=replace(zoo_networks()["digits_mlp"].recipe, epochs=2))
ACCURACIES = {
    name: {"n_correct": 9012, "n_examples": 10000, "weights_sha256": digit * 64}
    for name, digit in (("vgg10", "0"), ("mlp", "a"))
}


def stop(progress):
    if progress.epoch == 2:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    "change",
    [
        lambda state: 3,
        lambda state: {},
        lambda state: state | {"log": [{"epoch": 1}]},
        lambda state: state | {"log": []},
        lambda state: state | {"log": [each | {"epoch": 2} for each in state["log"]]},
        lambda state: state | {"log": [each | {"loss": "low"} for each in state["log"]]},
        lambda state: state | {"model": {}},
        lambda state: state | {"optimizer": {"state": {}, "param_groups": []}},
    ],
)
def test_a_checkpoint_that_holds_something_else_is_refused(tmp_path, change):
    with pytest.raises(KeyboardInterrupt):
        train(SHORT, tmp_path, stop)
    path, data = tmp_path / "digits_mlp.checkpoint", BytesIO()
    torch.save(change(torch.load(path, weights_only=True)), data)
    path.write_bytes(data.getvalue())
    with pytest.raises(BadInput, match=r"digits_mlp.checkpoint: damaged \(\w+\); remove it to start again"):
        train(SHORT, tmp_path)


def test_what_follows_a_training_is_done_before_its_checkpoint_goes(tmp_path):
    def fail():
        raise BadInput("no images")

    with pytest.raises(BadInput, match="no images"):
        train(SHORT, tmp_path, finish=fail)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digits_mlp.checkpoint", "digits_mlp.safetensors"]
    epochs, done = [], []
    train(SHORT, tmp_path, epochs.append, lambda: done.append("card"))
    assert (epochs, done) == ([], ["card"])
    assert [path.name for path in tmp_path.iterdir()] == ["digits_mlp.safetensors"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda row: row | {"n_correct": 10001}, "vgg10: 10001 of 10000 examples are right"),
        (lambda row: row | {"n_correct": "9012"}, "vgg10.n_correct: found '9012'; expected a whole number"),
        (lambda row: row | {"weights_sha256": "x"}, "vgg10.weights_sha256: found 'x'; expected text of the pattern ^[0-9a-f]{64}$"),
        (lambda row: row | {"n_answers": 9011}, "vgg10: 9012 of 9011 answers are right"),
        (lambda row: [], "vgg10: found []; expected names and values"),
    ],
)  # fmt: skip
def test_the_accuracies_are_checked_by_their_model(tmp_path, change, said):
    path = tmp_path / "test_accuracy.json"
    path.write_text(json.dumps(ACCURACIES | {"vgg10": change(ACCURACIES["vgg10"])}))
    with pytest.raises(BadInput) as error:
        read_accuracies(path)
    assert str(error.value) == f"{path}: damaged ({said}); remove it to have every accuracy measured again"


def test_damaged_accuracies_are_told_or_say_the_same(tmp_path):
    """Numbers may be others within their range; weights that lie there are held against their digest by ``publish``."""
    path = tmp_path / "test_accuracy.json"
    data = json.dumps(ACCURACIES, indent=1).encode()
    refused = 0
    for each in mutations(data, 300):
        path.write_bytes(each.data)
        try:
            found = read_accuracies(path)
        except BadInput as error:
            refused += is_one_line(error)
            continue
        assert all(set(row) == {"n_correct", "n_examples", "weights_sha256"} for row in found.values()), each.name
        assert all(0 <= row["n_correct"] <= row["n_examples"] for row in found.values()), each.name
    assert refused > 200
    with pytest.raises(BadInput, match="cannot be published"):
        read_release(tmp_path)


def is_one_line(error):
    assert "\n" not in str(error)
    return True
