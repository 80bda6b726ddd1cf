"""``--json``: one value on standard output, with what the text says."""

import json
import shutil

from safer_bench.evaluation.boards import boards
from safer_bench.evaluation.evaluate import evaluate
from tests.made_up.commands import MEASURE


def test_list_and_info(cli):
    found = json.loads(cli("list", "metrics", "--json").out)
    assert found == {"kind": "metrics", "names": cli("list", "metrics").out.split(), "left_out": []}
    facts = json.loads(cli("info", "quantize", "--json").out)
    assert (facts["kind"], facts["name"]) == ("perturbations", "quantize")
    assert list(facts) == [line.split()[0] for line in cli("info", "quantize").out.splitlines()]


def test_check_names_what_is_in_order_and_what_is_refused(cli, small_tree, small_scores, tmp_path):
    good = shutil.copytree(small_scores, tmp_path / "scores")
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "scores.csv").write_text("layer\n")
    found = cli("check", tmp_path, "--truth", small_tree.path, "--json")
    value = json.loads(found.out)
    assert found.code == 1
    assert [each["submission"] for each in value["in_order"]] == [str(good)]
    assert value["in_order"][0]["networks"] == ["digits_mlp", "digits_resnet"]
    assert set(value["refused"]) == {str(bad)}
    assert found.err == f"Refused: {value['refused'][str(bad)]}\n"


def test_evaluate_and_compare_have_the_numbers_of_the_boards(cli, small_tree, small_scores, tmp_path):
    found = cli("evaluate", small_scores, "--truth", small_tree.path, "--out", tmp_path / "board", "--json")
    value = json.loads(found.out)
    made = boards(evaluate(small_tree, small_tree["scores"]), small_tree)
    assert [(each["dataset"], each["split"]) for each in value["boards"]] == [(each.dataset, each.split) for each in made]
    for told, board in zip(value["boards"], made, strict=True):
        assert {row["criterion"]: row["value"] for row in told["rows"]} == {row.criterion: row.value for row in board.rows}
    assert value["submissions"] == {str(small_scores): ["snip", "l2_norm", "constant", "random", "measured_drop_128"]}
    places = {(each["criterion"], each["split"]): each["value"] for each in value["places"]}
    assert places["snip", "test"] == next(row.value for row in made[0].rows if row.criterion == "snip")
    compared = json.loads(cli("compare", "snip", "l2_norm", "--truth", small_tree.path, "--json").out)
    values = {row.criterion: row.value for row in made[0].rows}
    overall = compared["rows"][0]
    assert (overall["perturbation"], round(overall["difference"], 9)) == (
        "all use cases",
        round(values["snip"] - values["l2_norm"], 9),
    )


def test_measure_has_its_table_and_its_forecast(cli, tmp_path):
    forecast = json.loads(cli(*MEASURE, "--out", tmp_path / "run", "--dry-run", "--json").out)
    assert [each["n_probes"] for each in forecast["networks"]] == [20]
    measured = json.loads(cli(*MEASURE, "--out", tmp_path / "run", "--json").out)
    assert measured["probes"] == 20
    (network,) = measured["networks"]
    areas = [layer["areas"]["mean"]["area"] for layer in network["layers"]]
    assert (network["network"], areas) == ("digits_mlp", sorted(areas, reverse=True))
    assert network["protect_first"] == [layer["layer"] for layer in network["layers"][: len(network["protect_first"])]]
