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
