"""The pilot, the plan that follows from it, and the run that follows the plan."""

import json

import pytest

from safer_bench.dataset.pack import pack
from safer_bench.dataset.tree import load_tree
from safer_bench.errors import BadInput
from safer_bench.measurement.design import make_protocol
from safer_bench.measurement.pilot import DrawPlan, make_plan
from safer_bench.measurement.run import measure_into
from safer_bench.networks.loading import load_network
from safer_bench.truth.run_folder import RunFolder
from tests.made_up.networks import tiny_network

SPECS = ["sign_flip:0.01,0.03,0.1", "quantize:2,4"]
LEVELS = (0.01, 0.03, 0.1)
WANTED = make_protocol(SPECS, n_examples=30)


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    folder, network = tmp_path_factory.mktemp("planned"), load_network("digits_mlp")
    plan = make_plan(folder, [network], WANTED, 0.97, 12)
    measure_into(folder, [network], plan.protocol(WANTED, [network]))
    return folder, network, plan


def test_levels_get_even_numbers_of_draws_and_deterministic_perturbations_one(planned):
    _, _, plan = planned
    draws = plan.draws["digits_mlp"]
    assert draws["quantize"] == [1, 1]
    assert len(draws["sign_flip"]) == 3
    assert all(n % 2 == 0 and 4 <= n <= 12 for n in draws["sign_flip"])
    assert max(draws["sign_flip"]) > 4
    assert 0.5 < plan.expected["digits_mlp"]["sign_flip"] < 1


def test_the_run_makes_the_draws_of_the_plan_and_none_of_the_pilots(planned):
    folder, _, plan = planned
    rows = RunFolder(folder).probes().to_pylist()
    for level, n_draws in zip(LEVELS, plan.draws["digits_mlp"]["sign_flip"], strict=True):
        draws = {row["draw"] for row in rows if (row["perturbation"], row["level"]) == ("sign_flip", level)}
        assert draws == set(range(n_draws))
    pilot = RunFolder(folder / "pilot").probes().to_pylist()
    assert {row["draw"] for row in pilot} == {12, 13, 14, 15}
    assert {row["weight_digest"] for row in rows}.isdisjoint(row["weight_digest"] for row in pilot)


def test_a_tree_of_levels_that_differ_in_draws_tells_them(planned, tmp_path):
    folder, _, plan = planned
    pack([folder], [], tmp_path / "tree")
    tree = load_tree(tmp_path / "tree")
    draws = {row["level"]: row["draws"] for row in tree["cells"].to_pylist() if row["perturbation"] == "sign_flip"}
    expected = plan.draws["digits_mlp"]["sign_flip"]
    assert draws == dict(zip(LEVELS, expected, strict=True)) | {None: min(expected)}
    area = next(row for row in tree["cells"].to_pylist() if (row["perturbation"], row["summary"]) == ("sign_flip", "area"))
    assert area["reliability"] == pytest.approx(plan.expected["digits_mlp"]["sign_flip"], abs=0.1)


def test_a_plan_that_is_there_is_read_and_the_pilot_not_repeated(planned, monkeypatch):
    folder, network, plan = planned
    monkeypatch.setattr("safer_bench.measurement.pilot.measure_into", None)
    assert make_plan(folder, [network], WANTED, 0.97, 12) == plan
    assert DrawPlan.read(folder / "draws.json") == plan
    with pytest.raises(BadInput) as error:
        make_plan(folder, [network], WANTED, 0.9, 12)
    expected = f"{folder / 'draws.json'}: made for reliability 0.97 by at most 12 draws; use a new folder"
    assert str(error.value) == expected


def test_a_plan_for_something_else_is_refused(planned):
    _, network, plan = planned
    for wanted, networks, key in [
        (WANTED, [tiny_network()], "networks"),
        (make_protocol(["sign_flip:0.01,0.03", "quantize:2,4"], n_examples=30), [network], "perturbations"),
        (make_protocol(SPECS, n_examples=50), [network], "examples"),
        (make_protocol(SPECS, n_examples=30, seed=1), [network], "seed"),
    ]:
        with pytest.raises(BadInput) as error:
            plan.protocol(wanted, networks)
        assert str(error.value) == f"the plan was made for other {key}; make it again with this run's options"


def test_a_reliability_that_is_none_is_refused_beside_a_plan_too(planned):
    with pytest.raises(BadInput, match=r"reliability 97; expected a number between 0 and 1"):
        make_plan(planned[0], [planned[1]], WANTED, 97, 12)


def test_a_damaged_or_missing_plan_is_named(planned, tmp_path):
    text = (planned[0] / "draws.json").read_text()
    for damaged in (text[:-20], "[]", json.dumps({"reliability": 0.9})):
        (tmp_path / "draws.json").write_text(damaged)
        with pytest.raises(BadInput, match=r"draws.json: damaged \(.*\); remove it and repeat the command"):
            DrawPlan.read(tmp_path / "draws.json")
    with pytest.raises(BadInput) as error:
        DrawPlan.read(tmp_path / "absent.json")
    path = tmp_path / "absent.json"
    message = f"{path}: cannot be read (No such file or directory); make a plan: safer-bench measure --plan-only"
    assert str(error.value) == message


def test_nothing_random_needs_no_pilot(tmp_path):
    plan = make_plan(tmp_path, [tiny_network()], make_protocol(["quantize:2,4"]), 0.9, 8)
    assert plan.draws == {"tiny": {"quantize": [1, 1]}}
    assert not (tmp_path / "pilot").exists()


def test_gradient_perturbations_are_planned_beside_others_with_the_draws_they_have(tmp_path):
    """Of their 20 draws the last four are the pilot's, whose draws of others come after the plan's 32."""
    specs = ["gradient_corruption_l2:0.1,1", "sign_flip:0.01,0.03"]
    network, wanted = load_network("digits_mlp"), make_protocol(specs, n_examples=30)
    plan = make_plan(tmp_path, [network], wanted, 0.9999)
    assert (plan.max_draws, plan.draws["digits_mlp"]["gradient_corruption_l2"]) == (32, [16, 16])
    assert max(plan.draws["digits_mlp"]["sign_flip"]) == 32
    pilot = {(row["perturbation"], row["draw"]) for row in RunFolder(tmp_path / "pilot").probes().to_pylist()}
    expected = {("gradient_corruption_l2", draw) for draw in range(16, 20)} | {("sign_flip", draw) for draw in range(32, 36)}
    assert pilot == expected
    assert make_plan(tmp_path, [network], wanted, 0.9999) == plan
    protocol = plan.protocol(wanted, [network])
    draws = [protocol.draws_of("digits_mlp", entry, level) for entry, levels in protocol.perturbations for level in levels]
    assert [(each.start, each.stop) for each in draws[:2]] == [(0, 16), (0, 16)]
    assert max(each.stop for each in draws[2:]) == 32


@pytest.mark.parametrize(
    ("specs", "reliability", "max_draws", "message"),
    [
        (["sign_flip"], 1.0, 8, "reliability 1; expected a number between 0 and 1, such as 0.9"),
        (["sign_flip"], 0.9, 7, "at most 7 draws; expected an even number from 4 on, since draws are halved"),
        (["sign_flip"], 0.9, 2, "at most 2 draws; expected an even number from 4 on, since draws are halved"),
        (["sign_flip", "gradient_corruption_l2"], 0.9, 20, "gradient_corruption_l2 has 20 different draws, 4 of which are the pilot's: at most 16 draws; give --max-draws 16, or measure it in a run of its own"),
    ],
)  # fmt: skip
def test_what_cannot_be_planned_is_refused_before_anything_is_measured(tmp_path, specs, reliability, max_draws, message):
    with pytest.raises(BadInput) as error:
        make_plan(tmp_path / "run", [tiny_network()], make_protocol(specs), reliability, max_draws)
    assert str(error.value) == message
    assert not (tmp_path / "run").exists()
