"""The page's data: the boards' own numbers, in thousandths, nothing computed twice and nothing too large."""

import json

import pyarrow.compute as pc
import pytest

import safer_bench as sb
from safer_bench.evaluation.boards import boards
from safer_bench.evaluation.leaderboard.numbers import thousandths
from safer_bench.evaluation.leaderboard.page import Extras, make_page, script_json
from safer_bench.evaluation.leaderboard.panels import mean_costs, score_ranks, true_areas
from safer_bench.metrics import spearman
from safer_bench.tables import schema
from safer_bench.tables.facts import read_facts
from safer_bench.tables.score_table import from_mapping
from tests.made_up.boards import GOOD, HOSTILE, everything


@pytest.fixture(scope="module")
def data():
    truth, results, extras = everything()
    return make_page(results, truth, Extras(**extras)).data


def board_of(data, title="made, test"):
    return next(board for board in data["boards"] if board["title"] == title)


def table_of(data, metric="spearman", case=None, perturbation=None, summary=0, gate=0.0):
    m = [name for name, _ in data["metrics"]].index(metric)
    place = data["places"].index((case, perturbation))
    return board_of(data)["tables"].get(f"{m}.{place}.{summary}.{data['gates'].index(gate)}")


@pytest.mark.parametrize(
    "scope",
    [
        {},
        {"metric": "kendall_tau_b"},
        {"metric": "ndcg_gain", "gate": 0.5},
        {"use_case": "rot"},
        {"use_case": "rot", "gate": 0.8},
        {"use_case": "rot", "perturbation": "rot_linf"},
        {"level_rank": 2},
        {"level_rank": 2, "gate": 0.8},
    ],
)
def test_a_table_is_the_board_of_its_scope(data, scope):
    truth, results, _ = everything()
    board = next(board for board in boards(results, truth, reported=["Bad"], **scope) if board.dataset == "made")
    table = table_of(
        data,
        scope.get("metric", "spearman"),
        scope.get("use_case"),
        scope.get("perturbation"),
        scope.get("level_rank", 0),
        scope.get("gate", 0.0),
    )
    rows = {(row.criterion, row.track): row for row in board.rows}
    for i, entry in enumerate(board_of(data)["entries"]):
        row = rows.get(entry)
        assert table["v"][i] == (thousandths(row.value) if row else None)
        assert (table["l"][i], table["h"][i]) == (
            tuple(map(thousandths, row.interval)) if row and row.interval else (None, None)
        )
        assert (table["a"][i], table["b"][i]) == (row.ranks if row and row.ranks else (None, None))
        assert table.get("u", {}).get(i, 0) == (row.n_undefined if row else 0)
    for track in board.tracks:
        assert table.get("c", {}).get(track) == thousandths(board.ceilings[track].value)
        assert table.get("o", {}).get(track, "") == board.ceiling_note(track)
    assert data["notes"][table["t"]] == board.note


def test_values_alone_where_no_interval_was_declared(data):
    for table in (table_of(data, "kendall_tau_b", "noise"), table_of(data, case="rot", summary=1)):
        assert sorted(table) in (["c", "t", "u", "v"], ["o", "t", "u", "v"])


def test_a_scope_without_any_cell_has_no_table(data):
    """All cells under noise, and all at the first level, have reliability 0.3."""
    assert table_of(data, case="noise", gate=0.5) is None
    assert table_of(data, summary=1, gate=0.5) is None


def test_a_ceiling_tells_which_part_of_the_cells_it_is_of(data):
    tables = board_of(data, "other, test")["tables"]
    tracks = {track for _, track in board_of(data, "other, test")["entries"]}
    assert tables["0.0.0.0"]["c"]["level_aware"] == 900
    assert tables["0.0.0.0"]["c"]["blind"] <= 900
    assert tables["0.0.0.0"]["o"] == dict.fromkeys(tracks, "over 6 of 9 cells")
    place = data["places"].index(("noise", None))
    assert tables[f"0.{place}.0.0"]["o"] == dict.fromkeys(tracks, "none: 0 of 3 cells have one")
    assert "c" not in tables[f"0.{place}.0.0"]
    assert "o" not in table_of(data)


def test_cells_tell_undefined_from_not_scored(data):
    board = board_of(data)
    cells = dict(zip((name for name, _ in board["entries"]), board["cells"], strict=True))
    assert set(cells["constant"]) == {"u"}
    assert cells["part"].count(None) == len(cells["part"]) - 3
    assert len(cells["good"]) == len(board["networks"]) * len(data["perturbations"])
    assert all(isinstance(value, int) for value in cells["good"])


def test_true_areas_are_in_order_of_first_use():
    truth, _, _ = everything()
    facts = read_facts(truth)
    found, noise = true_areas(truth, facts)["test0a"], list(facts.levels).index("noise")
    assert found["layers"] == [f"layer{i}" for i in range(12)]
    wanted = {
        row["layer"]: thousandths(row["value"])
        for row in truth["layer_sensitivity"].to_pylist()
        if (row["network"], row["perturbation"], row["summary"]) == ("test0a", "noise", "area")
    }
    assert dict(zip(found["layers"], found["areas"][noise], strict=True)) == wanted
    assert found["reliability"][noise] == 300


def test_scores_become_ranks_within_a_network_ties_at_their_mean():
    truth, _, extras = everything()
    found, left_out = score_ranks(extras["scores"], read_facts(truth), [("constant", "blind"), ("parameters", "blind")])
    assert found["test0a"]["0"] == {"all": [6.5] * 12}
    assert sorted(found["test0a"]["1"]["all"]) == list(range(1, 13))
    assert left_out == []


@pytest.mark.parametrize("factor", [1e-14, 1e300])
@pytest.mark.parametrize("entry", [("good", "blind"), ("aware", "perturbation_aware")])
def test_scores_of_any_size_are_ranked(factor, entry):
    truth, _, extras = everything()
    plain = extras["scores"].filter(pc.field("criterion") == entry[0]).to_pylist()
    scaled = schema.build("scores", [row | {"score": row["score"] * factor} for row in plain])
    found, _ = score_ranks(scaled, read_facts(truth), [entry])
    assert found == score_ranks(extras["scores"], read_facts(truth), [entry])[0]


def test_layers_that_are_tied_at_every_level_are_tied_in_rank():
    truth, _, _ = everything()
    rows = [
        {"criterion": "a", "track": "level_aware", "network": row["network"], "layer": row["layer"], "perturbation": "noise"}
        | {"level": level, "score": 0.1 / level}
        for row in truth["layers"].to_pylist()
        for level in (1.0, 2.0)
    ]
    rows[::2] = rows[::2][::-1]
    found, _ = score_ranks(schema.build("scores", rows), read_facts(truth), [("a", "level_aware")])
    assert found["test0a"]["0"] == {"0": [6.5] * 12}


def test_levels_are_averaged_as_in_the_area_before_ranking():
    """Levels 1, 2 and 10 weigh 1/18, 9/18 and 8/18; a plain mean would turn the order round."""
    truth, _, _ = everything()
    kinds = [row | {"levels": [1.0, 2.0, 10.0]} for row in truth["perturbations"].to_pylist()]
    rows = [
        {"criterion": "a", "track": "level_aware", "network": row["network"], "layer": row["layer"], "perturbation": "noise"}
        | {"level": level, "score": slope * row["layer_index"]}
        for row in truth["layers"].to_pylist()
        for level, slope in ((1.0, -9.0), (2.0, 2.0), (10.0, 2.0))
    ]
    truth = truth | {"perturbations": schema.build("perturbations", kinds)}
    found, _ = score_ranks(schema.build("scores", rows), read_facts(truth), [("a", "level_aware")])
    assert found["test0a"]["0"] == {"0": list(range(1, 13))}


@pytest.mark.parametrize("track", ["perturbation_aware", "level_aware"])
def test_the_page_ranks_what_the_judge_ranks_to_the_last_digit(track):
    """0.5 and 0.5 + 2e-13 were tied on the page, and not for the judge, where levels are not averaged."""
    truth, _, _ = everything()
    keys = [("noise",)] if track == "perturbation_aware" else [("noise", level) for level in (1.0, 2.0)]
    nearly = (0.5, 0.5 + 2e-13, 0.1)
    scores = {
        (row["network"], row["layer"], *key): nearly[row["layer_index"] % 3] + row["layer_index"] // 3
        for row in truth["layers"].to_pylist()
        for key in keys
    }
    facts = read_facts(truth)
    table = from_mapping("a", scores, facts)
    results = sb.evaluate(truth, table)
    page = make_page(results, truth, Extras(scores=table)).data
    position = str(page["scored"].index(("a", track)))
    judged = results.filter((pc.field("criterion") == "a") & (pc.field("metric") == "spearman")).to_pylist()
    judged = {row["network"]: row["value"] for row in judged if (row["perturbation"], row["summary"]) == ("noise", "area")}
    areas = truth["layer_sensitivity"].filter((pc.field("perturbation") == "noise") & (pc.field("summary") == "area"))
    for network, layers in facts.layers.items():
        [ranks] = page["scores"][network][position].values()
        true = {row["layer"]: row["value"] for row in areas.to_pylist() if row["network"] == network}
        assert judged[network] == pytest.approx(spearman(truth=[true[name] for name in layers], scores=ranks), abs=1e-9)
        assert (ranks == sorted(set(ranks), key=ranks.index)) == (track == "perturbation_aware")


def test_aware_scores_over_the_limit_are_left_out_and_named():
    truth, _, extras = everything()
    found, left_out = score_ranks(
        extras["scores"], read_facts(truth), [("aware", "perturbation_aware"), ("good", "blind")], limit=100
    )
    assert left_out == ["aware"]
    assert set(found["test0a"]) == {"1"}


def test_a_mean_cost_needs_every_network():
    costs = schema.build(
        "costs", [{"criterion": "a", "network": n, "forward_equivalents": c} for n, c in (("x", 10.0), ("y", 30.0))]
    )
    assert mean_costs(costs, ["x", "y"]) == {"a": 20.0}
    assert mean_costs(costs, ["x", "y", "z"]) == {}
    assert mean_costs(None, ["x"]) == {}


def test_controls_marks_and_sources_are_known(data):
    assert data["criteria"]["parameters"] == {"control": True}
    known = {key: GOOD[key] for key in ("needs", "formula", "source")}
    assert data["criteria"]["good"] == {"mark": "recomputed", **known, "cited": "Cai et al. 2020", "arxiv": "2001.00281"}
    assert data["criteria"][HOSTILE] == {}


def test_the_data_is_small(data):
    """Bytes a criterion, network and perturbation; 300 criteria on 30 networks under 22 perturbations stay near 6 MB."""
    n_cells = sum(len(board["cells"]) * len(board["cells"][0]) for board in data["boards"])
    assert len(script_json({**data, "budget": None})) < 250 * n_cells
    assert json.loads(script_json(data))["revision"] == ""
