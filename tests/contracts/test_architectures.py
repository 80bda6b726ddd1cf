"""Architectures that people bring are counted as whole passes count, and replayed, or the reason is a stated one."""

import pytest

from benchmarks.architectures import ARCHITECTURES, TRANSFORMERS, probes_of
from safer_bench.errors import BadInput
from safer_bench.measurement.answers.canonical import check_answers
from safer_bench.measurement.engine import Engine
from safer_bench.measurement.plain import PlainEngine

DEFAULT = ("llama",)  # the others take a few minutes together
BY_WHOLE_PASSES = {"mixtral": "it uses an operation that jumps (aten.topk.default)"}


def _marked(name):
    return pytest.param(name, marks=[] if name in DEFAULT else pytest.mark.long)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [_marked(name) for name in ARCHITECTURES])
def test_it_is_counted_as_by_whole_passes_and_replayed(name):
    network = ARCHITECTURES[name]()
    probes = probes_of(network, 4)
    engine = Engine(network)
    found, expected = list(engine.measure(probes)), list(PlainEngine(network).measure(probes))
    for row in (*found, *expected):
        del row["loss_increase"]
    assert found == expected
    assert sum(row["predictions_changed"] for row in found) > 0
    assert engine.reasons == ({"": BY_WHOLE_PASSES[name]} if name in BY_WHOLE_PASSES else {})


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_a_mixture_of_experts_without_float64_names_the_remedy():
    network = ARCHITECTURES["mixtral"]()
    network.model.set_experts_implementation("grouped_mm")
    with pytest.raises(BadInput, match=r'of a mixture of experts, model.set_experts_implementation\("batched_mm"\)'):
        check_answers(network)
    network.model.set_experts_implementation("batched_mm")
    check_answers(network)


def test_there_are_as_many_as_the_page_says():
    assert len(TRANSFORMERS) >= 12
    assert BY_WHOLE_PASSES.keys() <= TRANSFORMERS.keys()
