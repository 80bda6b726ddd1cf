"""The command that packs."""

from safer_bench.scoring.write import write_scores
from tests.dataset.test_pack import measured
from tests.made_up.networks import tiny_network


def test_who_leaves_a_network_of_the_tree_out_is_told_with_the_command_that_scores_it(cli, tmp_path):
    """A tree once grew by a network without a word on the criteria that had not scored it."""
    one, other = tiny_network(), tiny_network("other")
    runs = [measured(tmp_path / network.name, network=network) for network in (one, other)]
    write_scores(tmp_path / "scores", ["l2_norm", "snip"], [one], [])
    write_scores(tmp_path / "whole", ["mean_magnitude"], [one, other], [])
    found = cli("pack", runs[0], "--scores", tmp_path / "scores", "--out", tmp_path / "tree")
    assert (found.code, found.err) == (0, "")
    words = ("--base", tmp_path / "tree", "--scores", tmp_path / "whole", "--out", tmp_path / "grown")
    found = cli("pack", runs[1], *words)
    assert found.code == 0
    assert found.err == (
        f"Computes anew what follows from the measurements of {tmp_path / 'tree'}: a minute or two for a million.\n"
        "l2_norm and 1 more: no scores of 1 network, so not ranked with them: safer-bench score l2_norm ... --network other\n"
    )


def test_a_version_that_is_lost_or_repeated_with_other_contents_is_told(cli, tmp_path):
    runs = [measured(tmp_path / name, network=tiny_network(name)) for name in ("one", "other")]
    assert cli("pack", runs[0], "--data-version", "1.2.0", "--out", tmp_path / "tree").err == ""
    grow = ("pack", runs[1], "--base", tmp_path / "tree", "--out")
    lost = cli(*grow, tmp_path / "lost")
    said = "The earlier tree is data version 1.2.0, this one states none: --data-version X.Y.Z does"
    assert (lost.code, lost.err.splitlines()[1:]) == (0, [said])
    again = cli(*grow, tmp_path / "again", "--data-version", "1.2.0")
    said = "Other contents under the same version, 1.2.0: where that one is published, give a later one"
    assert (again.code, again.err.splitlines()[1:]) == (0, [said])
    assert cli(*grow, tmp_path / "next", "--data-version", "1.10.0").err.splitlines()[1:] == []
    older = cli(*grow, tmp_path / "older", "--data-version", "1.1.9")
    assert older.code == 2
    assert f"Error: data version 1.1.9: {tmp_path / 'tree'} is 1.2.0 already; give a later one" in older.err
