"""Every criterion enters with its scores of the network, aware ones under the perturbation, and the truth with its areas."""

import numpy as np
import pytest

from safer_bench.budget.entrants import entrants
from safer_bench.errors import BadInput
from safer_bench.tables import schema
from safer_bench.tables.facts import read_facts

LAYERS = ("conv", "hidden", "head")


def rows(criterion, track, values, perturbation=None, level=None, network="tiny"):
    shared = {"criterion": criterion, "track": track, "network": network, "perturbation": perturbation, "level": level}
    return [shared | {"layer": layer, "score": float(value)} for layer, value in zip(LAYERS, values, strict=True)]


SCORES = schema.build(
    "scores",
    [
        *rows("snip", "blind", (1, 2, 3)),
        *rows("snip", "blind", (9, 9, 9), network="other"),
        *rows("mse", "perturbation_aware", (4, 5, 6), "quantize"),
        *rows("mse", "perturbation_aware", (7, 7, 7), "sign_flip"),
        *rows("kl", "level_aware", (0, 0, 8), "quantize", 4.0),
        *rows("kl", "level_aware", (4, 0, 0), "quantize", 3.0),
        *rows("kl", "level_aware", (0, 2, 0), "quantize", 2.0),
        *rows("noise", "perturbation_aware", (1, 1, 1), "sign_flip"),
        *rows("random", "blind", (3, 1, 2)),
    ],
)
AREAS = [
    {"network": "tiny", "layer": layer, "perturbation": "quantize", "summary": "area", "value": value}
    for layer, value in zip(LAYERS, (0.1, 0.3, 0.2), strict=True)
]
TRUTH = {
    "perturbations": schema.build(
        "perturbations", [{"perturbation": "quantize", "levels": [4.0, 3.0, 2.0], "scale": "linear"}]
    ),
    "layer_sensitivity": schema.build("layer_sensitivity", [*AREAS, AREAS[0] | {"summary": "level", "level": 4.0}]),
}


def found(tiny, perturbation="quantize", wanted=()):
    return {each.name: each for each in entrants(tiny, perturbation, TRUTH, read_facts(TRUTH), SCORES, wanted)}


def test_scores_are_those_of_the_network_and_the_perturbation(tiny):
    who = found(tiny)
    assert list(who) == ["kl", "mse", "random", "snip", "parameters", "depth", "truth_guided", "truth_per_weight"]
    assert who["snip"].scores.tolist() == [1.0, 2.0, 3.0]
    assert who["mse"].scores.tolist() == [4.0, 5.0, 6.0]
    assert who["truth_guided"].scores.tolist() == [0.1, 0.3, 0.2]
    assert np.allclose(who["truth_per_weight"].scores, [0.1 / 27, 0.3 / 384, 0.2 / 24])
    assert [each.track for each in who.values()][:4] == ["level_aware", "perturbation_aware", "blind", "blind"]


def test_scores_of_layers_that_the_network_lacks_are_no_layers_of_it(tiny):
    foreign = [row | {"layer": "zone", "score": 99.0} for row in rows("snip", "blind", (1, 2, 3))[:1]]
    scores = schema.build("scores", [*rows("snip", "blind", (1, 2, 3)), *foreign])
    [snip] = [each for each in entrants(tiny, "quantize", TRUTH, read_facts(TRUTH), scores) if each.name == "snip"]
    assert snip.scores.tolist() == [1.0, 2.0, 3.0]


def test_levels_are_averaged_as_in_the_area(tiny):
    assert np.allclose(found(tiny)["kl"].scores, [4 / 2, 2 / 4, 8 / 4])


def test_controls_that_the_tables_lack_are_scored_here(tiny):
    who = found(tiny, wanted=["snip"])
    assert list(who) == ["random", "snip", "parameters", "depth", "truth_guided", "truth_per_weight"]
    assert who["random"].scores.tolist() == [3.0, 1.0, 2.0]
    assert who["parameters"].scores.tolist() == [27.0, 384.0, 24.0]
    assert who["depth"].scores.tolist() == [0.0, -1.0, -2.0]


def test_where_the_truth_was_not_measured_nothing_is_guided_by_it(tiny):
    assert list(found(tiny, "int8_bit_flip")) == ["random", "snip", "parameters", "depth"]


def test_a_criterion_without_scores_is_named(tiny):
    with pytest.raises(BadInput) as error:
        found(tiny, wanted=["snipp"])
    assert str(error.value) == (
        "criterion 'snipp' has no scores of network 'tiny' under quantize. Did you mean 'snip'? Those that have: kl, mse, "
        "random, snip; give further ones by --submission DIR"
    )
    with pytest.raises(BadInput, match=r"^criterion 'noise' has no scores of network 'tiny' under quantize"):
        found(tiny, wanted=["noise"])
