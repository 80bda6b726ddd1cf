"""Run folders and scores become a tree: the same bytes each time, shards merged, contradictions refused."""

import json
import os
import re
import shutil

import numpy as np
import pyarrow.compute as pc
import pytest
import torch

from safer_bench.dataset.pack import pack
from safer_bench.dataset.tree import content_hash, load_tree
from safer_bench.errors import BadInput
from safer_bench.measurement.design import make_protocol
from safer_bench.measurement.run import measure_into
from safer_bench.networks.network import Network
from safer_bench.perturbations.loading import parse_perturbation
from safer_bench.scoring.write import write_scores
from safer_bench.tables import schema
from safer_bench.truth.area import area_weights
from safer_bench.truth.summarise import summarise
from tests.conftest import COMMITTED, ROOT, SEEDS
from tests.made_up.networks import tiny_network


def measured(folder, specs=("sign_flip:0.1,0.5",), draws=4, network=None, seed=0):
    measure_into(folder, [network or tiny_network()], make_protocol(specs, draws, 15, seed))
    return folder


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_runs_give_the_same_bytes(small_run, small_scores, tmp_path):
    for name in ("a", "b"):
        pack([small_run], [small_scores], tmp_path / name)
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_a_small_tree_has_the_same_contents_on_any_processor(small_tree):
    """Made once and kept: the truth's tables, but for losses, which are no canonical numbers."""
    golden = json.loads((ROOT / "tests" / "golden" / "tree.json").read_text())
    assert {name: small_tree.manifest["contents"][name] for name in golden} == golden


@pytest.mark.long
@pytest.mark.parametrize("path", [COMMITTED, SEEDS], ids=lambda path: path.name)
def test_the_committed_summaries_follow_from_the_committed_counts(path):
    tree, keys = load_tree(path), ["network", "layer", "perturbation", "level", "draw"]
    probes = tree["layer_drops"].join(tree["outcomes"].select([*keys, "flips"]), keys)
    found = summarise(schema.in_order(probes), tree["networks"], tree["layers"], tree["perturbations"])
    for name, table in zip(("layer_sensitivity", "cells"), found, strict=True):
        assert content_hash(table) == tree.manifest["contents"][name], (
            f"{name}: the card's tables are not those of its counts"
        )


def test_large_truths_are_packed_by_processes_to_the_same_bytes(tmp_path, monkeypatch):
    runs = [measured(tmp_path / name, network=tiny_network(name=name)) for name in ("one", "two")]
    pack(runs, [], tmp_path / "alone")
    monkeypatch.setattr("safer_bench.truth.probe_tables.SMALL_BYTES", 0)
    pack(runs, [], tmp_path / "together")
    assert content(tmp_path / "together") == content(tmp_path / "alone")
    measure_into(tmp_path / "more", [tiny_network("one")], make_protocol(["sign_flip:0.1,0.5"], 2, 20, first_draw=4))
    with pytest.raises(BadInput, match="network 'one', perturbation 'sign_flip': probes of 15 and of 20 examples"):
        pack([*runs, tmp_path / "more"], [], tmp_path / "refused")


def test_shards_of_one_run_merge_to_the_tree_of_the_whole(tmp_path):
    one = measured(tmp_path / "one", ["sign_flip:0.1,0.5"])
    two = measured(tmp_path / "two", ["quantize:3,2"])
    both = measured(tmp_path / "both", ["sign_flip:0.1,0.5", "quantize:3,2"])
    pack([one, two], [], tmp_path / "merged")
    pack([both], [], tmp_path / "whole")
    assert content(tmp_path / "merged") == content(tmp_path / "whole")


def test_rows_measured_twice_are_kept_once(tmp_path):
    one = measured(tmp_path / "one")
    shutil.copytree(one, tmp_path / "again")
    pack([one, tmp_path / "again"], [], tmp_path / "tree")
    assert load_tree(tmp_path / "tree")["layer_drops"].num_rows == 3 * 2 * 4


def test_runs_that_contradict_each_other_are_refused(tmp_path):
    one = measured(tmp_path / "one", ["sign_flip:0.1,0.5"])
    two = measured(tmp_path / "two", ["sign_flip:0.1,0.3"])
    with pytest.raises(BadInput) as error:
        pack([one, two], [], tmp_path / "tree")
    assert str(error.value) == (
        "the run folders contradict each other in perturbations: sign_flip: levels is [0.1, 0.5] and [0.1, 0.3]; "
        "measure both by the same protocol, or pack them apart"
    )
    assert not (tmp_path / "tree").exists()


def test_runs_of_two_seeds_are_refused(tmp_path):
    runs = [measured(tmp_path / str(seed), seed=seed) for seed in (0, 1)]
    with pytest.raises(BadInput, match=r"the run folders have different seeds \(0, 1\); expected one"):
        pack(runs, [], tmp_path / "tree")


def test_an_unfinished_run_is_refused(tmp_path):
    one = measured(tmp_path / "one")
    next((one / "parts").rglob("*.parquet")).unlink()
    with pytest.raises(BadInput, match="1 of 12 parts are missing or damaged"):
        pack([one], [], tmp_path / "tree")


def test_draws_on_other_numbers_of_examples_are_refused(tmp_path):
    one = measured(tmp_path / "one")
    measure_into(tmp_path / "two", [tiny_network()], make_protocol(["sign_flip:0.1,0.5"], 2, 20, first_draw=4))
    with pytest.raises(BadInput) as error:
        pack([one, tmp_path / "two"], [], tmp_path / "tree")
    assert str(error.value) == (
        "network 'tiny', perturbation 'sign_flip': probes of 15 and of 20 examples; measure all with the same --examples"
    )


def test_further_draws_merge_with_the_first(tmp_path):
    measure_into(tmp_path / "more", [tiny_network()], make_protocol(["sign_flip:0.1,0.5"], 2, 15, first_draw=2))
    pack([measured(tmp_path / "first", draws=2), tmp_path / "more"], [], tmp_path / "merged")
    pack([measured(tmp_path / "whole", draws=4)], [], tmp_path / "tree")
    assert content(tmp_path / "merged") == content(tmp_path / "tree")


def test_a_network_no_better_than_chance_is_refused(tmp_path):
    network = tiny_network()
    with torch.no_grad():
        labels = (network.model(network.inputs).argmax(1) + 1) % 3
    wrong = Network(network.model, network.inputs, labels, name="wrong")
    with pytest.raises(
        BadInput,
        match="right in 0 of 60 answers, no better than always answering the largest class: it has no accuracy to lose",
    ):
        pack([measured(tmp_path / "run", network=wrong)], [], tmp_path / "tree")


def test_a_run_of_another_protocol_is_refused(tmp_path):
    run = measured(tmp_path / "run")
    text = (run / "run.json").read_text()
    (run / "run.json").write_text(text.replace('"protocol": 1', '"protocol": 0'))
    with pytest.raises(BadInput, match="measured by another protocol; measure it again in a new folder"):
        pack([run], [], tmp_path / "tree")


def _die(*_):
    os._exit(3)


def test_a_packing_process_that_dies_is_told(tmp_path, monkeypatch):
    run = measured(tmp_path / "run")
    monkeypatch.setattr("safer_bench.truth.probe_tables.SMALL_BYTES", 0)
    monkeypatch.setattr("safer_bench.truth.probe_tables._of_network", _die)
    with pytest.raises(BadInput, match="a process that packs died"):
        pack([run], [], tmp_path / "tree")
    assert not (tmp_path / "tree").exists()


def test_scores_of_one_criterion_on_different_networks_are_merged(tmp_path):
    networks = [tiny_network(name) for name in ("one", "two")]
    runs = [measured(tmp_path / network.name, network=network) for network in networks]
    levels = [parse_perturbation("sign_flip:0.1,0.5")]
    for name, specs, scored in (
        ("a", ["l2_norm", "fit"], networks[:1]),
        ("b", ["fit"], networks[1:]),
        ("c", ["l2_norm"], networks[1:]),
    ):
        write_scores(tmp_path / name, specs, scored, levels)
    write_scores(tmp_path / "all", ["fit", "l2_norm"], networks, levels)
    pack(runs, [tmp_path / name for name in "abc"], tmp_path / "merged")
    pack(runs, [tmp_path / "all"], tmp_path / "whole")
    found, expected = (load_tree(tmp_path / name) for name in ("merged", "whole"))
    for name in ("scores", "criteria"):
        assert found[name].equals(expected[name])
    assert found["costs"].select(["criterion", "network"]).equals(expected["costs"].select(["criterion", "network"]))
    with pytest.raises(BadInput, match="criterion 'fit' is in two score folders for network 'one'; give it once"):
        pack(runs, [tmp_path / "a", tmp_path / "all"], tmp_path / "refused")
    card = tmp_path / "c" / "submission.yaml"
    card.write_text(card.read_text().replace("norm2(W)", "norm1(W)"))
    with pytest.raises(BadInput, match="the score folders describe criterion 'l2_norm' in different ways; score it again"):
        pack(runs, [tmp_path / name for name in "abc"], tmp_path / "refused")


def test_scores_of_other_weights_are_refused(small_run, small_scores, tmp_path):
    scores = shutil.copytree(small_scores, tmp_path / "scores")
    card = (scores / "submission.yaml").read_text()
    (scores / "submission.yaml").write_text(re.sub(r"digits_mlp: \w+", f"digits_mlp: {'f' * 64}", card))
    with pytest.raises(BadInput, match="scores of 'digits_mlp' were computed on weights ffffffffffffffff"):
        pack([small_run], [scores], tmp_path / "tree")


def test_sensitivity_is_the_mean_drop_and_its_normalised_area(small_tree):
    drops = small_tree["layer_drops"].filter(
        (pc.field("network") == "digits_mlp")
        & (pc.field("layer") == "head")
        & (pc.field("perturbation") == "gaussian_noise")
    )
    means = {
        level: np.mean([row["accuracy_drop"] for row in drops.to_pylist() if row["level"] == level])
        for level in (0.5, 2.0, 8.0)
    }
    facts = next(row for row in small_tree["networks"].to_pylist() if row["network"] == "digits_mlp")
    above_chance = facts["clean_correct"] / facts["n_examples"] - facts["chance_accuracy"]
    expected = area_weights(np.array([0.5, 2.0, 8.0]), "log10") @ list(means.values()) / above_chance
    rows = [
        row
        for row in small_tree["layer_sensitivity"].to_pylist()
        if (row["network"], row["layer"], row["perturbation"]) == ("digits_mlp", "head", "gaussian_noise")
    ]
    assert {row["level"]: row["value"] for row in rows if row["summary"] == "level"} == pytest.approx(means)
    assert next(row["value"] for row in rows if row["summary"] == "area") == pytest.approx(expected)
    assert {row["summary"] for row in rows} == {"level", "area", "tolerated_level"}


def test_cells_state_reliability_and_ceilings(small_tree):
    cells = small_tree["cells"].to_pylist()
    assert len(cells) == 2 * (3 + 1 + 2 + 1)
    for cell in cells:
        assert 0 <= cell["reliability"] <= 1
        assert cell["resolved"] is (cell["reliability"] >= 0.8)
        assert -1 <= cell["ceiling_spearman"] <= 1


def test_reliability_of_two_draws_is_not_stated(tmp_path):
    pack([measured(tmp_path / "run", draws=2)], [], tmp_path / "tree")
    assert {cell["reliability"] for cell in load_tree(tmp_path / "tree")["cells"].to_pylist()} == {None}


def test_the_manifest_names_protocol_and_seed(small_tree):
    manifest = json.loads((small_tree.path / "manifest.json").read_text())
    assert (manifest["protocol"], manifest["seed"], manifest["schema"]) == (1, 0, "1")


def test_a_tree_has_the_version_that_it_is_given_and_else_none(small_run, small_tree, tmp_path):
    pack([small_run], [], tmp_path / "tree", "3.1.4")
    documents = ("manifest.json", "croissant.json", "README.md")
    stated = [(tmp_path / "tree" / name).read_text() for name in documents]
    assert json.loads(stated[0])["version"] == json.loads(stated[1])["version"] == "3.1.4"
    assert "This is version 3.1.4 of the data, revision" in stated[2]
    assert stated[2].count("\n  version: 3.1.4\n") == len(load_tree(tmp_path / "tree"))
    assert not {"version"} & {*small_tree.manifest, *json.loads((small_tree.path / "croissant.json").read_text())}
    assert "\n  version: " not in (small_tree.path / "README.md").read_text()


def test_networks_under_other_perturbations_than_the_rest_are_refused(tmp_path):
    """A board once took means over networks that shared no perturbation."""
    one = measured(tmp_path / "one")
    other = measured(tmp_path / "other", ("quantize:4,2",), network=tiny_network("other"))
    with pytest.raises(BadInput) as error:
        pack([one, other], [], tmp_path / "tree")
    assert str(error.value) == (
        "network 'other' is measured under 'quantize', and 'tiny' is not; measure all networks of a tree under the same "
        "perturbations, or pack them apart"
    )
    pack([one], [], tmp_path / "tree")
    with pytest.raises(BadInput, match=r"^network 'other' is measured under 'quantize', and 'tiny' is not;"):
        pack([other], [], tmp_path / "grown", base=tmp_path / "tree")


def test_a_version_is_three_numbers(small_run, tmp_path):
    with pytest.raises(BadInput, match=r"data version 'v1\.0'; expected X\.Y\.Z, such as 1\.0\.0"):
        pack([small_run], [], tmp_path / "tree", "v1.0")
    assert not (tmp_path / "tree").exists()


def test_the_card_says_what_every_level_costs_the_median_layer_of_each_split(small_tree):
    card = (small_tree.path / "README.md").read_text()
    for row in small_tree["perturbations"].to_pylist():
        expected = []
        for split in ("validation", "test"):
            found = []
            for level in row["levels"]:
                drops = {}
                for probe in small_tree["layer_drops"].to_pylist():
                    if (probe["perturbation"], probe["split"], probe["level"]) == (row["perturbation"], split, level):
                        drops.setdefault((probe["network"], probe["layer"]), []).append(probe["accuracy_drop"])
                if drops:
                    found.append(f"{100 * np.median([np.mean(each) for each in drops.values()]):.1f}".replace("-0.0", "0.0"))
            expected.append(", ".join(found) or "-")
        assert f"| {row['unit']} | {expected[0]} | {expected[1]} |\n" in card
