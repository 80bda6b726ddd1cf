"""A network with several answers an example, or none, from measuring to a tree whose rows are measured again."""

import numpy as np
import pytest
import torch
from torch import nn

from safer_bench.dataset.pack import pack
from safer_bench.dataset.tree import load_tree
from safer_bench.dataset.verify import problems
from safer_bench.measurement.design import Shard, make_protocol
from safer_bench.measurement.remeasure import remeasure
from safer_bench.measurement.run import measure_into
from safer_bench.networks.examples import NOT_COUNTED
from safer_bench.networks.network import Network
from tests.made_up.trees import content

PROTOCOL = make_protocol(["sign_flip:0.1,0.5", "quantize:2"], draws=4, n_examples=10)


class Tagger(nn.Module):
    """A class at every position of a sequence of tokens."""

    def __init__(self):
        super().__init__()
        self.embed, self.mix, self.head = nn.Embedding(11, 6), nn.Conv1d(6, 8, 3, padding=1), nn.Conv1d(8, 4, 1)

    def forward(self, tokens):
        return self.head(self.mix(self.embed(tokens).mT).relu())


def tagger():
    """Return one whose labels are mostly its own answers; sequences of 3 to 8 count, one of ten not at all."""
    torch.manual_seed(0)
    model, tokens = Tagger().eval(), torch.randint(0, 11, (40, 8))
    with torch.no_grad():
        labels = model(tokens).argmax(1)
    labels[torch.rand(40, 8) < 0.15] = 0
    lengths = torch.randint(3, 9, (40,)) * (torch.arange(40) % 10 != 4)
    labels[torch.arange(8) >= lengths[:, None]] = NOT_COUNTED
    return Network(model, tokens, labels, name="tagger"), lengths.numpy()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("tagger")
    network, lengths = tagger()
    measure_into(out / "run", [network], PROTOCOL)
    pack([out / "run"], [], out / "tree")
    return load_tree(out / "tree"), network, lengths


def test_its_tree_is_in_order_and_counts_answers(made):
    tree, network, lengths = made
    assert list(problems(tree)) == []
    (row,) = tree["networks"].to_pylist()
    assert (row["n_examples"], row["n_answers"], row["answers_of_example"]) == (40, lengths.sum(), lengths.tolist())
    labels = network.labels.numpy()
    with torch.no_grad():
        right = network.model(network.inputs).argmax(1).numpy() == labels
    bits = np.unpackbits(np.frombuffer(row["clean_outcomes"], np.uint8), count=row["n_answers"])
    assert bits.tolist() == right[labels != NOT_COUNTED].tolist()
    for drop in tree["layer_drops"].to_pylist():
        assert drop["n_answers"] == lengths[drop["example_start"] :][: drop["n_examples"]].sum()
    assert {cell["draws"] for cell in tree["cells"].to_pylist()} == {1, 4}
    assert all(row["standard_error"] > 0 for row in tree["layer_sensitivity"].to_pylist() if row["value"] and row["half_a"])


def test_its_rows_are_measured_again_to_the_same_integers(made):
    tree, network, _ = made
    networks = {row["network"]: row for row in tree["networks"].to_pylist()}
    found = [verdict.outcome for verdict in remeasure(tree["layer_drops"].to_pylist(), networks, 0, own=[network])]
    assert set(found) == {"equal"}
    assert len(found) == 3 * (2 * 4 + 1)


def test_its_shards_make_the_same_tree(made, tmp_path):
    tree, network, _ = made
    for number in (1, 2, 3):
        measure_into(tmp_path / str(number), [network], PROTOCOL, shard=Shard(number, 3))
    pack([tmp_path / str(number) for number in (1, 2, 3)], [], tmp_path / "tree")
    assert content(tmp_path / "tree") == content(tree.path)
