"""What a run says of its networks where examples have several answers, or none."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from safer_bench.dataset.pack import pack
from safer_bench.dataset.tree import load_tree
from safer_bench.errors import BadInput
from safer_bench.measurement.answers.canonical import Answers
from safer_bench.measurement.describe import correct, network_row
from safer_bench.measurement.design import Shard, check_measurable, make_protocol
from safer_bench.measurement.run import measure_into
from safer_bench.networks.examples import NOT_COUNTED
from tests.made_up.networks import tiny_network

LABELS = torch.tensor([[1, 2, NOT_COUNTED], [NOT_COUNTED, NOT_COUNTED, NOT_COUNTED], [0, NOT_COUNTED, 2], [2, 1, 0]])
PREDICTIONS = {0: [1, 1], 1: [], 2: [0, 2], 3: [0, 1, 0]}  # of what counts, by example
RIGHT = [True, False, True, True, False, True, True]


class FakeEngine:
    """Answers as an engine does: those that count, example by example."""

    network = SimpleNamespace(labels=LABELS, n_answers=torch.tensor([2, 0, 2, 3]))

    def clean(self, start, n):
        found = np.array([value for i in range(start, start + n) for value in PREDICTIONS[i]], dtype=np.int64)
        return Answers(found, np.zeros(len(found)))


def test_right_answers_are_told_example_by_example():
    assert correct(FakeEngine()).tolist() == RIGHT


@pytest.mark.parametrize("n_shards", [1, 2, 3, 4, 5])
def test_shards_tell_each_answer_once(n_shards):
    found = np.stack([correct(FakeEngine(), Shard(i, n_shards)) for i in range(1, n_shards + 1)])
    assert found.sum(0).tolist() == [int(right) for right in RIGHT]


def test_a_network_row_counts_answers_and_lists_them_where_they_are_not_one_each():
    tiny = tiny_network()
    facts = {name: getattr(tiny, name) for name in ("name", "dataset", "family", "kind", "split", "layers", "model")}
    facts |= {name: getattr(tiny, name) for name in ("weights_sha256", "inputs_sha256", "licence", "source")}
    row = network_row(SimpleNamespace(**facts, labels=LABELS, n_answers=torch.tensor([2, 0, 2, 3])), np.array(RIGHT))
    assert (row["n_examples"], row["n_answers"], row["clean_correct"]) == (4, 7, 5)
    assert row["answers_of_example"] == [2, 0, 2, 3]
    assert np.unpackbits(np.frombuffer(row["clean_outcomes"], np.uint8), count=7).tolist() == RIGHT
    alone = network_row(tiny, np.ones(60, bool))
    assert (alone["n_examples"], alone["n_answers"], alone["answers_of_example"]) == (60, 60, None)


def test_a_slice_without_an_answer_is_refused_before_anything_is_measured(tmp_path):
    network, protocol = tiny_network(), make_protocol(["sign_flip:0.1"], draws=4, n_examples=15)
    labels = network.labels.clone()
    labels[30:45] = NOT_COUNTED
    network.evaluation = (network.inputs, labels)
    with pytest.raises(BadInput) as error:
        check_measurable(network, protocol)
    assert str(error.value) == (
        "network 'tiny': no label of evaluation examples 30 to 44, which a draw sees, counts (all are -100); give a draw "
        "more examples, or leave out those without an answer"
    )
    with pytest.raises(BadInput, match="no label of evaluation examples 30 to 44"):
        measure_into(tmp_path / "run", [network], protocol)


def test_each_example_of_a_classifier_has_one_answer(tmp_path):
    measure_into(tmp_path / "run", [tiny_network()], make_protocol(["sign_flip:0.1"], draws=4, n_examples=15))
    pack([tmp_path / "run"], [], tmp_path / "tree")
    tree = load_tree(tmp_path / "tree")
    assert tree["layer_drops"]["n_answers"].to_pylist() == tree["layer_drops"]["n_examples"].to_pylist()
    assert tree["networks"].select(["n_answers", "answers_of_example"]).to_pylist() == [
        {"n_answers": 60, "answers_of_example": None}
    ]
