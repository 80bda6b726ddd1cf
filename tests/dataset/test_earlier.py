"""A tree that grows from an earlier one: byte for byte what all runs give together, and nothing lost without a word."""

import pyarrow.compute as pc
import pytest
import torch

import safer_bench as sb
from safer_bench.dataset.documents.render import render_documents
from safer_bench.dataset.pack import pack
from safer_bench.dataset.tree import load_tree, write_tree
from safer_bench.errors import BadInput
from safer_bench.measurement.design import make_protocol
from safer_bench.measurement.run import measure_into
from safer_bench.perturbations.loading import parse_perturbation
from safer_bench.scoring.write import write_scores
from tests.dataset.test_pack import content, measured
from tests.made_up.networks import tiny_network


def test_an_earlier_tree_gives_the_networks_that_no_run_measured_and_their_scores(tmp_path):
    """So a release adds networks without the run folders of all others."""
    one, other = tiny_network(), tiny_network("other")
    runs = [measured(tmp_path / network.name, network=network) for network in (one, other)]
    for network in (one, other):
        write_scores(tmp_path / f"{network.name}-scores", ["l2_norm"], [network], [])
    scores = [tmp_path / f"{network.name}-scores" for network in (one, other)]
    pack(runs, scores, tmp_path / "both")
    for first, second in (((0, 1), (1, 2)), ((1, 2), (0, 1))):  # the new one sorts before the other, or after it
        pack(runs[slice(*first)], scores[slice(*first)], tmp_path / "first")
        pack(runs[slice(*second)], scores[slice(*second)], tmp_path / "grown", base=tmp_path / "first")
        assert content(tmp_path / "grown") == content(tmp_path / "both")
    pack([], [], tmp_path / "same", base=tmp_path / "both")
    assert content(tmp_path / "same") == content(tmp_path / "both")
    pack(runs[1:], [], tmp_path / "anew", base=tmp_path / "both")  # measured anew with the same weights
    assert content(tmp_path / "anew") == content(tmp_path / "both")


def test_scores_of_other_weights_are_not_kept_and_not_lost_without_a_word(tmp_path):
    before, model = tiny_network(), tiny_network().model
    with torch.no_grad():
        model.head.weight.mul_(1.5)
    after = sb.Network(model, *before.examples(0, 60), name="tiny", calibration=before.calibration)
    write_scores(tmp_path / "scores", ["l2_norm", "snip"], [before], [])
    write_scores(tmp_path / "anew", ["l2_norm", "snip"], [after], [])
    pack([measured(tmp_path / "run", network=before)], [tmp_path / "scores"], tmp_path / "tree")
    run = measured(tmp_path / "other", network=after)
    with pytest.raises(BadInput) as error:
        pack([run], [], tmp_path / "grown", base=tmp_path / "tree")
    assert str(error.value) == (
        f"{tmp_path / 'tree'}: what 'l2_norm' scored 'tiny', and 1 more, would be lost, as the network was measured anew with "
        "other weights or levels; score it anew and name the folder by --scores"
    )
    pack([run], [tmp_path / "anew"], tmp_path / "grown", base=tmp_path / "tree")
    pack([run], [tmp_path / "anew"], tmp_path / "alone")
    assert content(tmp_path / "grown") == content(tmp_path / "alone")


def test_draws_that_would_be_lost_are_refused(tmp_path):
    pack([measured(tmp_path / "run")], [], tmp_path / "tree")
    rows = load_tree(tmp_path / "tree")["layer_drops"]
    draws = pc.max(rows["draw"]).as_py()
    fewer = tmp_path / "fewer"
    measure_into(fewer, [tiny_network()], make_protocol(["sign_flip:0.1,0.5"], draws, 15))
    with pytest.raises(BadInput, match=rf"has draw {draws} of network 'tiny' under 'sign_flip', which the runs have not"):
        pack([fewer], [], tmp_path / "grown", base=tmp_path / "tree")


@pytest.mark.parametrize("name", ["tiny", "other"])
def test_fewer_examples_than_those_of_the_same_dataset_are_refused(tmp_path, name):
    """Of the same network they would replace the better truth, of another one stand beside it."""
    pack([measured(tmp_path / "run")], [], tmp_path / "tree")
    fewer = tmp_path / "fewer"
    measure_into(fewer, [tiny_network(name)], make_protocol(["sign_flip:0.1,0.5"], 4, 10))
    dataset = tiny_network().dataset
    with pytest.raises(BadInput) as error:
        pack([fewer], [], tmp_path / "grown", base=tmp_path / "tree")
    assert str(error.value) == (
        f"{tmp_path / 'tree'} has networks of {dataset!r} under 'sign_flip' on 15 examples a draw, the runs have {name!r} on "
        "10; measure it on as many, or leave its runs out"
    )


def test_two_networks_grow_a_tree_of_a_third(tmp_path):
    runs = [measured(tmp_path / name, network=tiny_network(name)) for name in ("b", "a", "c")]
    pack(runs, [], tmp_path / "all")
    pack(runs[:1], [], tmp_path / "first")
    pack(runs[1:], [], tmp_path / "grown", base=tmp_path / "first")
    assert content(tmp_path / "grown") == content(tmp_path / "all")


def test_what_follows_from_an_earlier_trees_probes_is_computed_anew(small_tree, tmp_path):
    changed = small_tree["cells"].drop_columns(["ceiling_spearman"])  # as of a release that did not have it
    facts = {"protocol": 1, "seed": 0}
    write_tree(tmp_path / "former", dict(small_tree) | {"cells": changed}, facts, render_documents)
    pack([], [], tmp_path / "tree", base=tmp_path / "former")
    assert content(tmp_path / "tree") == content(small_tree.path)


def test_an_earlier_tree_of_other_levels_or_another_seed_is_refused(tmp_path):
    pack([measured(tmp_path / "run")], [], tmp_path / "tree")
    more = measured(tmp_path / "more", ("sign_flip:0.1,0.4",), network=tiny_network("other"))
    with pytest.raises(BadInput) as error:
        pack([more], [], tmp_path / "grown", base=tmp_path / "tree")
    assert str(error.value) == (
        f"{tmp_path / 'tree'}: perturbation 'sign_flip': levels is [0.1, 0.5], in the runs [0.1, 0.4]; measure all networks by "
        "the same, or pack them apart"
    )
    more = measured(tmp_path / "seed", network=tiny_network("other"), seed=1)
    with pytest.raises(BadInput) as error:
        pack([more], [], tmp_path / "grown", base=tmp_path / "tree")
    assert str(error.value) == f"{tmp_path / 'tree'} has seed 0, the runs have seed 1; pack them apart"
    with pytest.raises(
        BadInput, match=r"^nothing to pack: name run folders, or an earlier tree \(--base\) that gets further"
    ):
        pack([], [], tmp_path / "grown")
    assert not (tmp_path / "grown").exists()


def test_perturbations_that_would_be_lost_are_refused_and_those_of_no_network_go(tmp_path):
    both = measured(tmp_path / "run", ("sign_flip:0.1,0.5", "quantize:4,2"))
    pack([both], [], tmp_path / "tree")
    alone = measured(tmp_path / "alone")
    with pytest.raises(BadInput) as error:
        pack([alone], [], tmp_path / "grown", base=tmp_path / "tree")
    assert str(error.value) == (
        f"{tmp_path / 'tree'} has network 'tiny' under 'quantize' too, which the runs have not; measure it anew under all "
        "perturbations, or leave its runs out"
    )
    pack([measured(tmp_path / "other", network=tiny_network("other"))], [], tmp_path / "first")
    again = measured(tmp_path / "again", ("sign_flip:0.2,0.4", "quantize:4,2"), network=tiny_network("other"))
    pack([again], [], tmp_path / "anew", base=tmp_path / "first")
    pack([again], [], tmp_path / "without")
    assert content(tmp_path / "anew") == content(tmp_path / "without"), "levels of no network are no contradiction"


def test_scores_that_would_be_lost_are_refused(tmp_path):
    network, levels = tiny_network(), [parse_perturbation(spec) for spec in ("sign_flip:0.1,0.5", "quantize:4,2")]
    for name, seen in (("both", levels), ("one", levels[:1])):
        write_scores(tmp_path / name, ["output_kl"], [network], seen)
    pack([measured(tmp_path / "run", ("sign_flip:0.1,0.5", "quantize:4,2"))], [tmp_path / "both"], tmp_path / "tree")
    with pytest.raises(BadInput) as error:
        pack([], [tmp_path / "one"], tmp_path / "tree", base=tmp_path / "tree")
    assert str(error.value) == (
        "criterion 'output_kl' scored network 'tiny' under 'quantize' in the earlier tree, and not in the new folder; score it "
        "as before, or on all networks"
    )


def test_scores_of_one_set_of_examples_do_not_stand_beside_means_over_several(tmp_path):
    one, other = tiny_network(), tiny_network("other")
    runs = [measured(tmp_path / network.name, network=network) for network in (one, other)]
    for name, network, sets in (("first", one, 3), ("single", other, 1), ("triple", other, 3)):
        write_scores(tmp_path / name, ["snip", "l2_norm"], [network], [], calibration_sets=sets)
    pack(runs[:1], [tmp_path / "first"], tmp_path / "tree")
    with pytest.raises(BadInput) as error:
        pack(runs[1:], [tmp_path / "single"], tmp_path / "grown", base=tmp_path / "tree")
    assert str(error.value) == (
        "criterion 'snip' scored network 'other' by one set of calibration examples, and the earlier tree's by several sets; "
        "score it again with --calibration-sets as before"
    )
    pack(runs[1:], [tmp_path / "triple"], tmp_path / "grown", base=tmp_path / "tree")
    pack(runs, [tmp_path / "first", tmp_path / "triple"], tmp_path / "both")
    assert content(tmp_path / "grown") == content(tmp_path / "both")
